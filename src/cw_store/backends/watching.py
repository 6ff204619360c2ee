"""What both databases need to tell that something may have been committed."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)

GROWTH = 1.5
"""How much longer each pause is than the one before, while nothing changes."""


class Pace:
    """How long to pause between two looks, in seconds: short after a change, longer when quiet."""

    __slots__ = ("_longest", "_pause", "_shortest")

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = shortest
        self._longest = longest
        self._pause = shortest

    def next(self, *, is_changed: bool) -> float:
        """Return the pause after a look that found a change, or none."""
        grown = min(self._pause * GROWTH, self._longest)
        self._pause = self._shortest if is_changed else grown
        return self._pause


def never_raising(told: Callable[[], None]) -> Callable[[], None]:
    """Return what calls `told`, for those who must not fail because somebody else does."""

    def tell() -> None:
        try:
            told()
        except Exception:
            logger.exception(
                "whoever watches for commits was told of one, and failed",
                extra={"event": "watcher_failed"},
            )

    return tell
