"""Claims: who works on which task, until when, and what may be claimed next.

A claim is a task held by an agent under an epoch, a number on the task that only grows. A lease,
on the agent, says until when; whoever holds the claim renews it. A task that waits has no status of
its own for that: it follows from its edges, and from what `Readiness` lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, Unpack

from typing_extensions import TypedDict

from cw_store.repos.accounts import Account
from cw_store.repos.agents import Agent, AgentMode
from cw_store.repos.initiatives import Initiative, InitiativeStatus
from cw_store.repos.json_value import JsonValue
from cw_store.repos.phases import Phase, PhaseStatus
from cw_store.repos.readiness import Readiness, Standing
from cw_store.repos.tasks import Task, TaskCategory, TaskStatus

LEASE = timedelta(minutes=2)
"""How long a lease lasts unless it is said otherwise."""

OPEN_PHASES: tuple[PhaseStatus, ...] = ("pending", "approved", "in_progress")
"""The statuses of a phase whose tasks may be claimed, unless it is said otherwise."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A task held by an agent under an epoch, as it was when this was read.

    `account` is the login that the agent runs under, None if it took none. `previous` is the agent
    that lost this task before, if nobody else has had it since: its pid, worktree and session are
    what to kill, to clean or to resume. Only `next` and `take` look for it.
    """

    task: Task
    agent: Agent
    account: Account | None
    epoch: int
    previous: Agent | None


@dataclass(frozen=True, slots=True)
class Finished:
    """What the end of a claim has left: the task, and what was moved on because of it.

    `phase` and `initiative` are None unless this was their last task and they were moved on.
    """

    task: Task
    phase: Phase | None
    initiative: Initiative | None


class ReadyOptions(TypedDict, total=False):
    """What a task has to be to be ready.

    - `provider`: whose account is taken, `claude` unless given; None takes no account.
    - `account_id`: take this account of the provider's and no other.
    - `phase_statuses`: in which status a phase has to be, OPEN_PHASES unless given.
    - `categories`: of which category a task has to be; None for any.
    """

    provider: str | None
    account_id: str | None
    phase_statuses: Sequence[PhaseStatus]
    categories: Sequence[TaskCategory] | None


class ClaimOptions(ReadyOptions, total=False):
    """How a task is claimed; `ReadyOptions` says the rest.

    - `lease`: how long it is held without being renewed, two minutes unless given.
    - `mode`: the agent's, `execute` unless given.
    - `agent_id`: the id of the agent that is created, so that a claim whose outcome is unknown can
      be looked up; a new one unless given.
    """

    lease: timedelta
    mode: AgentMode
    agent_id: str | None


class NextOptions(ClaimOptions, total=False):
    """How the next task is claimed; `initiative_id` says of which initiative, None of any."""

    initiative_id: str | None


class ClaimRepository(Protocol):
    """Claims on tasks; each method is one transaction, or a part of the unit it is called in.

    Safety never depends on a clock: a claim is over when another takes the task, or the claim is
    ended. An expired lease only says that anybody may recover the task; until somebody has, its
    holder goes on, renews and ends it as if nothing had been. The time that leases and `not_before`
    are compared with is the database server's where there is one, unless the store was given a
    `clock`.

    `holder` is who renews the leases: one life of one supervisor, like `host-1/4711`.
    """

    async def next(
        self, *, holder: str, worktree_id: str, **options: Unpack[NextOptions]
    ) -> Claim | None:
        """Claim the next ready task; None when there is none that can be claimed now.

        In one transaction: at most ten leases that ran out are recovered, a task is picked, an
        account of the provider's is taken in rotation, an agent is created that runs, and the
        task's phase is `in_progress`.

        Initiatives take turns. Within one its tasks go by priority, then `order`, then the oldest
        first. No more agents hold a lease of an initiative, or of an account, than its
        `max_agents`.

        The options are `provider`, `account_id`, `phase_statuses` and `categories`, of which
        `ReadyOptions` tells, `lease`, `mode` and `agent_id` (`ClaimOptions`), and `initiative_id`.

        A task that cannot be read is passed by, with a warning in the log that names it, and so is
        an account whose secrets cannot be read; `UnreadableError` when there is no other.
        `AlreadyExistsError` when `agent_id` is taken.
        """
        ...

    async def take(
        self, task_id: str, *, holder: str, worktree_id: str, **options: Unpack[ClaimOptions]
    ) -> Claim:
        """Claim this task, as `next` would.

        The options are those of `next` but for `initiative_id`.

        `NotFoundError` for an unknown id; `StaleStateError` when it is not ready, with every reason
        in the message.
        """
        ...

    async def check(self, claim: Claim) -> None:
        """Return if the claim is held; `LeaseLostError` when it is not any more.

        It may be lost in the next moment. What must only be written while it is held belongs into
        `store.unit_of_work(claim=claim)`.
        """
        ...

    async def renew(self, claims: Iterable[Claim], *, lease: timedelta = LEASE) -> list[Claim]:
        """Hold the claims for so long from now; return those still held, in the order given.

        They are as they were given, but for the new ends of their leases. Where somebody is just
        writing to an agent its lease stays as it is, and the claim is held all the same.
        """
        ...

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
        """End the claim: the task is `completed`, the agent `stopped`.

        `summary` becomes the task's, `result` and `exit_code` the agent's; None leaves what is
        there. When it was the last task of its phase that was not completed, the phase moves to
        `phase_status`; when then every phase and every task of the initiative is completed, the
        initiative moves to `initiative_status`. None leaves that to the caller.

        `LeaseLostError` when the claim is not held any more; nothing is written then.
        """
        ...

    async def fail(
        self,
        claim: Claim,
        *,
        result: JsonValue = None,
        exit_code: int | None = None,
        retry_in: timedelta | None = None,
        block: bool = False,
    ) -> Finished:
        """End the claim: the task is tried again later, or `blocked`; the agent is `stopped`.

        It costs a retry. One more than the task's `max_retries`, or `block`, makes it `blocked`.
        Else it is `pending`, and not before `retry_in` has passed, or ten seconds, doubled with
        each retry before this, at most a quarter of an hour, a fifth more or less at random.

        `LeaseLostError` when the claim is not held any more; nothing is written then.
        """
        ...

    async def release(self, claim: Claim, *, not_before: datetime | None = None) -> Finished:
        """End the claim: the task is `pending`, which costs no retry, the agent `stopped`.

        With `not_before` nobody takes it before that time. `LeaseLostError` when the claim is not
        held any more; nothing is written then.
        """
        ...

    async def revoke(self, task_id: str, *, status: TaskStatus = "pending") -> Agent | None:
        """Take the task from whoever has it; return that agent, which is `crashed` now.

        For people: the task gets this status, and what its holder still tries to write is refused.
        None, and nothing is written, when nobody has it. `NotFoundError` for an unknown id.
        """
        ...

    async def recover(self, *, holder: str | None = None, limit: int = 100) -> list[Agent]:
        """Take tasks from the dead; return the agents that had them, `crashed` now.

        Those whose leases ran out, the longest ago first, which costs a retry: one more than the
        task's `max_retries` makes it `blocked`. With `holder` those of a holder that says it has
        started anew, whether their leases ran out or not, which costs none. At most `limit`; below
        1 is an `InvalidValueError`. Somebody who is just writing is alive, and passed over.
        """
        ...

    async def find_live(
        self, *, holder: str | None = None, initiative_id: str | None = None
    ) -> list[Claim]:
        """Return the claims that are held, of a holder or an initiative or all, oldest first.

        That is for adoption after a restart: renew them, and go on. Whether a lease ran out makes
        no difference.
        """
        ...

    async def find_ready(
        self,
        initiative_id: str | None = None,
        *,
        limit: int | None = None,
        **options: Unpack[ReadyOptions],
    ) -> list[Task]:
        """Return the tasks that `next` would claim now, in the order in which it would.

        Limits and turns are taken as they stand, and not simulated along the list: with room for
        one agent more, all that could be it are there. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def explain(self, task_id: str, **options: Unpack[ReadyOptions]) -> Readiness:
        """Return whether the task is ready, and if not, why; `NotFoundError` for an unknown id.

        It is ready exactly when `find_ready` with the same options has it. They are `provider`,
        `account_id`, `phase_statuses` and `categories`, of which `ReadyOptions` tells.
        """
        ...

    async def find_standings(
        self, initiative_id: str | None = None, **options: Unpack[ReadyOptions]
    ) -> list[Standing]:
        """Return for each task that is not completed what keeps it from being claimed.

        That is the first of the reasons that `explain` with the same options lists, and None for
        exactly those that `find_ready` has; all in one statement. Those of an initiative, or of all
        and of none, by priority, then `order`, then the oldest first.
        """
        ...

    async def now(self) -> datetime:
        """Return the time that leases and `not_before` are compared with.

        In a unit of work that only reads it still goes on, other than what is read.
        """
        ...

    async def next_deadline(self) -> datetime | None:
        """Return the earliest time at which something changes by time alone; None if nothing does.

        A lease runs out, a task may be begun, or an account is over its rest. A lease that ran out
        and has not been recovered is such a time too, although it has passed.
        """
        ...
