"""Claims that are kept: renewed in the background while the blocks last that need them.

**Guarantees.** Within a block of `Keep` its claims were held at entry, and each is renewed when a
third of the shortest lease has passed since, all that a store keeps together. When another has the
task of one, or the store is closed, the task that is in the block is cancelled once, as
asyncio.timeout does it: the block ends as the error unless it ends as something else, and a
cancellation from outside that comes meanwhile is passed on. A renewal that fails is logged and
tried again; it ends no block. A claim that its own holder has ended is renewed no more, and ends no
block either. A block leaves nothing behind: no task, no timer, no reference.

**Runs on.** The event loop of the store, by the loop's own time, which no clock that is set moves;
a process that was frozen finds its timer due when it wakes, and renews at once. There is a timer
while anything is kept, and a task of its own for each renewal, with none of its caller's context:
whoever cancels it has cancelled one renewal, which then has failed.

**Order.** A block is renewed before it counts as kept, so that nobody is told of a takeover who
has not entered. It is forgotten before its end is looked at, so that no cancellation comes after
that. A renewal takes the writer's turn of SQLite like any call, and waits for it as long as a unit
of work has it, that of the block itself perhaps. That is never a deadlock, since no block waits
for a renewal but its own first one, and costs nothing, since to recover a task takes the turn too:
while the renewal waits nobody takes anything away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextvars import Context
from datetime import timedelta
from types import TracebackType
from typing import TypeAlias
from weakref import WeakSet

from cw_store.backends.cancellation import raise_once
from cw_store.errors import StoreClosedError, StoreError
from cw_store.repos.claims import Claim
from cw_store.repos.sql.claims import Claims
from cw_store.repos.sql.fence import find_lost_error, find_takeover, refuse_no_claim
from cw_store.statements.database import Database

logger = logging.getLogger(__name__)

FIRST_RETRY = 16
"""A renewal that fails is tried again after this part of the usual pause, then twice that, …"""

Key: TypeAlias = tuple[str, int]
"""What tells a claim from others: its agent and epoch."""


class Keep:
    """What `store.keep` gives: the claims are renewed while its block lasts."""

    __slots__ = (
        "__weakref__",
        "_cancelling",
        "_ends_as",
        "_is_used",
        "_keeper",
        "_task",
        "claims",
        "lease",
        "renewed_at",
    )

    def __init__(self, keeper: Keeper, claims: Iterable[Claim], lease: timedelta) -> None:
        self._keeper = keeper
        self.claims: dict[Key, Claim] = {}
        """Those that are held, as they were last renewed."""
        for claim in claims:
            refuse_no_claim(claim)
            self.claims[_key(claim)] = claim
        self.lease = lease
        self.renewed_at = 0.0
        """When the last renewal was begun, by the loop's time."""
        self._is_used = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0  # how often the task had been cancelled before
        self._ends_as: list[StoreError] = []  # what the block was ended by

    def __repr__(self) -> str:
        """Say whose claims, and whether somebody is inside."""
        tasks = ", ".join(claim.task.id for claim in self.claims.values())
        return f"<Keep of {tasks or 'nothing'} for {self._task or 'nobody'}>"

    @property
    def due(self) -> float:
        """When its claims are to be renewed, by the loop's time."""
        return self.renewed_at + self.lease.total_seconds() / 3

    async def __aenter__(self) -> None:
        """Renew; raises LeaseLostError when a claim is over, and what else `renew` raises."""
        if self._is_used:
            raise StoreError("what store.keep() gives is entered once; call it again")
        self._is_used = True
        task = asyncio.current_task()
        assert task is not None
        await self._keeper.begin(self)
        self._task, self._cancelling = task, task.cancelling()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Renew no more; raises what the block was ended by, in place of its cancellation."""
        self._keeper.leave(self)
        task, self._task = self._task, None
        if not self._ends_as or task is None:
            return
        is_the_last = task.uncancel() <= self._cancelling
        if is_the_last and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise_once(self._ends_as.pop())
        logger.warning(
            "a block that kept claims has ended by itself: %s",
            self._ends_as.pop(),
            extra={"event": "keep_ended"},
        )

    def end(self, error: StoreError) -> None:
        """Have the block end as this error, by cancelling the task that is in it."""
        if self._task is not None and not self._ends_as:
            self._ends_as.append(error)
            self._task.cancel(str(error))


class Keeper:
    """All that one store keeps."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claims = Claims(database)
        # The frame of its block holds a Keep; one that is dropped, frame and all, is kept no more.
        self._kept: WeakSet[Keep] = WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[bool] | None = None
        self._failures = 0
        self._is_closed = False

    def __repr__(self) -> str:
        """Say how much it keeps, and what it is doing."""
        state = "waiting" if self._renewal is None else f"renewing, {self._failures} failed before"
        return f"<Keeper of {len(self._kept)} blocks: {state}>"

    async def begin(self, keep: Keep) -> None:
        """Renew its claims, and keep them from now on."""
        loop = asyncio.get_running_loop()
        keep.renewed_at = loop.time()
        lost = await self._renewed_of([keep], list(keep.claims.values()), keep.lease)
        if lost:
            raise await find_lost_error(self._database, lost[0])
        if self._is_closed:
            raise _closed_error()
        self._kept.add(keep)
        if self._timer is None or keep.due < self._timer.when():
            self._wait_until(keep.due)

    def leave(self, keep: Keep) -> None:
        """Keep it no more."""
        self._kept.discard(keep)
        if not self._kept:
            self._stop_timer()

    def close(self) -> None:
        """End every block, since the store is being closed."""
        self._is_closed = True
        self._stop_timer()
        for keep in list(self._kept):
            keep.end(_closed_error())

    # When to renew.

    def _wait_until(self, time: float) -> None:
        self._stop_timer()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(time, self._start, context=Context())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        """Renew all, unless none is due any more, or the last renewal is still under way."""
        self._timer = None
        due = self._first_due()
        if due is None or self._renewal is not None:
            return
        if due > asyncio.get_running_loop().time():
            self._wait_until(due)
            return
        self._renewal = asyncio.create_task(
            self._renew_all(), name="cw_store renews what is kept", context=Context()
        )
        self._renewal.add_done_callback(self._after_renewal, context=Context())

    def _first_due(self) -> float | None:
        return min((keep.due for keep in self._kept if keep.claims), default=None)

    def _after_renewal(self, renewal: asyncio.Task[bool]) -> None:
        self._renewal = None
        error = None if renewal.cancelled() else renewal.exception()
        if renewal.cancelled() or error is not None or not renewal.result():
            self._failures += 1
        else:
            self._failures = 0
        due = self._first_due()
        if due is None or self._is_closed:
            return
        pause = self._pause()
        if error is not None or renewal.cancelled():
            logger.warning(
                "a renewal failed; it is tried again in %.3g s",
                pause,
                exc_info=error,
                extra={"event": "renewal_failed"},
            )
        soonest = asyncio.get_running_loop().time() + pause
        self._wait_until(soonest if self._failures else due)

    def _pause(self) -> float:
        """Return the seconds until a renewal that failed is tried again."""
        usual = min(keep.lease for keep in self._kept).total_seconds() / 3
        return min(usual, usual / FIRST_RETRY * 2 ** min(self._failures - 1, FIRST_RETRY))

    # Renewing.

    async def _renew_all(self) -> bool:
        """Renew all that is kept; return whether each lease lasts longer than before."""
        began = asyncio.get_running_loop().time()
        kept = list(self._kept)
        before = _leases(kept)
        for lease, claims in _by_lease(kept).items():
            for lost in await self._renewed_of(kept, claims, lease):
                await self._tell(kept, lost)
        # Where somebody was just writing to the agent, the lease is what it was.
        passed_by = {key for key, until in _leases(kept).items() if until == before[key]}
        for keep in kept:
            if passed_by.isdisjoint(keep.claims):
                keep.renewed_at = began
        return not passed_by

    async def _renewed_of(
        self, kept: Iterable[Keep], claims: list[Claim], lease: timedelta
    ) -> list[Claim]:
        """Renew claims, note how long they last now, and return those that are not held."""
        held = {_key(claim): claim for claim in await self._claims.renew(claims, lease=lease)}
        for keep in kept:
            keep.claims.update((key, held[key]) for key in keep.claims.keys() & held.keys())
        return [claim for claim in claims if _key(claim) not in held]

    async def _tell(self, kept: Iterable[Keep], lost: Claim) -> None:
        """End the blocks that keep a claim which is not held, unless its holder has ended it."""
        for keep in kept:
            if _key(lost) in keep.claims:
                takeover = await find_takeover(self._database, lost)
                keep.claims.pop(_key(lost), None)
                if takeover is not None:
                    keep.end(takeover)


def _key(claim: Claim) -> Key:
    return claim.agent.id, claim.epoch


def _leases(kept: Iterable[Keep]) -> dict[Key, object]:
    return {
        key: claim.agent.lease_expires_at for keep in kept for key, claim in keep.claims.items()
    }


def _by_lease(kept: Iterable[Keep]) -> dict[timedelta, list[Claim]]:
    """Return the claims by the lease they are kept for, the longest where there are several."""
    longest: dict[Key, tuple[timedelta, Claim]] = {}
    for keep in kept:
        for key, claim in keep.claims.items():
            lease = max(keep.lease, longest[key][0]) if key in longest else keep.lease
            longest[key] = lease, claim
    groups: dict[timedelta, list[Claim]] = {}
    for lease, claim in longest.values():
        groups.setdefault(lease, []).append(claim)
    return groups


def _closed_error() -> StoreClosedError:
    return StoreClosedError("the store was closed while it kept claims")
