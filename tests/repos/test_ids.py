"""Ids that are made up."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

from nanoid.resources import alphabet, size

from cw_store.repos.sql.ids import IDS_AT_A_TIME, new_id


def test_an_id_has_the_letters_and_the_length_of_a_nanoid() -> None:
    pattern = re.compile(f"[{re.escape(alphabet)}]{{{size}}}")
    assert all(pattern.fullmatch(new_id()) for _ in range(3 * IDS_AT_A_TIME))


def test_no_two_ids_are_alike_whichever_thread_asks() -> None:
    def some() -> list[str]:
        return [new_id() for _ in range(5_000)]

    with ThreadPoolExecutor(4) as threads:
        parts = [threads.submit(some) for _ in range(4)]
        ids = [id for part in parts for id in part.result()]
    assert len(set(ids)) == 20_000


def test_every_letter_comes_up_about_equally_often() -> None:
    letters = "".join(new_id() for _ in range(20_000))
    expected = len(letters) / len(alphabet)
    for letter in alphabet:
        assert 0.9 < letters.count(letter) / expected < 1.1


def test_a_forked_child_makes_up_other_ids() -> None:
    new_id()  # now some are made and not yet given out
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100).decode() not in {new_id() for _ in range(2 * IDS_AT_A_TIME)}
    os.close(reading)
    os.close(writing)
