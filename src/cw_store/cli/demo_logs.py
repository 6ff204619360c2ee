"""What the agents of the demo store write: a line of JSON for each thing that they say or do."""

from __future__ import annotations

import json
from collections.abc import Iterator


def _line(kind: str, **values: object) -> str:
    return json.dumps({"type": kind, **values}, separators=(",", ":")) + "\n"


def _says(text: str) -> str:
    return _line("assistant", message={"content": [{"type": "text", "text": text}]})


def _uses(tool: str, **given: str) -> str:
    used = {"type": "tool_use", "name": tool, "input": given}
    return _line("assistant", message={"content": [used]})


def _gets(text: str) -> str:
    return _line("user", message={"content": [{"type": "tool_result", "content": text}]})


def begins(session_id: str, task: str) -> str:
    """Return the chunk with which a session begins."""
    start = _line("system", subtype="init", session_id=session_id, cwd="/work")
    return start + _says(f"I'll begin with: {task}.")


def works(task: str, step: int) -> str:
    """Return the chunk of one step; they come around again."""
    file = f"src/{task.lower().replace(' ', '_')}.py"
    steps = (
        _uses("Read", file_path=file)
        + _gets("def handle(request):\n    raise NotImplementedError"),
        _says(f"{task} needs a test first; I'll write one that fails."),
        _uses("Edit", file_path=f"tests/test_{file[4:]}") + _gets("The file was updated."),
        _uses("Bash", command="python -m pytest -q") + _gets("1 failed, 41 passed in 2.31s"),
        _uses("Edit", file_path=file) + _gets("The file was updated."),
        _uses("Bash", command="python -m pytest -q") + _gets("42 passed in 2.28s"),
        _says("It passes. Looking for what else calls it."),
        _uses("Grep", pattern="handle(") + _gets("src/app.py:12\nsrc/jobs.py:40"),
    )
    return steps[step % len(steps)]


def ends(text: str, *, is_error: bool = False) -> str:
    """Return the chunk with which a session ends."""
    return _line("result", subtype="error" if is_error else "success", result=text)


def asks(question: str) -> str:
    """Return the chunk of an agent that cannot go on by itself."""
    return _uses("AskUserQuestion", question=question)


def crash() -> Iterator[str]:
    """Give the chunks of an agent that dies: the last line is cut off."""
    yield _uses("Bash", command="make unit") + _gets("Killed")
    yield _says("The test run was killed. I'll give it less memory and try ag")[:-9]
