"""What tells how far something is."""

from typing import Protocol


class Advance(Protocol):
    """Takes how much is done, how much there is if that is known, and what is being done."""

    def __call__(self, done: int, total: int | None, what: str | None = None, /) -> None:
        """Tell it; without `what` the same is done as before."""


def tell_nobody(done: int, total: int | None, what: str | None = None, /) -> None:
    """Tell it to nobody."""
