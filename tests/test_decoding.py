"""What agents write, one JSON object a line, becomes lines that a person can read."""

import json

import pytest

from cw_store.decoding import LONGEST, Lines, Said, said_in


def written(event: object) -> str:
    return json.dumps(event)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            {"type": "system", "subtype": "init", "model": "m-1", "session_id": "s"},
            [Said("begins", "model m-1, session_id s, subtype init")],
        ),
        (
            {"type": "assistant", "message": {"content": [{"type": "text", "text": "hello"}]}},
            [Said("says", "hello")],
        ),
        (
            {
                "type": "assistant",
                "message": {
                    "content": [
                        {"type": "thinking", "thinking": "hm"},
                        {"type": "tool_use", "name": "Bash", "input": {"command": "make test"}},
                    ]
                },
            },
            [Said("thinks", "hm"), Said("uses", "Bash: make test")],
        ),
        (
            {
                "type": "user",
                "message": {
                    "content": [{"type": "tool_result", "content": "3 passed", "is_error": False}]
                },
            },
            [Said("gets", "3 passed")],
        ),
        (
            {
                "type": "user",
                "message": {
                    "content": [
                        {
                            "type": "tool_result",
                            "content": [{"type": "text", "text": "no such file"}],
                            "is_error": True,
                        }
                    ]
                },
            },
            [Said("fails", "no such file")],
        ),
        ({"type": "result", "subtype": "success", "result": "done"}, [Said("ends", "done")]),
        (
            {"type": "item.completed", "item": {"type": "agent_message", "text": "hi"}},
            [Said("says", "hi")],
        ),
        (
            {"type": "item.started", "item": {"type": "command_execution", "command": "ls"}},
            [Said("uses", "a command: ls")],
        ),
        ({"type": "error", "message": "overloaded"}, [Said("fails", "overloaded")]),
        ({"type": "error", "error": {"message": "overloaded"}}, [Said("fails", "overloaded")]),
        ({"role": "assistant", "content": "text alone"}, [Said("says", "text alone")]),
    ],
)
def test_an_event_says_what_is_in_it(event: object, said: list[Said]) -> None:
    assert said_in(written(event)) == said


@pytest.mark.parametrize(
    "line",
    ["plain text", "", "{", "[1, 2]", '{"a": 1}', "null", "[" * 100_000, '{"type": 3, "x": {}}'],
)
def test_what_is_no_such_event_is_shown_as_it_is(line: str) -> None:
    assert [said.text for said in said_in(line)] == [line]


def test_an_event_of_any_shape_is_shown_somehow() -> None:
    shapes: list[object] = [None, 1, "a", [], {}, [None], {"type": None}, {"text": None}]
    for outer in ("message", "msg", "item", "content", "input", "text", "error"):
        for shape in shapes:
            for more in ({}, {"type": "tool_use"}, {"type": "assistant"}):
                assert said_in(written({**more, outer: shape}))
                assert said_in(written({**more, "message": {"content": [{outer: shape, **more}]}}))


def test_what_a_tool_answered_at_length_is_cut_and_says_so() -> None:
    part = {"type": "tool_result", "content": "x" * 10_000}
    [said] = said_in(written({"type": "user", "message": {"content": [part]}}))
    assert said.text == "x" * LONGEST + "… (10000 characters)"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_put_together_however_they_were_cut(size: int) -> None:
    text = '{"text": "one"}\n{"text": "two"}\nthree\n'
    lines, found = Lines(), list[str]()
    if size > 6:  # what begins with no brace is taken for a whole line at the end of a chunk
        text = text.replace("three\n", "")
    for at in range(0, len(text), size):
        found += lines.add(text[at : at + size])
    assert "".join([*found, lines.rest()]).replace("\n", "") == text.replace("\n", "")
    assert found[:2] == ['{"text": "one"}', '{"text": "two"}']


def test_a_chunk_that_ends_with_a_whole_object_ends_a_line() -> None:
    lines = Lines()
    assert list(lines.add('{"text": "one"}')) == ['{"text": "one"}']
    assert list(lines.add('{"text": "two')) == []
    assert list(lines.add('"}')) == ['{"text": "two"}']
    assert list(lines.add('{"begun')) == []
    assert lines.rest() == '{"begun'
    assert lines.rest() == ""
