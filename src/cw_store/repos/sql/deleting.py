"""Deleting what claimed tasks stand in.

Who ends a claim has its task locked when it comes to the phase and the initiative. So whoever
deletes one of these has the claimed tasks locked first, or the two would wait for each other.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, bindparam, delete, func, literal_column, select

from cw_store.errors import NotFoundError
from cw_store.schema import initiatives, phases, tasks
from cw_store.statements.database import Database
from cw_store.statements.query import Query


def _claimed(place: ColumnElement[Any]) -> Select[Any]:
    """Select the claimed tasks of the place that has an id, and lock them."""
    return (
        select(tasks.c.id)
        .where(place == bindparam("id"), tasks.c.claimed_by_agent_id.is_not(None))
        .order_by(tasks.c.seq)
        .with_for_update()
    )


def _delete(table: Table, place: ColumnElement[Any]) -> Query[str]:
    # No CTE: of a statement that begins with WITH, Python does not count the rows.
    held = _claimed(place).subquery("held")
    number = select(func.count()).select_from(held).scalar_subquery()
    deletion = delete(table).where(table.c.id == bindparam("id"), number >= literal_column("0"))
    return Query(str, deletion, table)


DELETE_INITIATIVE = _delete(initiatives, tasks.c.initiative_id)

DELETE_PHASE = _delete(phases, tasks.c.phase_id)

HOLD_CLAIMED_OF_PHASE = Query(str, _claimed(tasks.c.phase_id), tasks, locks=True)


async def delete_with_tasks(database: Database, deletion: Query[str], id: str) -> None:
    """Delete the row, and what stands in it; raises NotFoundError when there is none."""
    if await database.count(deletion, id=id) == 0:
        raise NotFoundError(deletion.table.name, id)
