"""A bar on a terminal: none for what is soon done, and one that stays for what takes long."""

import io
import threading

import pytest
from rich.console import Console

from cw_store.cli import progress
from cw_store.cli.progress import shown_progress


class Screen(io.StringIO):
    """What is drawn, and whether anything was."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def write(self, text: str, /) -> int:
        written = super().write(text)
        if "%" in text or "whole" in text:
            self.drawn.set()
        return written


def terminal(screen: Screen) -> Console:
    return Console(file=screen, force_terminal=True, width=80)


def test_what_is_done_soon_shows_no_bar() -> None:
    screen = Screen()
    with shown_progress(terminal(screen), "backup") as advance:
        advance(1, 2)
    assert "backup" not in screen.getvalue()


def test_what_takes_long_shows_one_although_it_says_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "UNSEEN_SECONDS", 0.0)
    screen = Screen()
    with shown_progress(terminal(screen), "doctor") as advance:
        advance(3, 12, "doctor: [file]")
        assert screen.drawn.wait(10)
    assert "doctor: [file]" in screen.getvalue()
    assert " 25%" in screen.getvalue()
    assert not [each for each in threading.enumerate() if "progress" in each.name]


def test_of_what_nobody_knows_how_much_it_is_no_share_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "UNSEEN_SECONDS", 0.0)
    screen = Screen()
    with shown_progress(terminal(screen), "prune") as advance:
        advance(3, 3)
        advance(0, None, "making it whole")
        assert screen.drawn.wait(10)
    assert "0%" not in screen.getvalue().rpartition("making it whole")[2]
