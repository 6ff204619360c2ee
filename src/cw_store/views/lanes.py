"""In which lane each open task is, and why: what the board and the graph have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cw_store import Obstacle, ReadyOptions, Standing, UnitOfWork
from cw_store.views.seen import AccountSeen, AgentSeen, Lane

NAMES_TOLD = 3
"""How many of those that a task waits for are named."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """The open tasks in the order in which they are taken, and who is at them."""

    standings: list[Standing]
    provider: str | None
    agent_of: dict[str, AgentSeen]
    """The agent at a task, by the task's id."""
    asking: frozenset[str]
    """The ids of agents that wait for the user's response."""
    now: datetime

    def lane_of(self, standing: Standing) -> Lane:
        """Return where a task is."""
        if standing.status == "pending":
            return "ready" if standing.obstacle is None else "waiting"
        if standing.status == "blocked":
            return "needs_you"
        agent = self.agent_of.get(standing.task_id)
        return "running" if agent is None or self.why_it_stops(agent) is None else "needs_you"

    def why_it_runs_not(self, agent: AgentSeen) -> str | None:
        """Say why an agent that has a task may not be at it; None when there is no reason."""
        expires_at = agent.lease_expires_at
        if expires_at is not None and expires_at <= self.now:
            return f"the lease of {agent.name} ran out"
        return self.why_it_stops(agent)

    def why_it_stops(self, agent: AgentSeen) -> str | None:
        """Say that an agent waits for a person; None when it does not."""
        if agent.status == "waiting_for_input":
            return f"{agent.name} waits for input"
        return f"{agent.name} asks you" if agent.id in self.asking else None


async def read_lanes(
    uow: UnitOfWork,
    alive: Iterable[AgentSeen],
    accounts: Sequence[AccountSeen],
    initiative_id: str | None,
    options: ReadyOptions,
) -> Lanes:
    """Return the open tasks of an initiative, or of all and of none."""
    asked = _with_provider(options, accounts)
    waits = await uow.messages.find_requiring_response()
    return Lanes(
        await uow.claims.find_standings(initiative_id, **asked),
        asked.get("provider"),
        {agent.task_id: agent for agent in alive if agent.task_id is not None},
        frozenset(
            message.sender_id
            for message in waits
            if message.sender_id is not None and message.recipient_type == "user"
        ),
        await uow.claims.now(),
    )


def _with_provider(options: ReadyOptions, accounts: Sequence[AccountSeen]) -> ReadyOptions:
    """Choose whose accounts are asked for, where that is not said: any that can be used."""
    if "provider" in options:
        return options
    usable = [one for one in accounts if one.state == "available" and one.has_room]
    given = options.get("account_id")
    first = next((one for one in accounts if one.id == given), next(iter(usable or accounts), None))
    return {**options, "provider": None if first is None else first.provider}


def named(names: Sequence[str]) -> str:
    """List the first of the names, and say how many more there are."""
    told = ", ".join(names[:NAMES_TOLD])
    more = len(names) - NAMES_TOLD
    return f"{told} and {more} more" if more > 0 else told


@dataclass(frozen=True, slots=True)
class Place:
    """What has to be known of where a task is to say why it waits."""

    phase_status: str | None = None
    phase_waits_for: tuple[str, ...] = ()
    initiative_status: str | None = None
    max_agents: int | None = None


def why_waiting(
    obstacle: Obstacle, task: Any, place: Place, waits_for: Sequence[str], provider: str | None
) -> str:
    """Say in a few words what keeps a task from being claimed; `waits_for` are names of tasks."""
    match obstacle:
        case "waits_for_task":
            return f"waits for {named(waits_for)}"
        case "waits_for_phase":
            return f"its phase waits for {named(place.phase_waits_for)}"
        case "phase_not_open":
            return f"its phase is {place.phase_status}"
        case "not_before":
            return f"not before {_in_words(task.not_before)}"
        case "initiative_inactive":
            return f"its initiative is {place.initiative_status}"
        case "initiative_full":
            return f"its initiative has as many agents at work as it may, {place.max_agents}"
        case "no_account":
            return f"no account of {provider} is free"
        case "wrong_category":
            return f"its category is {task.category}"
        case "claimed" | "wrong_status":
            return f"it is {task.status}"


def why_blocked(retry_count: int, max_retries: int) -> str:
    """Say in a few words why a task is blocked."""
    if retry_count > max_retries:
        return f"blocked after {tries(retry_count)}"
    return "blocked"


def tries(count: int) -> str:
    """Say how many tries have failed."""
    return "1 failed try" if count == 1 else f"{count} failed tries"


def _in_words(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
