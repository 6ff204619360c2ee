"""Whether the work goes on: agents that are gone, questions, tasks and accounts that are stuck."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from cw_store import Agent, Conversation, UnitOfWork, metadata
from cw_store.doctor.finding import Finding, command_of, fine, note, problem, some
from cw_store.views.circles import circles_of

SILENT = timedelta(hours=1)
AHEAD = timedelta(minutes=1)
"""How far clocks of several machines may differ without anything going wrong."""


class Work:
    """The checks of what goes on, at one time."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    async def check_agents(self, uow: UnitOfWork) -> list[Finding]:
        """Look for agents that are gone, or silent, and keep their tasks."""
        running = await uow.agents.find_by_status("running")
        gone = [agent.name for agent in running if _is_gone(agent)]
        if gone:
            return problem(
                "agents",
                f"{some(gone)} is running by what is stored, and its process is not there",
                "its task waits for it; the supervisor that is started anew finds it crashed",
                command_of("show", gone[0]),
            )
        silent = [agent.name for agent in running if await self._is_silent(uow, agent)]
        if silent:
            return problem(
                "agents",
                f"{some(silent)} is running and has said nothing for an hour",
                "it may hang; its log tells what it did last",
                command_of("logs", silent[0]),
            )
        return fine("agents", f"{len(running)} running")

    async def _is_silent(self, uow: UnitOfWork, agent: Agent) -> bool:
        last = await uow.log_chunks.find_last(agent.id, limit=1)
        said = last[0].created_at if last else agent.updated_at
        return max(said, agent.updated_at) < self._now - SILENT

    async def check_questions(self, uow: UnitOfWork) -> list[Finding]:
        """Look for questions that nobody will answer, for whoever asks waits."""
        unanswerable = await uow.conversations.find_unanswerable()
        if unanswerable:
            names = await _names_of(uow, unanswerable)
            return problem(
                "questions",
                f"{some(names)} waits for an answer of an agent that has stopped or crashed",
                "nobody will answer but you",
                command_of("answer", unanswerable[0].id, "TEXT"),
            )
        pending = await uow.conversations.find_pending()
        waits: dict[str, list[str]] = {}
        for one in pending:
            waits.setdefault(one.from_agent_id, []).append(one.to_agent_id)
        if circles := circles_of(waits):
            first = next(one for one in pending if one.from_agent_id == circles[0][0])
            return problem(
                "questions",
                f"{len(circles[0]) - 1} agents wait for each other's answers in a circle",
                "none of them goes on until one question of theirs is answered",
                command_of("answer", first.id, "TEXT"),
            )
        return fine("questions", f"{len(pending)} pending")

    async def check_tasks(self, uow: UnitOfWork) -> list[Finding]:
        """Look for blocked tasks, which only a person begins anew, and others may wait for."""
        blocked = await uow.tasks.count_by_status()
        number = sum(counts.get("blocked", 0) for counts in blocked.values())
        if number:
            return problem(
                "tasks",
                f"{number} {'task is' if number == 1 else 'tasks are'} blocked",
                "nobody begins them anew by themselves, and what waits for them waits as well",
                command_of("retry", "--blocked"),
            )
        return fine("tasks", "none is blocked")

    async def check_accounts(self, uow: UnitOfWork) -> list[Finding]:
        """Look for accounts to claim with."""
        accounts = await uow.accounts.find_all()
        out = [each for each in accounts if each.is_exhausted and not self._is_back(each)]
        endless = [each.email for each in out if each.exhausted_until is None]
        if endless:
            return problem(
                "accounts",
                f"{some(endless)} is exhausted without end",
                "nothing but a person brings it back",
                command_of("account", "available", endless[0]),
            )
        if accounts and len(out) == len(accounts):
            back = min(each.exhausted_until for each in out if each.exhausted_until is not None)
            return note(
                "accounts",
                f"all are exhausted, the first until {back:%Y-%m-%d %H:%M} UTC",
                "until then nothing is claimed",
            )
        return fine("accounts", f"{len(accounts) - len(out)} of {len(accounts)} available")

    def _is_back(self, account: object) -> bool:
        until: datetime | None = getattr(account, "exhausted_until", None)
        return until is not None and until <= self._now

    async def check_clock(self, uow: UnitOfWork) -> list[Finding]:
        """Compare the clock, by which leases and pauses are counted, with what is stored."""
        newest = await _newest(uow)
        if newest is not None and newest > self._now + AHEAD:
            return problem(
                "clock",
                f"something was stored at {newest:%Y-%m-%d %H:%M:%S}, which is still to come",
                "this machine's clock is behind, or another's ahead; leases end at wrong times",
                "timedatectl status",
            )
        return fine("clock", "not behind what is stored")


async def _newest(uow: UnitOfWork) -> datetime | None:
    """Return the latest time of what was stored last, of the tables that grow."""
    times: list[datetime] = []
    for name in ("agents", "tasks", "messages"):
        table = metadata.tables[name]
        last = select(table.c.updated_at).order_by(table.c.seq.desc()).limit(100).subquery()
        found = await uow.session.scalar(select(func.max(last.c.updated_at)))
        times += [] if found is None else [found]
    return max(times, default=None)


async def _names_of(uow: UnitOfWork, conversations: list[Conversation]) -> list[str]:
    ids = sorted({one.from_agent_id for one in conversations})
    agents = [await uow.agents.find_by_id(id) for id in ids[:3]]
    return [agent.name if agent else id for id, agent in zip(ids, agents, strict=False)] + ids[3:]


def _is_gone(agent: Agent) -> bool:
    """Whether the process was on this machine, since it was started, and is there no more."""
    if agent.pid is None or agent.pid <= 0 or not agent.holder:
        return False
    if socket.gethostname() not in agent.holder or agent.updated_at < _booted_at():
        return False
    try:
        os.kill(agent.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _booted_at() -> datetime:
    """Return when this machine was started, as Linux tells it; elsewhere a time to come."""
    try:
        with open("/proc/stat") as file:
            [seconds] = [line.split()[1] for line in file if line.startswith("btime")]
    except (OSError, ValueError):
        return datetime.max.replace(tzinfo=UTC)
    return datetime.fromtimestamp(int(seconds), UTC)
