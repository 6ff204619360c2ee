"""What a unit of work does to pages, phases and tasks, as the entries of a change set.

Entries are stored as what they tell of is done, so that a savepoint that is undone takes both back.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import bindparam, insert

from cw_store.repos.change_sets import ChangeSetEntry, NewChangeSetEntry
from cw_store.repos.sql.ancestry import hold_all
from cw_store.repos.sql.deleting import HOLD_CLAIMED_OF_PHASE
from cw_store.repos.sql.ids import new_id
from cw_store.repos.sql.states import (
    DEPENDENCIES,
    HOLD_TASKS_OF_PHASE,
    LOST,
    PHASES,
    TASKS,
    Entity,
    Kind,
    State,
    differing,
)
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import change_set_entries
from cw_store.statements.database import Database
from cw_store.statements.query import Query
from cw_store.types import CheckedJson

ENTRIES = TableGateway(change_set_entries, ChangeSetEntry, NewChangeSetEntry)

ENTRIES_OF = ENTRIES.listing_by("change_set_id", "sort_order")

RECORDED_ENTRY = Query(
    ChangeSetEntry,
    insert(change_set_entries).values(
        {
            **ENTRIES.new_row,
            **{
                name: bindparam(name, type_=CheckedJson())
                for name in ("previous_state", "new_state")
            },
        }
    ),
    change_set_entries,
)

States = dict[Entity, State | None]


class Step:
    """One call that is recorded: what it may change is held first, and looked at."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.before: States = {}
        """The states of what the call may change, parents first; None where there is none yet."""
        self.sets_edges = False
        self._lost: dict[Entity, list[State]] = {}

    async def hold(self, kind: Kind, id: str) -> None:
        """Look at one row."""
        await self._look(kind, await self.database.all(kind.one, id=id))

    async def hold_whole(self, kind: Kind, id: str) -> None:
        """Look at a row and all below it."""
        await self._look(kind, await hold_all(self.database, kind.hold_whole, id))

    async def hold_edges_of(self, kind: Kind, id: str) -> None:
        """Look at a row whose edges are to change."""
        await self._stop_new_edges(kind)
        await self.hold(kind, id)

    async def hold_to_delete(self, kind: Kind, id: str) -> None:
        """Look at a row, at all that goes with it, and at what waits for any of that."""
        kinds = (PHASES, TASKS) if kind is PHASES else (kind,)
        for each in kinds:
            await self._stop_new_edges(each)
        if kind is PHASES:
            await self.database.all(HOLD_CLAIMED_OF_PHASE, id=id)
        await self.hold_whole(kind, id)
        if kind is PHASES:
            await self._look(TASKS, await hold_all(self.database, HOLD_TASKS_OF_PHASE, id))
        for each in kinds:
            await self._look_beside(each)

    def add(self, kind: Kind, ids: Iterable[str]) -> None:
        """Tell of rows that the call has created."""
        self.before.update({(kind, id): None for id in ids})

    async def entries(self) -> list[dict[str, Any]]:
        """Return what has become of what was held, as entries: what is put back last comes first.

        What was deleted comes after what waited for it, and after what was below it.
        """
        after = await self._after()
        changed = [
            entity
            for entity, state in self.before.items()
            if state is not None and after[entity] is not None
        ]
        gone = [entity for entity in reversed(self.before) if after[entity] is None]
        new = [entity for entity, state in self.before.items() if state is None]
        return [
            entry
            for entity in (*changed, *new, *gone)
            if (entry := self._entry(entity, after[entity]))
        ]

    async def _look(self, kind: Kind, ids: list[str]) -> None:
        states = await kind.read(self.database, ids)
        self.before.update({(kind, id): states[id] for id in kind.parents_first(states)})

    async def _stop_new_edges(self, kind: Kind) -> None:
        """Let nobody else add edges, before any row is locked."""
        if kind.edges is not None:
            self.sets_edges = True
            await self.database.lock(kind.edges.ends.table.name)

    async def _look_beside(self, kind: Kind) -> None:
        """Look at what waits for rows that are about to go, and note what else goes with them."""
        going = [id for each, id in self.before if each is kind]
        for reference, row in await kind.referring(self.database, going):
            lost = self._lost.setdefault((kind, row.entity_id), [])
            lost.append({"table": reference.table, "id": row.id, "column": reference.emptied})
        await self._look(kind, await kind.dependents(self.database, going))

    async def _after(self) -> States:
        after: States = dict.fromkeys(self.before)
        for kind in {kind: None for kind, _id in self.before}:
            ids = [id for each, id in self.before if each is kind]
            for id, state in (await kind.read(self.database, ids)).items():
                before = self.before[kind, id]
                if before is not None and not self.sets_edges and DEPENDENCIES in before:
                    state[DEPENDENCIES] = before[DEPENDENCIES]  # others may have added some
                after[kind, id] = state
        return after

    def _entry(self, entity: Entity, after: State | None) -> dict[str, Any] | None:
        kind, id = entity
        before = self.before[entity]
        if before is None:
            action = "create"
        elif after is None:
            action = "delete"
            if lost := self._lost.get(entity):
                before = {**before, LOST: [*lost]}
        elif differing(after, before):
            action = "update"
        else:
            return None
        entry: dict[str, Any] = {
            "entity_type": kind.entity_type,
            "entity_id": id,
            "action": action,
            "previous_state": before,
            "new_state": after,
        }
        return entry


class Recorder:
    """One recording: which change set its entries are of, and whether it is on."""

    def __init__(self, change_set_id: str) -> None:
        self._change_set_id = change_set_id
        self._count = 0
        self.is_on = True

    @asynccontextmanager
    async def step(self, database: Database) -> AsyncGenerator[Step]:
        """Record what is done in the block, which nobody interrupts."""
        async with database.atomic() as within:
            step = Step(within)
            yield step
            # A call that had to wait may come when the recording has ended.
            if self.is_on:
                await self._store(within, await step.entries())

    async def _store(self, database: Database, entries: list[dict[str, Any]]) -> None:
        rows: list[Mapping[str, Any]] = []
        for entry in entries:
            rows.append(
                {
                    **entry,
                    "id": new_id(),
                    "change_set_id": self._change_set_id,
                    "sort_order": self._count,
                }
            )
            self._count += 1
        await database.insert_all(RECORDED_ENTRY, rows)
