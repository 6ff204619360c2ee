"""How the driver's connection to a file is opened, and what stands in the way."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cw_store import SchemaError, StoreBusyError, StoreError
from cw_store.backends.sqlite.raw_connection import connect_with_retry, create_private_file
from programs import run_program


class AskedMeanwhile:
    """One who is asked, each time that the file was busy, whether the wait is given up."""

    def __init__(self, answer: Callable[[], object]) -> None:
        self._answer = answer

    def is_set(self) -> bool:
        self._answer()
        return False


def test_a_file_that_is_just_being_converted_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBusyError):
        connect_with_retry(path, read_only=False, synchronous="NORMAL", timeout=0.05)

    asked: list[object] = []

    def commit() -> None:
        asked.append(other.execute("COMMIT"))

    other_ends = AskedMeanwhile(commit)
    connect_with_retry(
        path, read_only=False, synchronous="NORMAL", timeout=10, given_up=other_ends
    ).close()
    assert len(asked) == 1
    other.close()


def test_a_file_that_is_no_database_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    path.write_text("a letter, and longer than the header of a database would be" * 20)

    waits = AskedMeanwhile(lambda: pytest.fail("waits for what no time will mend"))
    with pytest.raises(StoreError, match=r"'cw.db' is no SQLite database") as raised:
        connect_with_retry(path, read_only=False, synchronous="NORMAL", timeout=10, given_up=waits)
    assert type(raised.value) is SchemaError
    assert isinstance(raised.value.__cause__, sqlite3.DatabaseError)


def test_a_private_file_is_created_once_and_never_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    create_private_file(path)
    path.write_text("kept")
    create_private_file(path)
    assert path.read_text() == "kept"
    assert path.stat().st_mode & 0o777 == 0o600
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "elsewhere.db")
    create_private_file(link)
    assert not link.exists()  # it was not followed
    with pytest.raises(StoreError, match="cannot create"):
        create_private_file(tmp_path / "nowhere" / "cw.db")


FORKED = """
import asyncio, os, sys
from pathlib import Path
from cw_store import StoreClosedError
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.backends.sqlite.opening import open_connection
from cw_store.backends.sqlite.raw_connection import connect_with_retry

SETTINGS = {"read_only": False, "synchronous": "NORMAL", "timeout": 1}
folder = Path(sys.argv[1])
for name in ("closed.db", "open.db"):
    (folder / name).touch()

async def connect():
    loop_callbacks = LoopCallbacks(asyncio.get_running_loop())
    closed = await open_connection(folder / "closed.db", loop_callbacks=loop_callbacks, **SETTINGS)
    open_twice = [
        await open_connection(folder / "open.db", loop_callbacks=loop_callbacks, **SETTINGS)
        for _ in range(2)
    ]
    await closed.disconnect()
    await open_twice[0].disconnect()
    return open_twice[1]

kept = asyncio.new_event_loop().run_until_complete(connect())
child = os.fork()
if child:
    os.waitpid(child, 0)
    sys.exit()
for name in ("closed.db", "open.db"):
    try:
        connect_with_retry(folder / name, **SETTINGS).close()
        print(name, "opened", flush=True)
    except StoreClosedError as error:
        print(error, flush=True)
os._exit(0)
"""


def test_a_forked_child_may_open_what_was_closed_before(tmp_path: Path) -> None:
    done = run_program(FORKED, tmp_path, cwd=tmp_path, timeout=10)
    told = done.stdout.splitlines()
    assert told[0] == "closed.db opened", done.stderr
    assert told[1].startswith("open.db was open when this process was forked"), done.stderr
