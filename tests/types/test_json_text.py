"""JSON text, where the two databases could come to differ."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_store.types import Refused, for_jsonb
from cw_store.types.json_text import check_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(1e15, 1e25)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"))
    | st.just("1e+16 and 1.5e+162"),
    lambda inner: st.lists(inner) | st.dictionaries(st.just("e+17") | st.just("a"), inner),
    max_leaves=8,
)


@given(JSON)
def test_spelling_exponents_out_changes_no_value(value: object) -> None:
    assert json.loads(for_jsonb(check_json(value))) == value


@pytest.mark.parametrize(
    ("text", "spelled_out"),
    [
        ("1e+16", "10000000000000000.0"),
        ("[-1.2345678901234568e+18]", "[-1234567890123456768.0]"),
        ("1.5e+162", "1.5e+162"),
        ('{"1e+16": "1e+16"}', '{"1e+16": "1e+16"}'),
        ('[-0.0, -0.05, "-0.0"]', '[0.0, -0.05, "-0.0"]'),
    ],
)
def test_only_numbers_that_jsonb_would_read_as_integers_are_spelled_out(
    text: str, spelled_out: str
) -> None:
    assert for_jsonb(text) == spelled_out


@pytest.mark.parametrize(("inmost", "around"), [([], 99), ({}, 99), (1, 100)])
def test_a_hundred_levels_of_json_are_taken_and_one_more_is_not(inmost: Any, around: int) -> None:
    value: Any = inmost
    for _ in range(around):
        value = [value]
    check_json(value)
    with pytest.raises(Refused, match="deeper than 100"):
        check_json([value])
