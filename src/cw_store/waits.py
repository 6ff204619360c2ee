"""What one waits for in a store: an answer, a question, work, an account, a log, any change."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
)
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Self, TypeVar, Unpack
from weakref import WeakValueDictionary

from cw_store.backends.cancellation import shielded
from cw_store.calls import StoreCalls
from cw_store.errors import NotFoundError, StoreError
from cw_store.reads import ReadingUnit
from cw_store.repos.accounts import Account
from cw_store.repos.changes import Change, ChangedEntity
from cw_store.repos.claims import Claim, NextOptions
from cw_store.repos.conversations import Conversation
from cw_store.repos.log_chunks import LogChunk
from cw_store.repos.sql.changes import ENTITIES, change_of, filter_of
from cw_store.repos.sql.claims import Claims
from cw_store.repos.sql.feed import read_feed
from cw_store.repos.sql.feed_rows import Cursor, Filter, Told, cursor_of
from cw_store.repos.sql.ids import new_id
from cw_store.repos.sql.living import NEXT_MOMENT, Moment
from cw_store.statements.database import Database
from cw_store.types import EPOCH, StrictClock, microseconds_of
from cw_store.uow import Repositories, UnitOfWork
from cw_store.waiter import (
    ASKING,
    Key,
    Waiter,
    addressed_to,
    of_log,
    of_row,
    of_table,
)
from cw_store.watch import Watch

R = TypeVar("R")

CLOCK_PAUSE = 0.05
"""Seconds between two looks at a clock that the application gave."""

SHORTEST_SLEEP = 0.001
"""Seconds that are slept for a time at least: the database's clock may be a little behind."""

LONGEST_SLEEP = 30.0
"""Seconds until the time is looked at again, as clocks are set and machines sleep."""

OVERDUE_PAUSE = 0.5
"""Seconds that are slept while a lease is over that could not be recovered.

Its holder is writing: that may come to nothing, or to what nobody is told of.
"""

CHUNKS_AT_A_TIME = 250
CHANGES_AT_A_TIME = 500

CLAIMED_FROM = [of_table(name) for name in ("tasks", "phases", "initiatives", "accounts", "agents")]
ASKED = "provider", "account_id", "initiative_id", "categories", "phase_statuses"
"""What decides which tasks a claim may take."""

ROTATED_FROM = [of_table(name) for name in ("accounts", "agents")]


class Moments:
    """The times at which something changes by itself, for one who asks and sleeps in turns.

    With `recovers` the question recovers what it can of the leases that are over.
    """

    def __init__(self, database: Database, clock: StrictClock, *, recovers: bool = False) -> None:
        self._database = database
        self._clock = clock
        self._recovers = recovers
        self._seen: datetime | None = None

    async def sleep(self, waiter: Waiter) -> None:
        """Return when the waiter is woken, or when time alone may have changed its answer.

        That is the first moment after the last call, since the question was asked after that. So
        the first call returns at once: nobody knows how long before it the question was asked. So
        does one after the clock was set back.
        """
        asked_after, moment = self._seen, await self._after(self._seen or EPOCH)
        self._seen = moment.now
        if asked_after is None or moment.now < asked_after:
            return
        if self._recovers and moment.is_any_overdue:
            await waiter.woken(OVERDUE_PAUSE)
        elif moment.at is None:
            await waiter.woken()
        elif self._clock.is_given:
            await self._until(moment.at, waiter)
        else:
            seconds = (moment.at - moment.now).total_seconds()
            await waiter.woken(min(max(SHORTEST_SLEEP, seconds), LONGEST_SLEEP))

    async def _after(self, since: datetime) -> Moment:
        moment = await self._database.first(NEXT_MOMENT, since=since)
        assert moment is not None
        return moment

    async def _until(self, at: datetime, waiter: Waiter) -> None:
        """Look at a clock that may stand still, and jump."""
        end = microseconds_of(at)
        while self._clock.microseconds() < end and not await waiter.woken(CLOCK_PAUSE):
            pass


