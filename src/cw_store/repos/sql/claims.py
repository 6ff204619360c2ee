"""Claims in SQL: who works on which task, and which may be claimed next."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar, Unpack

from cw_store.errors import InvalidValueError, NotFoundError, StoreError
from cw_store.repos.agents import Agent
from cw_store.repos.claims import (
    LEASE,
    Claim,
    ClaimOptions,
    ClaimRepository,
    Finished,
    NextOptions,
    ReadyOptions,
)
from cw_store.repos.initiatives import InitiativeStatus
from cw_store.repos.json_value import JsonValue
from cw_store.repos.phases import PhaseStatus
from cw_store.repos.readiness import Readiness, Standing
from cw_store.repos.sql import ending
from cw_store.repos.sql.agents import meets_others
from cw_store.repos.sql.at_once import complete_at_once
from cw_store.repos.sql.claiming import (
    HOLD_TASK,
    Wanted,
    check_wanted,
    claim_next,
    claim_one,
)
from cw_store.repos.sql.explaining import explanation, reasons, standings
from cw_store.repos.sql.fence import IS_HELD, claim_values, find_lost_error, refuse_no_claim
from cw_store.repos.sql.listings import LARGEST_LIMIT, checked_limit
from cw_store.repos.sql.living import NEXT_DEADLINE, TIME, live_claims, renew
from cw_store.repos.sql.readiness import (
    CANDIDATE,
    all_ready,
    filter_of,
    known_values,
    values_of,
)
from cw_store.repos.sql.recovering import OF_HOLDER, recover
from cw_store.repos.sql.table import refuse_no_flag
from cw_store.repos.tasks import Task, TaskStatus
from cw_store.schema import agents, initiatives, phases, tasks
from cw_store.statements.database import Database
from cw_store.statements.procedure import Begin
from cw_store.statements.query import new_values
from cw_store.types import MICROSECOND

T = TypeVar("T")

LONGEST = timedelta(days=36_500)
"""The longest lease or pause: a century is for ever, and still a time that can be stored."""

SPREAD = 0.2
"""By how much of itself a back-off is longer or shorter at random."""

OF_READY = ReadyOptions.__optional_keys__
OF_CLAIM = ClaimOptions.__optional_keys__
OF_NEXT = NextOptions.__optional_keys__


class Claims(ClaimRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def next(
        self, *, holder: str, worktree_id: str, **options: Unpack[NextOptions]
    ) -> Claim | None:
        _refuse_unknown("next", options, OF_NEXT)
        wanted = self._wanted(holder, worktree_id, options, options.get("initiative_id"))
        side_by_side = self._side_by_side
        return await self._perform(lambda: claim_next(wanted, side_by_side=side_by_side))

    async def take(
        self, task_id: str, *, holder: str, worktree_id: str, **options: Unpack[ClaimOptions]
    ) -> Claim:
        _refuse_unknown("take", options, OF_CLAIM)
        self._database.check(CANDIDATE, [{"id": task_id}])
        wanted = self._wanted(holder, worktree_id, options)
        side_by_side = self._side_by_side
        return await self._perform(lambda: claim_one(wanted, task_id, side_by_side=side_by_side))

    async def check(self, claim: Claim) -> None:
        refuse_no_claim(claim)
        if await self._database.first(IS_HELD, **claim_values(claim)) is None:
            raise await find_lost_error(self._database, claim)

    async def renew(self, claims: Iterable[Claim], *, lease: timedelta = LEASE) -> list[Claim]:
        if isinstance(claims, Claim):
            raise TypeError("claims.renew() takes a list of claims: claims.renew([claim])")
        return await renew(self._database, claims, _microseconds(lease, "lease"))

    async def complete(
        self,
        claim: Claim,
        *,
        summary: str | None = None,
        result: JsonValue = None,
        exit_code: int | None = None,
        phase_status: PhaseStatus | None = "completed",
        initiative_status: InitiativeStatus | None = "completed",
    ) -> Finished:
        refuse_no_claim(claim)
        of_agent = new_values({"result": result, "exit_code": exit_code})
        self._database.check(ending.STOP, [{"id": claim.agent.id, **of_agent}])
        of_task = {**claim_values(claim), **new_values({"summary": summary})}
        self._database.check(ending.COMPLETE, [of_task])
        # Which of them is used shows only when the claim has ended.
        if phase_status is not None:
            known_values(phases.c.status, [phase_status])
        if initiative_status is not None:
            known_values(initiatives.c.status, [initiative_status])
        done = await complete_at_once(self._database, claim, {**of_task, **of_agent})
        if done is not None:
            return done
        return await self._perform(
            partial(
                ending.complete,
                claim,
                summary=summary,
                of_agent=of_agent,
                phase_status=phase_status,
                initiative_status=initiative_status,
                side_by_side=self._side_by_side,
            )
        )

    async def fail(
        self,
        claim: Claim,
        *,
        result: JsonValue = None,
        exit_code: int | None = None,
        retry_in: timedelta | None = None,
        block: bool = False,
    ) -> Finished:
        refuse_no_claim(claim)
        of_agent = new_values({"result": result, "exit_code": exit_code})
        self._database.check(ending.STOP, [{"id": claim.agent.id, **of_agent}])
        self._database.check(IS_HELD, [claim_values(claim)])
        refuse_no_flag(tasks, block=block)
        pause = None if retry_in is None else _microseconds(retry_in, "retry_in", least=0)
        # Those that failed together are not to come back together.
        chance = random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 -- it guards no secret
        spread = round(chance / MICROSECOND.total_seconds())
        return await self._perform(
            partial(
                ending.fail,
                claim,
                of_agent=of_agent,
                pause=pause,
                spread=spread,
                block=block,
                side_by_side=self._side_by_side,
            )
        )

    async def release(self, claim: Claim, *, not_before: datetime | None = None) -> Finished:
        refuse_no_claim(claim)
        values = {**claim_values(claim), **new_values({"not_before": not_before})}
        self._database.check(ending.RELEASE.of_task, [values])
        return await self._perform(
            partial(ending.release, claim, not_before=not_before, side_by_side=self._side_by_side)
        )

    async def revoke(self, task_id: str, *, status: TaskStatus = "pending") -> Agent | None:
        self._database.check(ending.REVOKE, [{"id": task_id, **new_values({"status": status})}])
        return await self._perform(partial(ending.revoke, task_id, status))

    async def recover(self, *, holder: str | None = None, limit: int = 100) -> list[Agent]:
        most = checked_limit(agents, limit)
        if holder is not None:
            self._database.check(OF_HOLDER.any, [{"holder": holder}])
        return await self._perform(partial(recover, holder, most))

    async def find_live(
        self, *, holder: str | None = None, initiative_id: str | None = None
    ) -> list[Claim]:
        return await live_claims(self._database, holder, initiative_id)

    async def find_ready(
        self,
        initiative_id: str | None = None,
        *,
        limit: int | None = None,
        **options: Unpack[ReadyOptions],
    ) -> list[Task]:
        _refuse_unknown("find_ready", options, OF_READY)
        most = LARGEST_LIMIT if limit is None else checked_limit(tasks, limit)
        asked = filter_of(options, initiative_id)
        values = values_of(options, initiative_id)
        return await self._database.all(all_ready(asked), limit=most, **values)

    async def explain(self, task_id: str, **options: Unpack[ReadyOptions]) -> Readiness:
        _refuse_unknown("explain", options, OF_READY)
        query = explanation(filter_of(options))
        found = await self._database.all(query, id=task_id, **values_of(options))
        if not found:
            raise NotFoundError(tasks.name, task_id)
        why = reasons(found)
        return Readiness(not why, why)

    async def find_standings(
        self, initiative_id: str | None = None, **options: Unpack[ReadyOptions]
    ) -> list[Standing]:
        _refuse_unknown("find_standings", options, OF_READY)
        asked = filter_of(options, initiative_id)
        return await self._database.all(standings(asked), **values_of(options, initiative_id))

    async def now(self) -> datetime:
        now = await self._database.first(TIME)
        assert now is not None, "it is always some time"
        return now

    async def next_deadline(self) -> datetime | None:
        return await self._database.first(NEXT_DEADLINE)

    @property
    def _side_by_side(self) -> bool:
        return self._database.capabilities.has_concurrent_writers

    async def _perform(self, begin: Begin[T | StoreError]) -> T:
        """Run a procedure that changes claims; raises the error that it returns."""
        outcome = await self._database.perform(HOLD_TASK, begin)
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    def _wanted(
        self,
        holder: str,
        worktree_id: str,
        options: ClaimOptions,
        initiative_id: str | None = None,
    ) -> Wanted:
        """Check what is asked for, and return it; nothing is written if any of it is refused."""
        provider, agent_id = options.get("provider", "claude"), options.get("agent_id")
        agent: dict[str, Any] = {
            "worktree_id": worktree_id,
            "status": "running",
            "mode": options.get("mode", "execute"),
            "provider": "claude" if provider is None else provider,
            **({} if agent_id is None else {"id": agent_id}),
        }
        wanted = Wanted(
            {**agent, "holder": holder},
            filter_of(options, initiative_id),
            values_of(options, initiative_id),
            _microseconds(options.get("lease", LEASE), "lease"),
            meets_others(self._database),
        )
        check_wanted(self._database, wanted)
        return wanted


def _refuse_unknown(method: str, options: Mapping[str, object], known: frozenset[str]) -> None:
    """Raise TypeError for a keyword that there is not, which would else change nothing."""
    if unknown := options.keys() - known:
        raise TypeError(
            f"claims.{method}() takes no {', '.join(sorted(unknown))}; "
            f"it takes {', '.join(sorted(known))}"
        )


def _microseconds(duration: object, name: str, *, least: int = 1) -> int:
    """Return a duration as the database takes it; raises InvalidValueError."""
    if not isinstance(duration, timedelta):
        reason = f"takes a timedelta, not {type(duration).__name__}"
        raise InvalidValueError(agents.name, name, duration, reason)
    if not least * MICROSECOND <= duration <= LONGEST:
        reason = f"must last at least {least} µs and at most {LONGEST.days} days"
        raise InvalidValueError(agents.name, name, duration, reason)
    return duration // MICROSECOND
