"""The store: one database, open, and the way to units of work on it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self, TypedDict, TypeVar, Unpack
from weakref import finalize

from cw_store.backends.cancellation import shielded
from cw_store.backends.port import Backend
from cw_store.calls import StoreCalls
from cw_store.credentials import rules_for
from cw_store.errors import StoreBusyError, StoreClosedError
from cw_store.keeping import Keep, Keeper
from cw_store.location import locate
from cw_store.observing import Observer, Observers
from cw_store.opening import (
    Opening,
    check_counts,
    check_seconds,
    check_switches,
    open_backend,
    open_in_memory,
)
from cw_store.owner import Owner
from cw_store.reads import ReadingUnit
from cw_store.repos.claims import LEASE, Claim
from cw_store.statements.database import Database
from cw_store.stats import Stats
from cw_store.types import MAX_TEXT_BYTES, Reading, StrictClock
from cw_store.uow import Repositories, UnitOfWork
from cw_store.upkeep import Upkeep

R = TypeVar("R")
T = TypeVar("T")


class StoreSettings(TypedDict, total=False):
    """The settings of a `Store`, whose docstring says what each is."""

    migrate: bool
    synchronous: Literal["NORMAL", "FULL"]
    readers: int
    busy_timeout: float
    clock: Reading | None
    encryption_keys: Sequence[str | bytes]
    max_text_bytes: int
    pool_size: int
    pin_threads: bool
    read_only: bool
    wakeups: Literal["notify", "poll"]
    slow_unit: float | None


class Store(Upkeep):
    """One database: `async with Store("cw.db") as store:`.

    `url` is a file path, or a URL (`sqlite:///cw.db`, `postgresql://host/database`);
    `:memory:` is a private store that ends with this object; None means `$CW_STORE_URL`,
    else `cw.db` in the working directory. The repositories on the store itself are for one
    call at a time: each call is a transaction of its own.

    - `migrate`: bring the schema up to date on open; False raises SchemaBehindError instead.
    - `synchronous`: SQLite only. NORMAL survives a killed process, FULL also a power cut.
    - `readers`: SQLite only. The most connections that read at the same time.
    - `busy_timeout`: seconds to wait for a turn, a connection or a lock. On PostgreSQL a
      statement is given up five seconds later than that, for the server may hang.
    - `clock`: gives the time as an aware datetime; it is asked in other threads too. One that gives
      something else is an InvalidValueError here; one that fails later is a StoreError for that
      call alone.
    - `encryption_keys`: Fernet keys for credentials at rest; the first encrypts, all decrypt.
      Without any, those in `$CW_STORE_KEYS`, separated by commas.
    - `max_text_bytes`: the most bytes of UTF-8 that one text may have.
    - `pool_size`: PostgreSQL only. The most connections at the same time.
    - `pin_threads`: SQLite on Linux only. A connection's thread follows the event loop from core
      to core, among those that the loop's thread may use at that moment; False leaves scheduling
      alone.
    - `read_only`: True reads and writes nothing: it needs no right to write, migrates nothing, and
      makes and changes no file but SQLite's own -wal and -shm beside a file that is in use. A file
      that this process may not write to is opened so by itself. Writes are a ReadOnlyError.
    - `wakeups`: PostgreSQL only. How whoever waits learns of the commits of others: "notify" has
      the server tell, on a connection beside the pool; "poll" asks it, where cw_store.notify is
      off or no notification comes through, every 50 ms after a commit and every 500 ms when there
      was none for a while. A standby, which can tell nobody, is asked in any case.
    - `slow_unit`: a unit of work that holds the writer's turn, a snapshot or a connection for more
      seconds than this is logged as a warning when it ends; None logs none.

    A store belongs to the event loop and the process that opened it.
    """

    def __init__(
        self,
        url: str | Path | None = None,
        *,
        migrate: bool = True,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        readers: int = 4,
        busy_timeout: float = 30.0,
        clock: Reading | None = None,
        encryption_keys: Sequence[str | bytes] = (),
        max_text_bytes: int = MAX_TEXT_BYTES,
        pool_size: int = 10,
        pin_threads: bool = True,
        read_only: bool = False,
        wakeups: Literal["notify", "poll"] = "notify",
        slow_unit: float | None = 1.0,
    ) -> None:
        if synchronous not in ("NORMAL", "FULL"):
            raise ValueError(f"synchronous is 'NORMAL' or 'FULL', not {synchronous!r}")
        if wakeups not in ("notify", "poll"):
            raise ValueError(f"wakeups is 'notify' or 'poll', not {wakeups!r}")
        check_counts(readers=readers, pool_size=pool_size, max_text_bytes=max_text_bytes)
        check_seconds(busy_timeout=busy_timeout)
        if slow_unit is not None:
            check_seconds(slow_unit=slow_unit)
        check_switches(migrate=migrate, pin_threads=pin_threads, read_only=read_only)
        self._location = locate(url)
        strict = StrictClock(clock)
        self._rules = replace(rules_for(encryption_keys, max_text_bytes), clock=strict)
        self._opening = Opening(
            migrate=migrate,
            read_only=read_only,
            synchronous=synchronous,
            readers=readers,
            busy_timeout=busy_timeout,
            pool_size=pool_size,
            pin_threads=pin_threads,
            wakeups=wakeups,
            rules=self._rules,
        )
        self._remove_folder: finalize[[], Store] | None = None
        self._terminate_backend: finalize[[Owner, Backend], Store] | None = None
        calls = self._calls = StoreCalls(slow_unit)
        database = Database(calls, calls.no_statements, check=calls.check, is_transaction=False)
        super().__init__(database, calls, strict, self._location, self._rules)
        self._keeper = Keeper(self._database)
        self._calls_by_name = Counter[str]()

    @classmethod
    async def open(cls, url: str | Path | None = None, **settings: Unpack[StoreSettings]) -> Self:
        """Return an open store; the settings are those of the constructor."""
        store = cls(url, **settings)
        await store.__aenter__()
        return store

    async def __aenter__(self) -> Self:
        """Open; whatever stands in the way is a StoreError.

        Of these SchemaBehindError and SchemaAheadError speak of the schema, SchemaError of what is
        no store or lies in no folder, StoreBusyError of what may pass.
        """
        if self._calls.owner is not None:
            raise StoreClosedError("a store is opened once; make a new one")
        owner = self._calls.owner = Owner()
        try:
            backend = await self._open_backend(owner)
            self._calls.open(backend, owner.loop)
            self._database.use(backend.statements, backend.capabilities)
            side_by_side = backend.capabilities.has_concurrent_writers
            self._watch.open(backend, tells_of_all=not side_by_side)
        except BaseException:
            self._forget_folder()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; a forked child that leaves the block leaves the store to its parent."""
        owner = self._calls.owner
        if kind is not None and owner is not None and not owner.is_this_process:
            return
        await self.close()

    async def close(self) -> None:
        """Close every connection; what has not committed is rolled back. May be called again."""
        if not self._calls.is_open:
            return
        backend = backend_of(self)
        self._keeper.close()
        self._watch.close()
        self._calls.close()
        self._database.use(self._calls.no_statements)
        try:
            await shielded(backend.close())
        finally:
            self._forget_folder()

    def unit_of_work(
        self, *, read_only: bool = False, label: str | None = None, claim: Claim | None = None
    ) -> UnitOfWork:
        """Return a unit of work on this store, to be entered with `async with`."""
        return UnitOfWork(self, read_only=read_only, label=label, claim=claim)

    def _reading_unit(self) -> ReadingUnit:
        return ReadingUnit(self, read_only=True)

    async def run(
        self,
        work: Callable[[UnitOfWork], Awaitable[T]],
        *,
        attempts: int = 5,
        label: str | None = None,
        claim: Claim | None = None,
    ) -> T:
        """Return what `work(uow)` returns, repeating the whole unit of work if that can help.

        Worth repeating is what the database undid because others were in the way: a
        serialisation failure, a deadlock, a prepared statement made stale by a schema change,
        a turn or lock that did not come in time (StoreBusyError). The pause before the n-th
        repetition is random, up to 10 ms times 2 to the n. Everything else is raised at once,
        OutcomeUnknownError included, when nobody can know whether the unit is stored; after
        `attempts` calls so is the StoreBusyError. `work` must do nothing outside of the unit that
        may not be done twice. With `claim` each unit is fenced; LeaseLostError is raised at once.
        """
        if attempts < 1:
            raise ValueError("attempts is at least 1")
        if not callable(work):
            raise TypeError(
                "store.run(work) takes the function and calls it with each unit of work, "
                f"not {type(work).__name__}"
            )
        for attempt in range(1, attempts + 1):
            try:
                async with self.unit_of_work(label=label, claim=claim) as uow:
                    return await work(uow)
            except StoreBusyError:
                if attempt == attempts:
                    raise
            # Chance keeps two that gave way to each other from meeting again.
            pause = random.uniform(0, 0.01 * 2**attempt)  # noqa: S311 -- it guards no secret
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def keep(
        self, *claims: Claim, lease: timedelta = LEASE
    ) -> AbstractAsyncContextManager[None, None]:
        """Keep claims while a block lasts: `async with store.keep(claim):`.

        Entering renews them, and is a LeaseLostError when one is over. From then on they are
        renewed for `lease` whenever a third of that has passed, all that this store keeps in one
        statement; blocks may be nested, and of any number of tasks. When another has taken the task
        of one, the task that is in the block is cancelled, as by `asyncio.timeout`, and the block
        ends as LeaseLostError, which says who. A renewal that fails is logged and tried again. One
        that is late costs nothing as long as nobody has taken the task.

        Leaving the block neither ends nor releases the claims; whoever ends one inside of it goes
        on undisturbed. Closing the store ends all blocks with StoreClosedError.
        """
        return Keep(self._keeper, claims, lease)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tell `observer` of each call and unit of work from now on; return what ends that.

        `cw_store.observing` says what is told, and when. Any number may observe. A repository that
        was taken from the store before, and a unit that has begun, tell nobody. Ending it twice
        does nothing.
        """
        self._set_observers((*self._observers, observer))

        def end() -> None:
            if observer in self._observers:
                self._set_observers([one for one in self._observers if one is not observer])

        return end

    @property
    def _observers(self) -> tuple[Observer, ...]:
        return () if self._calls.observers is None else self._calls.observers.all

    def _set_observers(self, observers: Sequence[Observer]) -> None:
        self._observe_no_more()
        self._calls.observers = None
        if observers:
            self._calls.observers = Observers(self._calls_by_name, *observers)
            self._observe(self._calls.observers, Repositories(self._database))

    def stats(self) -> Stats:
        """Return what this store has done since it was opened, in this process."""
        backend = backend_of(self)
        return Stats(
            calls=self._calls.calls,
            calls_by_name=MappingProxyType(dict(self._calls_by_name)),
            units=self._calls.counts.stats(),
            wakeups=self._watch.wakeups,
            database=backend.stats(),
        )

    @property
    def connections_in_use(self) -> int:
        """How many connections are held by units of work or calls at this moment."""
        return self._calls.connections_in_use

    @property
    def url(self) -> str:
        """Where the data is, without a password."""
        return str(self._location)

    def __repr__(self) -> str:
        """Show where the data is, and no secret."""
        return f"Store({str(self._location)!r})"

    def _terminate(self) -> None:
        backend, owner = self._calls.close(), self._calls.owner
        self._database.use(self._calls.no_statements)
        if owner is not None and owner.is_this_process:
            if backend is not None:
                backend.terminate()
            self._forget_folder()

    async def _open_backend(self, owner: Owner) -> Backend:
        if not self._location.is_memory:
            return await open_backend(self._location, self._opening)
        folder, backend = await open_in_memory(self._opening)
        self._remove_folder = finalize(self, folder.remove)
        self._terminate_backend = finalize(self, _terminate, owner, backend)
        self._terminate_backend.atexit = False  # its threads end with the process
        return backend

    def _forget_folder(self) -> None:
        if self._terminate_backend is not None:
            self._terminate_backend.detach()
        if self._remove_folder is not None:
            self._remove_folder()


# For tests and measurements, and the default store; no business of an application.


def backend_of(store: Store) -> Backend:
    """Return the open database of a store; raises StoreClosedError where there is none."""
    calls = store._calls  # pyright: ignore[reportPrivateUsage] -- they are one with the class
    calls.check_here()
    return calls.backend


def terminate(store: Store) -> None:
    """Let go of a store's database without an event loop, because the store's own is gone."""
    store._terminate()  # pyright: ignore[reportPrivateUsage] -- they are one with the class


def _terminate(owner: Owner, backend: Backend) -> None:
    """Let go of the database of a store that was collected, in whatever thread that was."""
    if owner.is_this_process:
        with suppress(RuntimeError):  # the loop is closed, and its process about to end
            owner.loop.call_soon_threadsafe(backend.terminate)
