"""The entries of a change set, understood: what was done one after the other, and what remains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from cw_store.errors import InvalidValueError
from cw_store.repos.change_sets import ChangeSetEntry
from cw_store.repos.json_value import JsonValue
from cw_store.repos.sql.states import DEPENDENCIES, KINDS, LOST, PLACE, Entity, Kind, State
from cw_store.schema import change_set_entries

MAX_PLACE = 1 << 62
"""Behind it too few places would be left."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry: the states of an entity before and after; None where there was none."""

    entity: Entity
    previous: State | None
    new: State | None


def understood(entries: Sequence[ChangeSetEntry]) -> list[Change]:
    """Return what the entries say; raises InvalidValueError for what they cannot mean."""
    return [_understood(entry) for entry in entries]


def net_changes(changes: Sequence[Change]) -> dict[Entity, Change]:
    """Fold the changes of each entity into one.

    States may say only some columns: of the one before the first counts that names a column, of the
    one after the last. What was said of a row that was deleted says nothing of a later one.
    """
    net: dict[Entity, Change] = {}
    deleted: set[Entity] = set()
    for change in changes:
        before = net.setdefault(change.entity, change)
        previous, new = before.previous, change.new
        if change.entity not in deleted and previous is not None and change.previous is not None:
            previous = {**change.previous, **previous}
        if new is None:
            deleted.add(change.entity)
        elif before.new is not None:
            new = {**before.new, **new}
        net[change.entity] = Change(change.entity, previous, new)
    return net


def _understood(entry: ChangeSetEntry) -> Change:
    kind = KINDS[entry.entity_type]
    previous = _state(kind, entry, "previous_state", entry.previous_state)
    new = _state(kind, entry, "new_state", entry.new_state)
    match entry.action:
        case "create":
            if previous is not None:
                raise _refused("previous_state", previous, "is not empty before a create")
            new = {} if new is None else new
        case "update":
            if previous is None:
                raise _refused("previous_state", None, "says nothing of what an update changed")
            new = {} if new is None else new
        case "delete":
            if previous is None:
                raise _refused("previous_state", None, "says nothing of what was deleted")
            if new is not None:
                raise _refused("new_state", new, "is not empty after a delete")
    return Change((kind, entry.entity_id), previous, new)


def _state(kind: Kind, entry: ChangeSetEntry, column: str, value: JsonValue) -> State | None:
    """Return a state with its times spelled as the store spells them."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _refused(column, value, "is no object with the columns of a row")
    state = dict(value)
    for name, each in value.items():
        reason = _reason_to_refuse(kind, entry.entity_id, name, each)
        if reason is not None:
            raise _refused(column, value, f"of {kind.entity_type} {entry.entity_id!r}: {reason}")
        if kind.is_time(name):
            state[name] = each and in_utc(each).isoformat()
    return state


def _reason_to_refuse(kind: Kind, id: str, name: str, value: Any) -> str | None:
    if name == PLACE:
        is_place = type(value) is int and 0 < value < MAX_PLACE
        return None if is_place else f"{name} is no place in the order of storing"
    if name == LOST:
        return None if _is_list_of_lost(value) else f"{name} is no list of rows"
    if name == DEPENDENCIES and kind.edges is not None:
        return None if _is_list_of_text(value) else f"{name} is no list of ids"
    if name not in kind.columns:
        return f"a {kind.entity_type} has no {name}"
    if name == "id":
        return None if value == id else "its id is another one"
    if kind.is_time(name) and value is not None:
        return None if _is_time(value) else f"{name} is no time with its offset"
    return None


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in cast(list[Any], value))


def _is_list_of_lost(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_lost, cast(list[Any], value)))


def _is_lost(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    row = cast(dict[str, Any], value)
    texts = (row.get("table"), row.get("id"), row.get("column") or "")
    return all(isinstance(text, str) for text in texts)


def _is_time(value: object) -> bool:
    try:
        in_utc(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def in_utc(text: Any) -> datetime:
    """Return the time that a state tells; raises ValueError, TypeError or OverflowError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without an offset")
    return time.astimezone(UTC)


def _refused(column: str, value: object, reason: str) -> InvalidValueError:
    return InvalidValueError(change_set_entries.name, column, value, reason)
