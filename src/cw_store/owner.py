"""Whose a store is, and all that it gives out: one event loop's, in one process."""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from asyncio.events import _get_running_loop  # pyright: ignore[reportPrivateUsage] -- in its __all__

from cw_store.errors import StoreClosedError, StoreError

running_loop = _get_running_loop
"""Return the event loop that runs in this thread, or None; in a forked child none does."""

_process = os.getpid()  # to ask the system for each call would cost more than all else of a check


def _after_fork() -> None:
    global _process
    _process = os.getpid()


os.register_at_fork(after_in_child=_after_fork)


def running_asyncio_loop() -> AbstractEventLoop:
    """Return the running event loop; raises StoreError when there is none, under trio for one."""
    loop = running_loop()
    if loop is None:
        raise StoreError(
            "no event loop of asyncio is running here; start the program with asyncio.run(), "
            "trio's and others do not do"
        )
    return loop


class Owner:
    """The event loop and the process that opened something."""

    __slots__ = ("loop", "process")

    def __init__(self) -> None:
        self.loop = running_asyncio_loop()
        self.process = _process

    @property
    def is_this_process(self) -> bool:
        """Whether this is not a forked child of the owner."""
        return self.process == _process

    @property
    def is_here(self) -> bool:
        """Whether the caller is the owner."""
        return self.process == _process and running_loop() is self.loop

    def check(self, what: str) -> None:
        """Raise StoreClosedError unless the caller is the owner; `what` begins the sentence."""
        if not self.is_here:
            where = "event loop" if self.is_this_process else "process"
            raise StoreClosedError(f"{what} was opened in another {where}; open one here")
