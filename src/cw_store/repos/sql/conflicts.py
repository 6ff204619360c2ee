"""What stands in the way of an undo, and what it would take along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from sqlalchemy import Table, select

from cw_store.errors import ChangeConflict, ChangeConflictError, ChangeConflictReason
from cw_store.repos.change_sets import LostRow
from cw_store.repos.json_value import JsonValue
from cw_store.repos.sql.ancestry import hold_all
from cw_store.repos.sql.histories import Change, net_changes
from cw_store.repos.sql.states import (
    DEPENDENCIES,
    HOLD_TASKS_OF_PHASE,
    KINDS,
    LOST,
    MACHINE,
    PHASES,
    TASKS,
    TASKS_OF_PHASE,
    Entity,
    Kind,
    State,
    differing,
)
from cw_store.schema import initiatives
from cw_store.statements.database import Database
from cw_store.statements.expressions import is_one_of
from cw_store.statements.query import Query

tasks = TASKS.table

HOLD_INITIATIVES = Query(
    str,
    select(initiatives.c.id)
    .where(is_one_of(initiatives.c.id))
    .order_by(initiatives.c.id)
    .with_for_update(key_share=True),
    initiatives,
    locks=True,
)

INITIATIVES = Query(str, select(initiatives.c.id).where(is_one_of(initiatives.c.id)), initiatives)

CLAIMED = Query(
    str,
    select(tasks.c.id).where(is_one_of(tasks.c.id), tasks.c.claimed_by_agent_id.is_not(None)),
    tasks,
)


class Inspection:
    """One change set that is about to be undone, in one transaction that nobody interrupts.

    Everything is locked before it is looked at: who moves rows and adds edges first, then claimed
    tasks that something is to wait for again, then the initiatives, without which nothing of theirs
    is claimed, then phases, tasks and pages, each by id. What is to be put back and is claimed is
    left alone, as who ends its claim holds it and waits for the initiative.
    """

    def __init__(self, database: Database, changes: Sequence[Change]) -> None:
        self._database = database
        self._changes = changes
        self._conflicts: dict[ChangeConflict, None] = {}  # in order, each once
        self.net = net_changes(changes)
        """What the change set has done to each entity."""
        self.present: dict[Entity, State] = {}
        """Which of them there are now."""
        self.lost: dict[LostRow, None] = {}
        """What is not put back, each once."""
        self._there: dict[tuple[Table, str], bool] = {}

    async def hold(self, initiative_id: str) -> None:
        """Lock what is to be put back, and read it."""
        database = self._database
        for kind in KINDS.values():
            await kind.take_turn(database)
            if kind.edges is not None:
                await database.lock(kind.edges.ends.table.name)
        for kind in KINDS.values():
            await self._keep_prerequisites(kind)
        states = [state for net in self.net.values() for state in (net.previous, net.new) if state]
        owners = {initiative_id, *_texts(state.get("initiative_id") for state in states)}
        await database.all(HOLD_INITIATIVES, ids=list(owners))
        for kind in KINDS.values():
            ids = [id for each, id in self.net if each is kind]
            claimed = await self._note_claimed(kind, ids)
            found = await kind.read(database, [id for id in ids if id not in claimed])
            for id, state in found.items():
                self.present[kind, id] = state
                if state.get("claimed_by_agent_id") is not None:
                    # It is of no initiative, and was claimed while it was waited for.
                    self.note((kind, id), "claimed")

    def put_back(self, kind: Kind) -> dict[str, State]:
        """Return the states of what is there when all is put back, by id."""
        return {
            id: net.previous
            for (each, id), net in self.net.items()
            if each is kind and net.previous is not None
        }

    async def look(self) -> None:
        """Note what stands in the way, and what goes for good."""
        for entity, net in self.net.items():
            self._compare(entity, net)
        going = [
            entity
            for entity, net in self.net.items()
            if net.previous is None and entity in self.present
        ]
        await self._note_what_goes_too(going)
        await self._note_broken()
        for change in self._changes:
            if change.previous is not None and self.net[change.entity].previous is not None:
                for row in cast(list[dict[str, Any]], change.previous.get(LOST, [])):
                    self._lose(change.entity, row["table"], row["id"], row["column"])

    def refuse(self, *, force: bool) -> None:
        """Raise ChangeConflictError for what stands in the way, for good or without `force`."""
        conflicts = [
            conflict
            for conflict in self._conflicts
            if not force or conflict.reason in ("claimed", "broken")
        ]
        if conflicts:
            raise ChangeConflictError(conflicts)

    def note(
        self, entity: Entity, reason: ChangeConflictReason, columns: Iterable[str] = ()
    ) -> None:
        kind, id = entity
        self._conflicts[ChangeConflict(kind.entity_type, id, reason, tuple(columns))] = None

    def _lose(self, entity: Entity, table: str, id: str, column: str | None) -> None:
        kind, entity_id = entity
        self.lost[LostRow(kind.entity_type, entity_id, table, id, column)] = None

    def _lose_edges(self, entity: Entity, depends_on_ids: Iterable[str]) -> None:
        kind, id = entity
        assert kind.edges is not None
        for other in depends_on_ids:
            self._lose(entity, kind.edges.ends.table.name, f"{id} -> {other}", None)

    async def _keep_prerequisites(self, kind: Kind) -> None:
        """Have nobody complete a claimed task that something is to wait for again."""
        if kind is TASKS:
            wanted = dict.fromkeys(
                other
                for state in self.put_back(kind).values()
                for other in _texts(cast(list[JsonValue], state.get(DEPENDENCIES, [])))
            )
            claimed = await self._database.all(CLAIMED, ids=list(wanted)) if wanted else []
            await kind.keep_prerequisites(self._database, claimed)

    # What stands in the way.

    async def _note_claimed(self, kind: Kind, ids: Sequence[str]) -> set[str]:
        if kind is not TASKS or not ids:
            return set()
        claimed = await self._database.all(CLAIMED, ids=list(ids))
        for id in claimed:
            self.note((kind, id), "claimed")
        return set(claimed)

    def _compare(self, entity: Entity, net: Change) -> None:
        present = self.present.get(entity)
        if ChangeConflict(entity[0].entity_type, entity[1], "claimed") in self._conflicts:
            return
        if present is None:
            if net.previous is not None and net.new is not None:
                self.note(entity, "gone")
        elif net.new is None:
            self.note(entity, "exists")
        elif columns := differing(net.new, present):
            self.note(entity, "changed", columns)

    async def _note_what_goes_too(self, going: Sequence[Entity]) -> None:
        """Note what a deletion of these would take along and the change set did not know."""
        gone = dict.fromkeys(going)
        for kind, id in going:
            found = [(kind, each) for each in await self._held_below(kind, id)]
            if kind is PHASES:
                found += [(TASKS, each) for each in await self._held_in_phase(id)]
            gone.update(dict.fromkeys(entity for entity in found if entity not in self.net))
        for entity in gone:
            if entity not in self.net:
                self.note(entity, "added")
                self._lose(entity, entity[0].table.name, entity[1], None)
        for kind in KINDS.values():
            ids = [id for each, id in gone if each is kind]
            for references, row in await kind.referring(self._database, ids):
                self._lose((kind, row.entity_id), references.table, row.id, references.emptied)
                if references.emptied is None:
                    entity_type = references.table.removesuffix("s")
                    self._conflicts[ChangeConflict(entity_type, row.id, "added")] = None
            for id in await kind.dependents(self._database, ids):
                net = self.net.get((kind, id))
                if net is None or DEPENDENCIES not in (net.new or {}):
                    self.note((kind, id), "changed", (DEPENDENCIES,))

    async def _held_below(self, kind: Kind, id: str) -> list[str]:
        return await self._held(kind, kind.whole, kind.hold_whole, id)

    async def _held_in_phase(self, id: str) -> list[str]:
        return await self._held(TASKS, TASKS_OF_PHASE, HOLD_TASKS_OF_PHASE, id)

    async def _held(self, kind: Kind, find: Query[str], hold: Query[str], id: str) -> list[str]:
        found = await self._database.all(find, id=id)
        if not await self._note_claimed(kind, found):
            found = await hold_all(self._database, hold, id)
            await self._note_claimed(kind, found)
        return found

    async def _note_broken(self) -> None:
        """Note what would refer to rows that are not there."""
        for entity, net in self.net.items():
            if net.previous is not None:
                missing = [
                    name
                    for name, table, id in _references(entity[0], net.previous)
                    if not await self._will_be_there(table, id)
                ]
                if missing:
                    self.note(entity, "broken", missing)
                kept, wanted = await self.dependencies_after(entity, net.previous)
                if kept != wanted:
                    self.note(entity, "changed", (DEPENDENCIES,))
                    self._lose_edges(entity, [id for id in wanted if id not in kept])

    async def _will_be_there(self, table: Table, id: str) -> bool:
        kind = _BY_TABLE.get(table.name)
        if kind is not None and (kind, id) in self.net:
            return self.net[kind, id].previous is not None
        if (table, id) not in self._there:
            query = INITIATIVES if kind is None else kind.exists
            there = await self._database.first(query, ids=[id]) is not None
            self._there[table, id] = there
        return self._there[table, id]

    async def dependencies_after(
        self, entity: Entity, previous: State
    ) -> tuple[list[str], list[str]]:
        """Return what an entity will wait for again, and what it waited for."""
        wanted = [*_texts(cast(list[JsonValue], previous.get(DEPENDENCIES, [])))]
        table = entity[0].table
        return [id for id in wanted if await self._will_be_there(table, id)], wanted


_BY_TABLE = {kind.table.name: kind for kind in KINDS.values()}


def _references(kind: Kind, state: State) -> list[tuple[str, Table, str]]:
    """Return the columns that refer to rows, the tables of these, and their ids."""
    found: list[tuple[str, Table, str]] = []
    for name, column in kind.columns.items():
        value = state.get(name)
        if isinstance(value, str) and name not in MACHINE:
            found += [(name, key.column.table, value) for key in column.foreign_keys]
    return found


def _texts(values: Iterable[JsonValue]) -> list[str]:
    return [value for value in values if isinstance(value, str)]