class ChangeFollower(AsyncIterator[Change]):
    """What `follow_changes` gives: each change once, and the `cursor` to go on from."""

    def __init__(self, database: Database, watch: Watch, start: Cursor | None, of: Filter) -> None:
        self._database = database
        self._waiter = watch.waiter(*_keys_of(of))
        self._filter = of
        self._position = start
        self._behind = start
        self._told: list[Told] = []
        self._turn = asyncio.Lock()

    @property
    def cursor(self) -> str | None:
        """Where whoever has used all that was given may go on; `None` at the very beginning.

        It is behind the last whole page. Of what was given since, something may come again.
        """
        return None if self._position is None else str(self._position)

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> Change:
        """Return the next change, waiting for it if need be; several tasks take turns.

        Raises StaleCursorError when it cannot be told, StoreClosedError when the store is closed.
        """
        async with self._turn:
            while not self._told:
                self._position = self._behind
                await self._read()
            return change_of(self._told.pop())

    async def _read(self) -> None:
        with self._waiter as waiter:
            while True:
                waiter.forget()
                part = await read_feed(
                    self._database, self._behind, CHANGES_AT_A_TIME, self._filter
                )
                self._behind = part.cursor
                self._told = [*reversed(part.told)]
                if self._told:
                    return
                self._position = self._behind
                if part.is_all:
                    await waiter.woken()


def _keys_of(of: Filter) -> list[Key]:
    return [of_table(name) for name in ENTITIES if of.entities is None or name in of.entities]


