"""Why a task cannot be begun, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import select

from cw_store import (
    Claimed,
    InitiativeFull,
    InitiativeInactive,
    NoAccount,
    NotBefore,
    PhaseNotOpen,
    Reason,
    UnitOfWork,
    WaitsForPhase,
    WaitsForTask,
    WrongCategory,
    WrongStatus,
    metadata,
)
from cw_store.cli.cells import how_long_ago


async def names_in(uow: UnitOfWork, reasons: Iterable[Reason]) -> dict[str, str]:
    """Return the names of the tasks and phases that reasons speak of, by their ids."""
    tasks = {reason.task_id for reason in reasons if isinstance(reason, WaitsForTask)}
    phases = {
        reason.phase_id for reason in reasons if isinstance(reason, WaitsForPhase | PhaseNotOpen)
    }
    names: dict[str, str] = {}
    for table, ids in ((metadata.tables["tasks"], tasks), (metadata.tables["phases"], phases)):
        if ids:
            found = select(table.c.id, table.c.name).where(table.c.id.in_(ids))
            names.update({row.id: row.name for row in await uow.session.execute(found)})
    return names


def sentence_of(reason: Reason, names: Mapping[str, str], now: datetime) -> str:
    """Return one reason in words; `names` are those of tasks and phases by their ids."""
    match reason:
        case WrongStatus(status="completed"):
            return "it is completed"
        case WrongStatus(status="blocked"):
            return "it is blocked: cw-store retry begins it anew"
        case WrongStatus():
            return f"it is {reason.status}, and nobody has claimed it"
        case Claimed():
            return f"{reason.agent_name} has it, since {how_long_ago(reason.since, now)}"
        case WrongCategory():
            return f"it is of the category {reason.category}"
        case WaitsForTask():
            return f"it waits for task {names[reason.task_id]} ({reason.status})"
        case WaitsForPhase():
            return f"its phase waits for phase {names[reason.phase_id]} ({reason.status})"
        case PhaseNotOpen():
            return f"its phase {names[reason.phase_id]} is {reason.status}"
        case NotBefore():
            return f"it begins {how_long_ago(reason.at, now)} at the earliest"
        case InitiativeInactive():
            return f"its initiative is {reason.status}"
        case InitiativeFull():
            return f"its initiative has as many agents as it may ({reason.max_agents})"
        case NoAccount():
            return f"no account of {reason.provider} is free"
