"""What an agent wrote, one JSON object a line, as lines that a person can read.

Which program wrote them is not known, so this knows what several have in common: an event has a
type, and somewhere in it is text, a tool that is used, or what that tool answered. What has none of
these is shown as it is; nothing is left out without a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias, cast

Event: TypeAlias = Mapping[str, object]

LONGEST = 2000
"""Characters of what a tool was given or answered that are shown; `--raw` shows all."""

_TEXTS = ("text", "content", "message", "result", "output", "error", "delta", "summary")
"""Where an event has its text, the likeliest first."""

_INPUTS = ("command", "file_path", "path", "pattern", "query", "url", "description", "prompt")
"""Which of the things that a tool is given says most in one line."""


class Said(NamedTuple):
    """One thing an agent wrote: its kind (`says`, `thinks`, `uses`, `gets`, …), and the text."""

    kind: str
    text: str


class Lines:
    """Puts the lines together that chunks were cut into."""

    def __init__(self) -> None:
        self._begun = ""

    def add(self, content: str) -> Iterator[str]:
        """Give the lines that are whole now."""
        *whole, begun = (self._begun + content).split("\n")
        self._begun = begun
        yield from filter(None, whole)
        # Many end a chunk with its last line, without an end of that line.
        if begun and (not begun.lstrip().startswith("{") or parsed(begun) is not None):
            yield self.rest()

    def rest(self) -> str:
        """Return what is begun and was never ended."""
        rest, self._begun = self._begun, ""
        return rest


def parsed(line: str) -> Event | None:
    """Return the object that a line is, or None."""
    try:
        found: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast(Event, found) if isinstance(found, dict) else None


def said_in(line: str) -> list[Said]:
    """Return what one line says: several things if it has several parts."""
    event = parsed(line)
    if event is None:
        return [Said("writes", line)]
    return list(_of_event(event)) or [Said(_kind_of(event), line)]


def _of_event(event: Event) -> Iterator[Said]:
    """Look for the parts of a message first, then for text of the event itself."""
    inner = _first_object(event, ("message", "msg", "item", "payload")) or event
    parts = inner.get("content")
    if isinstance(parts, list):
        for part in cast(list[object], parts):
            yield from _of_part(part)
        return
    if _is_tool(inner):
        yield _of_tool(inner)
        return
    text = _text_in(inner) or _text_in(event)
    if text:
        yield Said(_kind_of(inner if "type" in inner else event), text)
    elif event.get("type") == "system":
        yield Said("begins", _facts(event, ("model", "session_id", "cwd", "subtype")))


def _of_part(part: object) -> Iterator[Said]:
    if isinstance(part, str):
        yield Said("says", part)
    elif isinstance(part, dict):
        block = cast(Event, part)
        kind = str(block.get("type", ""))
        if "tool_result" in kind:
            word = "fails" if block.get("is_error") else "gets"
            yield Said(word, _cut(_text_in(block) or ""))
        elif _is_tool(block):
            yield _of_tool(block)
        else:
            text = _text_in(block) or _as_text(block.get("thinking")) or json.dumps(block)
            yield Said(_kind_of(block), text)


def _is_tool(event: Event) -> bool:
    kind = str(event.get("type", ""))
    return "tool_use" in kind or "function_call" in kind or "command_execution" in kind


def _of_tool(event: Event) -> Said:
    given = event.get("input", event.get("arguments", event.get("command", "")))
    name = _as_text(event.get("name")) or _as_text(event.get("tool")) or "a command"
    if isinstance(given, dict):
        values = cast(Event, given)
        shortest = next((_as_text(values[key]) for key in _INPUTS if values.get(key)), None)
        given = shortest or json.dumps(values, ensure_ascii=False)
    return Said("uses", _cut(f"{name}: {_as_text(given) or ''}".removesuffix(": ")))


def _kind_of(event: Event) -> str:
    """Return the word for what an event is."""
    kind = str(event.get("type", event.get("role", "")))
    for part, word in (
        ("error", "fails"),
        ("thinking", "thinks"),
        ("reasoning", "thinks"),
        ("result", "ends"),
        ("completed", "ends"),
        ("system", "begins"),
        ("user", "hears"),
        ("text", "says"),
        ("assistant", "says"),
        ("agent_message", "says"),
        ("message", "says"),
    ):
        if part in kind:
            return word
    return "writes"


def _text_in(event: Event) -> str | None:
    for name in _TEXTS:
        text = _as_text(event.get(name))
        if text:
            return text
    return None


def _as_text(value: object) -> str | None:
    match value:
        case str():
            return value
        case list():
            parts = [_as_text(each) for each in cast(Sequence[object], value)]
            return "\n".join(part for part in parts if part) or None
        case dict():
            return _text_in(cast(Event, value))
        case _:
            return None


def _first_object(event: Event, names: Sequence[str]) -> Event | None:
    for name in names:
        value = event.get(name)
        if isinstance(value, dict):
            return cast(Event, value)
    return None


def _facts(event: Event, names: Sequence[str]) -> str:
    return ", ".join(f"{name} {event[name]}" for name in names if event.get(name))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
