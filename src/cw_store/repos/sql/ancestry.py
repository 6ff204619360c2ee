"""Tables whose rows have a parent in the same table: no row may be its own ancestor."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Select, Table, bindparam, select

from cw_store.errors import InvalidValueError
from cw_store.statements.database import Database
from cw_store.statements.expressions import PRESENT
from cw_store.statements.query import Query


async def hold_all(database: Database, query: Query[str], id: str) -> list[str]:
    """Lock the rows that the query finds from `id`, until none is added meanwhile; return ids.

    One that is just being created is only seen when its parent has been waited for.
    """
    held: list[str] = []
    while True:
        found = await database.all(query, id=id)
        if found == held or not database.capabilities.has_concurrent_writers:
            return found
        held = found


REASON = "would make the row its own ancestor"


class Ancestry:
    """The tree that a table's parent column makes."""

    def __init__(self, table: Table, parent: Column[Any]) -> None:
        self._table = table
        self._parent = parent.name
        self._turn = f"{table.name}.{parent.name}"
        above = table.alias("above")
        line = (
            select(table.c.id, parent)
            .where(table.c.id == bindparam(parent.name))
            .cte("line", recursive=True)
        )
        line = line.union(
            select(above.c.id, above.c[parent.name]).join(line, above.c.id == line.c[parent.name])
        )
        self._below = select(table.c.id).where(parent == bindparam("id", type_=table.c.id.type))
        self._leads_to = Query(int, select(PRESENT).where(line.c.id == bindparam("id")), table)

    def below(self) -> Select[Any]:
        """Select the ids of all rows below the one that the parameter `id` names."""
        below = self._below.cte("below", recursive=True)
        further = self._table.alias("further")
        below = below.union(select(further.c.id).join(below, further.c[self._parent] == below.c.id))
        return select(below.c.id)

    async def take_turn(self, database: Database) -> None:
        """Let nobody else move a row until the end of the transaction."""
        await database.lock(self._turn)

    def refuse_self(self, row: dict[str, Any]) -> None:
        """Raise when a new row is its own parent, the only loop that a new row can close."""
        parent_id = row.get(self._parent)
        if parent_id is not None and parent_id == row["id"]:
            raise self._refused(parent_id)

    async def refuse_loop(self, database: Database, id: str, parent_id: str) -> None:
        """Raise when `parent_id` is the row itself or below it.

        Nobody else changes a parent between this look, in one's turn, and the end of the
        transaction.
        """
        if await database.first(self._leads_to, **{"id": id, self._parent: parent_id}) is not None:
            raise self._refused(parent_id)

    def _refused(self, parent_id: object) -> InvalidValueError:
        return InvalidValueError(self._table.name, self._parent, parent_id, REASON)
