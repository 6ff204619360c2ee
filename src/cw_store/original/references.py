"""References of the source, whose foreign keys were off at times: followed, emptied, or fatal.

What a reference to no row does is what the database would have done when that row was deleted, but
for a parent in the same table: a row is never left out for the lack of its parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cw_store.original.findings import Draft, Findings
from cw_store.original.ids import Ids, key_of
from cw_store.original.shape import IMPORTED, LOGS, columns_of_original
from cw_store.original.texts import REASONS, text_of
from cw_store.types import Id

UNKNOWN_AGENT = "unknown"
"""Whose log it is that nobody's id is on."""

_NOWHERE = "\0"
"""Begins what stands for a reference to no row: no id of a store holds it."""

_FREE = {
    ("proposals", "target_id"): "target_type",
    ("chat_sessions", "target_id"): "target_type",
    ("change_set_entries", "entity_id"): "entity_type",
}
"""The columns with an id that need be no row's, and those that say of which table it would be."""

_TABLE_OF_TYPE = {"page": "pages", "phase": "phases", "task": "tasks"}


class _Reference(NamedTuple):
    """A foreign key of the store: in which column, to which table, and what a deletion does."""

    column: str
    target: str
    cascades: bool
    is_parent: bool


def _all_references() -> dict[str, tuple[_Reference, ...]]:
    return {
        table.name: tuple(
            _Reference(name, target, key.ondelete == "CASCADE", target == table.name)
            for name in columns_of_original(table)
            for key in table.c[name].foreign_keys
            for target in [key.column.table.name]
        )
        for table in IMPORTED
    }


_REFERENCES = _all_references()


def name_ids(drafts: Sequence[Draft], ids: Ids, findings: Findings) -> None:
    """Give every reference of rows the id that it has in the store."""
    for draft in drafts:
        for reference in _REFERENCES[draft.table.name]:
            _name_reference(draft, reference, ids, findings)
        for name in columns_of_original(draft.table):
            column = draft.table.c[name]
            if isinstance(column.type, Id) and name != "id" and not column.foreign_keys:
                name_free_id(draft, name, ids, findings)


def _name_reference(draft: Draft, reference: _Reference, ids: Ids, findings: Findings) -> None:
    raw = draft.get(reference.column)
    id = None if raw is None else ids.find(reference.target, key_of(raw))
    if id is None and raw is not None:
        if key_of(raw):
            id = _NOWHERE
        elif draft.table.c[reference.column].nullable:
            reason = "the empty id is no row's"
            findings.repair(draft, "id_empty", reason, reference.column, raw, None)
    draft.values[reference.column] = id


def name_free_id(draft: Draft, column: str, ids: Ids, findings: Findings) -> None:
    """Give an id that need be no row's what it is called in the store."""
    raw = draft.get(column)
    table = _table_of(draft, column)
    found = None if table is None or raw is None else ids.find(table, key_of(raw))
    if found is not None:
        draft.values[column] = found
        return
    text, codes = text_of(raw)
    draft.values[column] = text or None
    if text:
        for code in codes:
            findings.repair(draft, code, REASONS[code], column, raw, text)
    elif draft.table.name == LOGS:
        draft.values[column] = UNKNOWN_AGENT
        findings.repair(draft, "id_empty", "nobody's id is on it", column, raw, UNKNOWN_AGENT)
    elif not draft.table.c[column].nullable:
        if not draft.is_left_out:
            findings.leave_out(draft, "id_empty", "it does not say what it is about", column, raw)
    elif raw is not None:
        findings.repair(draft, "id_empty", "the empty id is no row's", column, raw, None)


def _table_of(draft: Draft, column: str) -> str | None:
    if draft.table.name == LOGS:
        return "agents"
    return _TABLE_OF_TYPE.get(draft.values.get(_FREE[draft.table.name, column], ""))


class Settlement:
    """Follows references until none leads to a row that is not there."""

    def __init__(self, drafts: Mapping[str, Sequence[Draft]], findings: Findings) -> None:
        self._drafts = drafts
        self._findings = findings
        self._there = {
            name: {draft.id for draft in rows if not draft.is_left_out}
            for name, rows in drafts.items()
        }
        self.orphans: list[Draft] = []
        """The rows whose parent is not there."""

    def settle(self) -> None:
        """Empty references to no row, or leave out their rows, until nothing changes."""
        while any([self._settle(rows) for rows in self._drafts.values()]):
            pass

    def _settle(self, drafts: Sequence[Draft]) -> bool:
        has_changed = False
        for draft in drafts:
            for reference in _REFERENCES[draft.table.name]:
                if not draft.is_left_out and not self._leads_somewhere(draft, reference):
                    self._end(draft, reference)
                    has_changed = True
        return has_changed

    def _leads_somewhere(self, draft: Draft, reference: _Reference) -> bool:
        id = draft.values[reference.column]
        if id is None:
            return draft.table.c[reference.column].nullable is True
        return id in self._there.get(reference.target, ())

    def _end(self, draft: Draft, reference: _Reference) -> None:
        """Do what a deletion of the row that is not there would have done."""
        column, target = reference.column, reference.target
        old = draft.get(column)
        reason = f"it refers to a row of {target} that is not there"
        if reference.cascades and not reference.is_parent:
            self._findings.leave_out(draft, "reference", reason, column, old)
            self._there[draft.table.name].discard(draft.id)
            return
        draft.values[column] = None
        if reference.is_parent:
            self.orphans.append(draft)
        self._findings.repair(draft, "reference", reason, column, old, None)
