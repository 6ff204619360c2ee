"""How an agent's time at a task went, in words and in strokes."""

from __future__ import annotations

from typing import Literal, TypeAlias

from cw_store import views

Outcome: TypeAlias = Literal["running", "waits", "idle", "crashed", "failed", "ended"]

WORDS: dict[Outcome, str] = {
    "running": "running",
    "waits": "waits for input",
    "idle": "idle",
    "crashed": "crashed",
    "failed": "ended with an error",
    "ended": "ended",
}


def outcome_of(bar: views.Bar) -> Outcome:
    """Return how it ended, or how it goes."""
    match bar.outcome:
        case "running":
            return "running"
        case "waiting_for_input":
            return "waits"
        case "idle":
            return "idle"
        case "crashed":
            return "crashed"
        case _:
            return "failed" if bar.exit_code else "ended"


def hatch(x: float, y: float, width: float, height: float) -> str:
    """Return slanted lines through a bar; as few as it takes for a wide one."""
    step = max(6.0, width / 120)
    path = ""
    at = step - height
    while at < width:
        begin, end, bottom = max(at, 0.0), min(at + height, width), y + height + at
        path += f"M{x + begin:.1f} {bottom - begin:.1f}L{x + end:.1f} {bottom - end:.1f}"
        at += step
    return path


def cross(x: float, y: float) -> str:
    """Return a cross at the end of a bar."""
    return f"M{x - 3:g} {y - 3:g}l6 6m0 -6l-6 6"
