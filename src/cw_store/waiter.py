"""One who waits in a store, and what for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from cw_store.errors import StoreError

Key: TypeAlias = tuple[str, ...]
"""What a waiter waits for: a kind, and what of it."""

LOG = "log"

ANYTHING: Key = ("anything",)
"""Wait for every commit."""

ASKING: Key = ("asking",)
"""Remember every commit, since what is waited for is not known before the question is asked."""


def of_table(name: str) -> Key:
    """Wait for any change of a table that the feed tells of."""
    return "table", name


def of_row(table: str, id: str) -> Key:
    """Wait for a change of one row."""
    return "row", table, id


def addressed_to(table: str, agent_id: str) -> Key:
    """Wait for a change of a row that is addressed to an agent."""
    return "addressee", table, agent_id


def of_log(agent_id: str) -> Key:
    """Wait for a chunk of an agent's log."""
    return LOG, agent_id


class Wakes(Protocol):
    """What a waiter needs of the watch that wakes it."""

    def enter(self, waiter: Waiter, keys: frozenset[Key]) -> None:
        """Wake this waiter for these keys from now on."""
        ...

    def leave(self, waiter: Waiter, keys: frozenset[Key]) -> None:
        """Wake it for these no more."""
        ...

    async def refuse_inside_of_unit(self) -> None:
        """Raise UnitOfWorkError for a task that is inside of a unit of work that writes."""
        ...


class Waiter:
    """One who waits: `with watch.waiter(keys) as waiter`, ask, and if need be `await woken()`."""

    __slots__ = ("_error", "_future", "_is_woken", "_keys", "_missed", "_watch")

    def __init__(self, watch: Wakes, keys: Iterable[Key]) -> None:
        self._watch = watch
        self._keys = frozenset(keys)
        self._is_woken = False
        self._missed: set[Key] = set()
        self._error: StoreError | None = None
        self._future: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        """Say what it waits for, and whether it sleeps."""
        what = ", ".join(sorted(" ".join(key) for key in self._keys))
        return f"<Waiter for {what}: {'awake' if self._future is None else 'asleep'}>"

    def __enter__(self) -> Self:
        """Be woken from now on; raises StoreClosedError when the store is closed."""
        self._watch.enter(self, self._keys)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Be woken no more."""
        self._watch.leave(self, self._keys)

    def expect(self, keys: Iterable[Key]) -> None:
        """Wait for this, from when it was said last that nobody knows: `expect([ASKING])`."""
        self._watch.leave(self, self._keys)
        self._keys = frozenset(keys)
        self._watch.enter(self, self._keys)
        if not self._keys.isdisjoint(self._missed):
            self.wake()

    def forget(self) -> None:
        """Forget what was until now: the question is asked after this."""
        self._is_woken = False
        self._missed.clear()

    def remember(self, keys: Iterable[Key]) -> None:
        """Have it ask again if it turns out to wait for one of these."""
        self._missed.update(keys)

    async def woken(self, seconds: float | None = None) -> bool:
        """Return True when something came since `forget`, False after so many seconds.

        Raises StoreClosedError when the store is closed, and UnitOfWorkError for who is inside of a
        unit of work that writes, and keeps others from doing what is waited for.
        """
        if not self._is_woken:
            await self._watch.refuse_inside_of_unit()
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            timer = None if seconds is None else loop.call_later(seconds, self._rise)
            try:
                await self._future
            finally:
                self._future = None
                if timer is not None:
                    timer.cancel()
        if self._error is not None:
            raise self._error
        return self._is_woken

    def wake(self) -> None:
        """Have it ask again."""
        self._is_woken = True
        self._rise()

    def end(self, error: StoreError) -> None:
        """Have it end as this error."""
        self._error = error
        self.wake()

    def _rise(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)
