"""Put back what a change set changed, if nobody has changed it since."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, cast

from cw_store.errors import DependencyCycleError, InvalidValueError, NotFoundError
from cw_store.repos.change_sets import ChangeSetAction, ChangeSetEntry, LostRow, RestoredEntity
from cw_store.repos.sql.conflicts import Inspection
from cw_store.repos.sql.histories import Change, in_utc, understood
from cw_store.repos.sql.states import DEPENDENCIES, KINDS, PLACE, TASKS, Kind, State
from cw_store.repos.sql.task_places import place_all
from cw_store.schema import change_set_entries
from cw_store.statements.database import Database


class Undone(NamedTuple):
    """What was put back, and what could not be."""

    restored: tuple[RestoredEntity, ...]
    lost: tuple[LostRow, ...]


async def undo(
    database: Database, initiative_id: str, entries: Sequence[ChangeSetEntry], *, force: bool
) -> Undone:
    """Put back what the entries tell of, in a transaction that nobody interrupts.

    One after the other, the last one first: each state that is passed was there before, so none of
    them breaks a rule of the database. Raises ChangeConflictError, when some may be written already
    that has to be undone.
    """
    changes = understood(entries)
    inspection = Inspection(database, changes)
    await inspection.hold(initiative_id)
    await inspection.look()
    inspection.refuse(force=force)
    for change in reversed(changes):
        await _put_back(database, change)
    await _put_back_edges(database, inspection)
    await _note_what_does_not_fit(database, inspection)
    inspection.refuse(force=True)
    return Undone(tuple(_restored(inspection)), tuple(inspection.lost))


async def _put_back(database: Database, change: Change) -> None:
    (kind, id), state = change.entity, change.previous
    if state is None:
        with suppress(NotFoundError):  # it may have gone with another one
            await kind.rows.delete(database, id)
        return
    values = _values(kind, state)
    changes = {name: value for name, value in values.items() if name not in _KEPT}
    try:
        await kind.rows.patch(database, id, changes)
    except NotFoundError:
        await _insert(database, kind, id, values, cast(int | None, state.get(PLACE)))


async def _insert(
    database: Database, kind: Kind, id: str, values: dict[str, Any], place: int | None
) -> None:
    missing = kind.required - values.keys()
    if missing:
        reason = f"of {kind.entity_type} {id!r} lacks {', '.join(sorted(missing))}"
        raise InvalidValueError(change_set_entries.name, "previous_state", values, reason)
    row = {**values, "id": id}
    if place is not None and await kind.is_free(database, place):
        row[PLACE] = place
    if kind is TASKS and "initiative_id" not in row:
        await place_all(database, [row])
    await database.count(kind.insertion(frozenset(row)), **row)
    if "updated_at" in row:
        await kind.rows.patch(database, id, {})


async def _put_back_edges(database: Database, inspection: Inspection) -> None:
    """Have what is back wait for what it waited for; what is in the way goes first."""
    for kind in KINDS.values():
        if kind.edges is None:
            continue
        wanted: dict[str, list[str]] = {}
        for id, state in inspection.put_back(kind).items():
            if DEPENDENCIES in state:
                wanted[id], _all = await inspection.dependencies_after((kind, id), state)
        present = await kind.dependencies(database, wanted)
        changed = [id for id in wanted if sorted(wanted[id]) != sorted(present[id])]
        for id in changed:
            kept = [each for each in present[id] if each in wanted[id]]
            await kind.edges.set(database, id, kept)
        for id in changed:
            try:
                await kind.edges.set(database, id, wanted[id])
            except DependencyCycleError:
                inspection.note((kind, id), "broken", (DEPENDENCIES,))


async def _note_what_does_not_fit(database: Database, inspection: Inspection) -> None:
    """Note where a tree is in pieces, and what is its own ancestor, with what changed since."""
    for kind in KINDS.values():
        if kind.tree is None or kind.parent is None:
            continue
        back = inspection.put_back(kind)
        for id, state in back.items():
            parent_id = state.get(kind.parent)
            if isinstance(parent_id, str):
                try:
                    await kind.tree.refuse_loop(database, id, parent_id)
                except InvalidValueError:
                    inspection.note((kind, id), "broken", (kind.parent,))
        for id in await kind.misplaced(database, back):
            inspection.note((kind, id), "broken", ("initiative_id",))


def _restored(inspection: Inspection) -> list[RestoredEntity]:
    restored: list[RestoredEntity] = []
    for entity, net in inspection.net.items():
        is_present = entity in inspection.present
        action: ChangeSetAction = "update" if is_present else "create"
        if net.previous is not None or is_present:
            action = action if net.previous is not None else "delete"
            restored.append(RestoredEntity(entity[0].entity_type, entity[1], action))
    return restored


_KEPT = frozenset(("created_at", "updated_at", "epoch"))
"""What a row has again that was deleted, and keeps if it is there."""


def _values(kind: Kind, state: State) -> dict[str, Any]:
    """Return the values of the row's columns that a state says."""
    values: dict[str, Any] = {
        name: in_utc(value) if value is not None and kind.is_time(name) else value
        for name, value in state.items()
        if name in kind.columns and name not in ("id", "claimed_by_agent_id", "open_dependencies")
    }
    if state.get("claimed_by_agent_id") is not None and state.get("status") == "in_progress":
        values["status"] = "pending"  # the claim is over
        if isinstance(epoch := values.get("epoch"), int):
            values["epoch"] = epoch + 1
    return values
