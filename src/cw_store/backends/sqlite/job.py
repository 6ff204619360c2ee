"""A piece of work on its way to a connection's thread and back.

aiosqlite makes a hop to its thread for every call on a cursor. A `Job` makes one for all that
belongs together (BEGIN, the statement, its rows), and it tells its end to the event loop even when
the one who waited for it was cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from cw_store.backends.sqlite.errors import closed_error
from cw_store.backends.thread.future import Waiter
from cw_store.backends.thread.worker import ThreadCallbacks

T = TypeVar("T")

logger = logging.getLogger(__name__)


class JobHost(Protocol):
    """The connection whose thread does a job."""

    running: Waiter[Any] | None
    is_aimed_at: bool
    callbacks: ThreadCallbacks

    def note_failure(
        self,
        job: Waiter[Any],
        error: BaseException,
        work: Callable[..., Any],
        arguments: tuple[Any, ...],
    ) -> None:
        """Have the job bring back its error, or try again; in the thread."""
        ...

    def let_aim(self) -> None:
        """Wait until the loop has interrupted what ran; in the thread."""
        ...

    def interrupt_job(self, job: Waiter[Any]) -> None:
        """Interrupt the job if it runs; on the loop."""
        ...

    def place_of(self, job: object) -> str:
        """Say for people how far a job has come."""
        ...


class Job(Waiter[T]):
    """A piece of work on its way to a connection's thread and back.

    Whoever waits for it and is cancelled gives it up: if it has not begun it is not done, and if
    it runs it is interrupted. One whose end is waited for with `finished` is done, come what may.
    """

    __slots__ = ("_arguments", "_connection", "_then", "_work")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: JobHost,
        then: Callable[[], None] | None,
        work: Callable[..., T],
        arguments: tuple[Any, ...],
    ) -> None:
        super().__init__(loop)
        self._connection = connection
        self._then = then
        self._work = work
        self._arguments = arguments

    def __call__(self) -> None:
        """Do the work; runs in the connection's thread."""
        connection = self._connection
        connection.running = self
        if not self.given_up:
            try:
                self.value = self._work(*self._arguments)
            except BaseException as error:
                connection.note_failure(self, error, self._work, self._arguments)
        else:
            self.error = closed_error()
        connection.running = None
        if connection.is_aimed_at:
            connection.let_aim()
        connection.callbacks.add(self._return)

    def _return(self) -> None:
        if self._then is not None:
            try:
                self._then()
            except Exception:
                logger.exception("what follows on %r failed", self)
        self.settle_now()

    def give_up(self) -> None:
        """Let the work not be done, or no further; on the loop."""
        if not self.is_kept:
            self.given_up = True
            self._connection.interrupt_job(self)

    def __repr__(self) -> str:
        """Say what is to be done, where, and behind how much."""
        return f"<{self._work_name()} {self._connection.place_of(self)}>"

    def _work_name(self) -> str:
        return getattr(self._work, "__qualname__", repr(self._work))
