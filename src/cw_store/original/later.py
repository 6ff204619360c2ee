"""Log chunks that follow an import which left them for later: in batches, beside others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from cw_store.errors import StoreError
from cw_store.location import locate
from cw_store.original.logs import LogChunks
from cw_store.schema import agent_log_chunks, initiatives, record_columns
from cw_store.statements.reading import Row
from cw_store.store import Store
from cw_store.types import timestamp_of
from cw_store.uow import UnitOfWork

IDS_AT_ONCE = 500
"""How many ids are asked for in a statement; SQLite takes 32,766 parameters, some builds 999."""

_COLUMNS = [column.name for column in record_columns(agent_log_chunks)]
_ID = _COLUMNS.index("id")
_CREATED_AT = _COLUMNS.index("created_at")


async def bring_logs(
    target: str | Path | None,
    initiative_ids: Sequence[str],
    logs: LogChunks,
    report: Callable[[int], object],
    *,
    busy_timeout: float,
    dry_run: bool,
) -> int:
    """Store the chunks that are not there yet, each batch in a transaction; return how many were.

    Raises StoreError when the store has none of the source's initiatives.
    """
    known = done = 0
    async with Store(target, busy_timeout=busy_timeout, read_only=dry_run) as store:
        async with store.unit_of_work(read_only=True) as uow:
            await _refuse_others(uow, locate(target), initiative_ids)
        async with aclosing(logs.rows()) as batches:
            async for batch in batches:
                async with store.unit_of_work(read_only=dry_run, label="import of logs") as uow:
                    there = await _ids_there(uow, [row[_ID] for row in batch])
                    new = [row for row in batch if row[_ID] not in there]
                    if new and not dry_run:
                        await uow.session.execute(insert(agent_log_chunks), [*map(_values, new)])
                known += len(batch) - len(new)
                done += len(batch)
                report(done)
    return known


async def _refuse_others(uow: UnitOfWork, place: object, ids: Sequence[str]) -> None:
    for some in _portions(ids):
        found = await uow.session.execute(
            select(initiatives.c.id).where(initiatives.c.id.in_(some))
        )
        if found.first() is not None:
            return
    if ids:
        raise StoreError(
            f"{place} has none of the source's initiatives; import the rest of it first, without "
            "its logs"
        )


async def _ids_there(uow: UnitOfWork, ids: Sequence[str]) -> set[str]:
    there: set[str] = set()
    column = agent_log_chunks.c.id
    for some in _portions(ids):
        found = await uow.session.execute(select(column).where(column.in_(some)))
        there |= set(found.scalars())
    return there


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), IDS_AT_ONCE):
        yield ids[start : start + IDS_AT_ONCE]


def _values(row: Row) -> dict[str, Any]:
    values = dict(zip(_COLUMNS, row, strict=True))
    return values | {"created_at": timestamp_of(row[_CREATED_AT])}
