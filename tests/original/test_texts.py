"""Whatever the bytes are: they become text and JSON that both databases keep, nothing is lost."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from cw_store.original.logs import split
from cw_store.original.texts import json_of, mended_text, text_of
from cw_store.original.times import microseconds
from cw_store.types.json_text import check_json, read_json
from cw_store.types.text import check_text

VALUES = st.one_of(st.none(), st.integers(), st.floats(), st.binary())
KEPT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        KEPT,
    ),
    lambda each: st.lists(each) | st.dictionaries(KEPT, each),
    max_leaves=10,
)


@given(VALUES)
@example(b"\xed\xa0\x80")
def test_any_value_becomes_text_that_a_store_keeps(value: bytes | int | float | None) -> None:
    read = text_of(value)
    if read.value is not None:
        assert check_text(read.value) == read.value
        assert read.codes or read.value.encode() == value


@given(VALUES | st.text().map(lambda text: json.dumps(text).encode()))
@example(b'{"a\\u0000": 1, "a\xe2\x90\x80": 2}')
@example(b"[" * 5_000)
@example(b"9" * 5_000)
def test_any_value_becomes_json_that_a_store_keeps(value: bytes | int | float | None) -> None:
    read = json_of(value)
    if read.value is not None:
        assert check_json(read_json(read.value)) == read.value


@given(JSON)
def test_json_that_a_store_keeps_comes_as_it_is(value: object) -> None:
    read = json_of(json.dumps(value).encode())
    assert read.codes == ()
    assert (None if read.value is None else json.loads(read.value)) == value


@given(st.text(st.characters()))
def test_only_what_no_store_keeps_is_written_otherwise(text: str) -> None:
    mended = mended_text(text)
    assert check_text(mended) == mended and len(mended) == len(text)
    kept = {"\0", *map(chr, range(0xD800, 0xE000))}
    assert all(new == old or old in kept for old, new in zip(text, mended, strict=True))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(8, 40))
def test_what_is_split_is_whole_together_and_no_piece_too_long(text: str, most: int) -> None:
    pieces = list(split(text.encode(), most))
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= most for piece in pieces)


@given(VALUES)
def test_any_value_is_a_time_or_none(value: bytes | int | float | None) -> None:
    time = microseconds(value)
    assert time is None or isinstance(time, int)


@given(st.integers(100_000_000, 99_999_999_999))
def test_a_time_tells_its_unit_by_its_size(seconds: int) -> None:
    for unit in (1, 1_000, 1_000_000):
        assert microseconds(seconds * unit) == seconds * 1_000_000
