"""One function through which all stored text goes before it is shown."""

import json
import sys
import unicodedata

import pytest

from cw_store.safe_text import lines_of, safe, safe_json
from hostile import HOSTILE, harmful

EVERY_CHARACTER = "".join(map(chr, range(sys.maxunicode + 1)))


def test_nothing_that_a_terminal_obeys_is_left_of_any_character() -> None:
    kept = set(safe(EVERY_CHARACTER))
    dangerous = {"Cc", "Cf", "Zl", "Zp", "Cs"}
    assert not {each for each in kept if unicodedata.category(each) in dangerous}


def test_what_can_be_read_stays_as_it_is() -> None:
    text = "Größe 30 €: 東京 (été) \u00a0✓ 🚀 [/bold] \\n"
    assert safe(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b2J", r"\x9b2J"),
        ("abc\u202efed", r"abc\u202efed"),
        ("a\u2028b", r"a\u2028b"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_json_says_the_same_and_obeys_nobody() -> None:
    text = HOSTILE + "\U000e0041\ud800"
    written = safe_json(json.dumps({text: text}, ensure_ascii=False))
    assert not harmful(written)
    assert json.loads(written) == {text: text}


def test_lines_end_where_the_text_has_ends_of_lines() -> None:
    assert lines_of("a\r\nb\n\tc\n") == ["a", "b", "    c"]
    assert lines_of("") == [""]
    assert lines_of("a\u2028b\x0bc") == ["a\u2028b\x0bc"]