class Waits(Repositories):
    """The waits of a store. Nothing is held while one waits: no transaction, no connection.

    How long is the caller's: `async with asyncio.timeout(…)`. A wait that is cancelled leaves
    nothing behind. Closing the store ends all with StoreClosedError. Inside of a unit of work that
    writes nobody waits, since others might have to write for it: that is a UnitOfWorkError.
    """

    def __init__(self, database: Database, calls: StoreCalls, clock: StrictClock) -> None:
        super().__init__(database)
        self._clock = clock
        self._watch = Watch(database, calls.writing_tasks)
        # Only who waits holds one.
        self._turns: WeakValueDictionary[tuple[object, ...], asyncio.Lock] = WeakValueDictionary()

    async def wait_for(self, query: Callable[[UnitOfWork], Awaitable[R | None]]) -> R:
        """Return what `query(uow)` returns, as soon as that is true.

        `uow` is a unit of work that only reads. The query is asked at once, and again after every
        commit, by any task or process, that may have changed its answer: which tables it reads is
        seen from the repositories that it calls. One that uses `uow.session`, or reads a table that
        the feed does not tell of, is asked again after every commit. Where its answer depends on
        the time (what is ready, which account is free) it is asked when that has come. A renewal, a
        rotation's stamp and a counter wake nobody.

        An exception in `query` is raised here.
        """
        if not callable(query):
            raise TypeError(
                "store.wait_for(query) takes the function and calls it with each unit of work, "
                f"not {type(query).__name__}"
            )
        moments = self._moments()
        with self._watch.waiter(ASKING) as waiter:
            while True:
                waiter.forget()
                async with self._reading_unit() as uow:
                    result = await query(uow)
                if result:
                    return result
                waiter.expect(uow.reads.keys())
                await (moments.sleep(waiter) if uow.reads.asks_time else waiter.woken())
                waiter.expect([ASKING])

    async def wait_for_answer(self, conversation_id: str) -> Conversation:
        """Return the conversation as soon as it is answered.

        Raises NotFoundError when there is none, also when it is deleted meanwhile.
        """
        with self._watch.waiter(of_row("conversations", conversation_id)) as waiter:
            while True:
                waiter.forget()
                conversation = await self.conversations.find_by_id(conversation_id)
                if conversation is None:
                    raise NotFoundError("conversations", conversation_id)
                if conversation.status == "answered":
                    return conversation
                await waiter.woken()

    async def wait_for_account(self, provider: str = "claude") -> Account:
        """Claim the provider's next account, as `accounts.find_next_available`, when there is one.

        Accounts are claimed as soon as that is possible, because of a change or because time has
        passed; those who wait in this store take turns, the first who came first.
        """

        async def use() -> Account | None:
            return await self.accounts.find_next_available(provider)

        return await self._claim(use, self._moments(), ROTATED_FROM, "account", provider)

    async def wait_for_claim(
        self, *, holder: str, worktree_id: str, **options: Unpack[NextOptions]
    ) -> Claim:
        """Claim the next ready task, as `claims.next`, as soon as there is one that can be claimed.

        Be it because of a change or because time has passed: a lease that ran out, a pause that is
        over, an account that is free again. Those who wait in this store for the same tasks take
        turns, the first who came first, so that one is woken for one task. Raises what `next`
        raises. A task that was claimed just when the wait was cancelled is released.
        """
        agent_id = options.get("agent_id") or new_id()
        options["agent_id"] = agent_id

        async def take() -> Claim | None:
            try:
                return await self.claims.next(holder=holder, worktree_id=worktree_id, **options)
            except asyncio.CancelledError:
                await shielded(self._give_back(holder, agent_id))
                raise

        given = {"provider": "claude", **options}  # None asks for something else: no account
        asked = (repr(given.get(name)) for name in ASKED)
        moments = Moments(self._database, self._clock, recovers=True)
        return await self._claim(take, moments, CLAIMED_FROM, "claim", *asked)

    async def listen(self, agent_id: str) -> AsyncGenerator[Conversation]:
        """Give each pending conversation that is addressed to the agent, once, oldest first.

        Those that are there already come first. One that was answered before its turn came is left
        out.
        """
        given: set[str] = set()
        waiter = self._watch.waiter(addressed_to("conversations", agent_id))
        while True:
            with waiter:
                waiter.forget()
                pending = await self.conversations.find_pending_for_agent(agent_id)
                new = next((one for one in pending if one.id not in given), None)
                given &= {one.id for one in pending}
                if new is None:
                    await waiter.woken()
            if new is not None:
                given.add(new.id)
                yield new

    async def follow_log(
        self, agent_id: str, *, session_number: int | None = None, after: str | None = None
    ) -> AsyncGenerator[LogChunk]:
        """Give each chunk of an agent's log once, in the order of storing, and each that comes.

        Those that are there already come first; with `after`, the id of the last chunk seen, those
        behind it. When that is deleted it goes on with all that is there. With `session_number`
        those of that session alone.
        """
        chunks: list[LogChunk] = []
        waiter = self._watch.waiter(of_log(agent_id))
        while True:
            with waiter:
                while not chunks:
                    waiter.forget()
                    chunks = await self._read_log(agent_id, session_number, after)
                    if not chunks:
                        await waiter.woken()
            for chunk in chunks:
                yield chunk
                after = chunk.id
            chunks = []

    def follow_changes(
        self,
        after: str | None = None,
        *,
        entities: Collection[ChangedEntity] | None = None,
        initiative_id: str | None = None,
    ) -> ChangeFollower:
        """Give each change behind the cursor `after` once, as `changes.read`, and each that comes.

        `None` begins with the oldest change that is kept; `changes.position()` is where to begin
        with what comes from now on. What comes back has a `cursor`, to go on from later.
        """
        start = None if after is None else cursor_of(after)
        return ChangeFollower(
            self._database, self._watch, start, filter_of(entities, initiative_id)
        )

    def _reading_unit(self) -> ReadingUnit:
        raise NotImplementedError

    async def _read_log(
        self, agent_id: str, session_number: int | None, after: str | None
    ) -> list[LogChunk]:
        read = partial(
            self.log_chunks.find_by_agent_id, agent_id, session_number, limit=CHUNKS_AT_A_TIME
        )
        try:
            return await read(after=after)
        except NotFoundError:
            return await read()

    async def _claim(
        self,
        attempt: Callable[[], Awaitable[R | None]],
        moments: Moments,
        of: Iterable[Key],
        *what: object,
    ) -> R:
        """Return what an attempt gives, once one gives something; one at a time for the same."""
        turn = self._turns.get(what)
        if turn is None:
            turn = self._turns[what] = asyncio.Lock()
        async with turn:
            with self._watch.waiter(*of) as waiter:
                while True:
                    waiter.forget()
                    claimed = await attempt()
                    if claimed is not None:
                        return claimed
                    await moments.sleep(waiter)

    async def _give_back(self, holder: str, agent_id: str) -> None:
        """Release what a call has claimed that was cancelled, if it has: its turn comes first."""
        with suppress(StoreError):  # its lease runs out then
            async with self._database.atomic() as database:
                claims = Claims(database)
                for claim in await claims.find_live(holder=holder):
                    if claim.agent.id == agent_id:
                        await claims.release(claim)

    def _moments(self) -> Moments:
        return Moments(self._database, self._clock)
