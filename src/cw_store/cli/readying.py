"""`ready`: which tasks could start now, or what holds each that could not."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from cw_store import Task, UnitOfWork, metadata
from cw_store.cli.context import Context
from cw_store.cli.failures import UsageError
from cw_store.cli.finding import find
from cw_store.cli.kinds import BY_PLURAL
from cw_store.cli.reasons import names_in, sentence_of

COLUMNS = ("id", "name", "priority", "phase", "initiative")


async def show_ready(
    here: Context, initiative: str | None, provider: str | None, limit: int, *, explains: bool
) -> None:
    """Show the tasks in the order in which they would be claimed."""
    if limit < 1:
        raise UsageError("--limit is at least 1")
    async with here.reading() as store, store.unit_of_work(read_only=True) as uow:
        of = None if initiative is None else (await find(uow, initiative, "initiative")).id
        whose = await _provider(uow, of, provider)
        if explains:
            await _show_all(here, uow, of, whose, limit)
        else:
            tasks = await uow.claims.find_ready(of, provider=whose, limit=limit + 1)
            await _show(here, uow, tasks, limit)


async def _provider(uow: UnitOfWork, initiative_id: str | None, asked: str | None) -> str | None:
    """Return whose account is to be free: of whom it was asked, or any; None without accounts."""
    if asked is not None:
        return asked
    accounts = metadata.tables["accounts"]
    found = await uow.session.scalars(select(accounts.c.provider).distinct().order_by("provider"))
    providers = list(found)
    for provider in providers:
        if await uow.claims.find_ready(initiative_id, provider=provider, limit=1):
            return provider
    return providers[0] if providers else None


async def _show(here: Context, uow: UnitOfWork, tasks: Sequence[Task], limit: int) -> None:
    rows = await _rows(uow, [task.id for task in tasks[:limit]])
    nothing = "nothing is ready; --explain says what holds each task"
    here.output.table(COLUMNS, rows, nothing=nothing)
    if len(tasks) > limit:
        here.output.remark(f"more than {limit} are ready; --limit shows more of them")


async def _show_all(
    here: Context, uow: UnitOfWork, initiative_id: str | None, provider: str | None, limit: int
) -> None:
    standings = await uow.claims.find_standings(initiative_id, provider=provider)
    rows: list[tuple[object, ...]] = []
    for row in await _rows(uow, [standing.task_id for standing in standings[:limit]]):
        readiness = await uow.claims.explain(str(row[0]), provider=provider)
        names = await names_in(uow, readiness.reasons)
        why = [sentence_of(reason, names, here.now()) for reason in readiness.reasons]
        rows.append((*row[:2], "; ".join(why) or "it is ready"))
    here.output.table(("id", "name", "why"), rows, nothing="every task is completed")
    if len(standings) > limit:
        here.output.remark(f"{len(standings)} are not completed; --limit shows more of them")


async def _rows(uow: UnitOfWork, ids: Sequence[str]) -> list[tuple[object, ...]]:
    """Return what is shown of the tasks, in their order."""
    kind = BY_PLURAL["tasks"]
    query = select(*(kind.column(name).label(name) for name in COLUMNS))
    found = await uow.session.execute(query.where(kind.table.c.id.in_(ids)))
    rows = {row[0]: tuple(row) for row in found}
    return [rows[id] for id in ids]
