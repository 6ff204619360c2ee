"""The code that is written out for a statement's values and a record's fields."""

import inspect
import traceback
from collections.abc import Mapping
from typing import Any

import pytest

from cw_store.statements.codegen import write_binder, write_reader
from cw_store.types import Refused


def shout(value: Any) -> Any:
    if isinstance(value, int):
        raise Refused("takes no number")
    return None if value is None else value.upper()


def complain(values: Mapping[str, Any]) -> None:
    raise LookupError(dict(values))


def test_each_value_is_checked_and_stands_wherever_it_is_named() -> None:
    fixed = object()
    checks = {"a": shout, "order": shout}
    bind = write_binder(
        "x", ["order", "param_1", "a", "order"], checks, {"param_1": fixed}, (), complain
    )
    assert bind({"a": "x", "order": "y"}) == ["Y", fixed, "X", "Y"]
    assert bind({"a": None, "order": "y", "left out": 1}) == ["Y", fixed, None, "Y"]
    assert write_binder("x", ["param_1"], {}, {"param_1": fixed}, (), complain)({}) == [fixed]


@pytest.mark.parametrize("given", [{"a": None, "b": "y"}, {"a": "x", "b": 1}, {"a": 1, "b": 1}])
def test_whoever_knows_the_table_is_told_of_a_value_that_is_refused(given: dict[str, Any]) -> None:
    bind = write_binder("x", ["a", "b"], {"a": shout, "b": shout}, {}, {"a"}, complain)
    with pytest.raises(LookupError) as raised:
        bind(given)
    assert raised.value.args == (given,)


def test_plain_text_is_not_checked_and_all_else_is() -> None:
    checked: list[Any] = []

    def check(value: Any) -> Any:
        checked.append(value)
        return "checked"

    class Text(str):
        pass

    bind = write_binder("x", ["a"], {"a": check}, {}, (), complain, plain={"a": range(1, 4)})
    for value in ("a", "abc", "a'\\"):
        assert bind({"a": value}) == [value]
    assert checked == []
    others = ["", "abcd", "a\0", "é", None, 5, b"a", Text("a")]
    for value in others:
        assert bind({"a": value}) == ["checked"]
    assert checked == others


def test_a_refusal_that_cannot_be_told_apart_is_raised_as_it_is() -> None:
    bind = write_binder("x", ["a"], {"a": shout}, {}, (), lambda values: None)
    with pytest.raises(Refused, match="takes no number"):
        bind({"a": 1})


def test_a_reader_converts_what_has_to_be_and_leaves_none_alone() -> None:
    read = write_reader("x", ["id", "name", "rest"], [None, shout])
    made, empty = read([("i", "n", 5), (None, None, None)])
    assert (made.id, made.name, made.rest) == ("i", "N", 5)
    assert empty.name is None
    assert not hasattr(made, "__dict__")


def sign(value: Any, id: Any) -> Any:
    return None if value is None else f"{value} of {id}"


def test_a_value_may_be_checked_together_with_the_id_of_its_row() -> None:
    checks = {"id": shout, "secret": sign}
    bind = write_binder("x", ["secret", "id"], checks, {}, (), complain, {"secret"})
    assert bind({"id": "a", "secret": "s"}) == ["s of a", "A"]
    assert bind({"id": "a", "secret": None}) == [None, "A"]


def test_a_value_may_be_converted_together_with_the_id_of_its_row() -> None:
    read = write_reader("x", ["id", "name", "secret"], [None, shout, sign], with_id={"secret"})
    made, without = read([("i", "n", "s"), ("i", "n", None)])
    assert (made.id, made.name, made.secret) == ("i", "N", "s of i")
    assert without.secret is None


def test_what_was_written_out_is_seen_in_a_traceback_and_found_by_inspect() -> None:
    def break_down(value: Any) -> Any:
        raise ZeroDivisionError(value)

    bind = write_binder("update tasks", ["a"], {"a": break_down}, {}, (), complain)
    read = write_reader("Task", ["id", "name"], [None, break_down])
    for use, said, line in (
        (lambda: bind({"a": 1}), "binder of update tasks", "value_0 = check_0(values['a'])"),
        (lambda: read([("i", "n")]), "reader of Task", "convert_name(name)"),
    ):
        with pytest.raises(ZeroDivisionError) as raised:
            use()
        told = "".join(traceback.format_exception(raised.value))
        assert f'File "<cw_store: {said}' in told and line in told
    assert inspect.getsource(bind).startswith("def bind(values):\n")
    assert "convert_name(name)" in inspect.getsource(read)


def test_the_sources_of_two_statements_of_one_table_are_told_apart() -> None:
    first = write_binder("insert pages", ["a"], {"a": shout}, {}, (), complain)
    second = write_binder("insert pages", ["b"], {"b": shout}, {}, (), complain)
    again = write_binder("insert pages", ["a"], {"a": shout}, {}, (), complain)
    assert "values['a']" in inspect.getsource(first)
    assert "values['b']" in inspect.getsource(second)
    assert again.__code__ is first.__code__
