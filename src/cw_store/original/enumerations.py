"""Enumerated values of the source: exact, spelled otherwise, mapped by the caller, or at rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

from cw_store.original.findings import Draft
from cw_store.original.report import ValueMap
from cw_store.original.shape import IMPORTED, columns_of_original
from cw_store.original.texts import text_of
from cw_store.types import OneOf

AT_REST: Mapping[tuple[str, str], str] = {
    ("initiatives", "status"): "pending_review",
    ("phases", "status"): "blocked",
    ("tasks", "status"): "blocked",
    ("tasks", "type"): "auto",
    ("tasks", "category"): "execute",
    ("tasks", "priority"): "medium",
    ("agents", "status"): "stopped",
    ("agents", "mode"): "execute",
    ("proposals", "status"): "pending",
    ("messages", "type"): "info",
    ("messages", "status"): "pending",
    ("chat_sessions", "status"): "closed",
    ("chat_messages", "role"): "system",
    ("change_sets", "mode"): "refine",
    ("errands", "status"): "pending_review",
    ("review_comments", "line_type"): "context",
}
"""What an unknown value becomes: the one of its column that sets nothing in motion."""


class Chosen(NamedTuple):
    """What an enumerated value becomes, and the code and reason of what was done, if anything.

    The value is None where the row cannot be kept.
    """

    value: str | None
    code: str = ""
    reason: str = ""


class Enumerations:
    """How the values of enumerated columns are read, for one import."""

    def __init__(self, mapping: ValueMap | None) -> None:
        """Take the caller's map; raises ValueError for one that names what there is not."""
        self._mapping = {} if mapping is None else _checked(mapping)

    def choose(self, draft: Draft, column: str) -> Chosen:
        """Return what the row's value in a column becomes."""
        values = cast(OneOf, draft.table.c[column].type).values
        text = text_of(draft.get(column)).value
        if text is None:
            return Chosen(_default(draft, column), "null", "nothing was there; it is the default")
        if text in values:
            return Chosen(text)
        spelled = _normal(text)
        if spelled in values:
            return Chosen(spelled, "enum_spelling", "it was spelled otherwise")
        mapped = self._mapping.get(f"{draft.table.name}.{column}", {})
        if text in mapped or spelled in mapped:
            return Chosen(mapped.get(text) or mapped[spelled], "enum_mapped", "as the map says")
        return Chosen(
            _at_rest(draft, column), "enum_unknown", "an unknown value; it is at rest now"
        )


def _normal(text: str) -> str:
    return text.strip().lower().replace("-", "_")


def _default(draft: Draft, column: str) -> str | None:
    default = draft.table.c[column].default
    resting = _at_rest(draft, column)
    by_the_row = (draft.table.name, column) not in AT_REST and resting is not None
    return resting if default is None or by_the_row else getattr(default, "arg")  # noqa: B009 -- of one kind of default alone


def _at_rest(draft: Draft, column: str) -> str | None:
    """Return the value that sets nothing in motion, None where the column has no such."""
    match draft.table.name, column:
        case "conversations", "status":
            return "answered" if draft.get("answer") is not None else "pending"
        case "messages", "sender_type":
            return "agent" if draft.get("sender_id") is not None else "user"
        case "messages", "recipient_type":
            return "agent" if draft.get("recipient_id") is not None else "user"
        case "change_sets", "status":
            return "reverted" if draft.get("reverted_at") else "applied"
        case place:
            return AT_REST.get(place)


def _checked(mapping: ValueMap) -> dict[str, Mapping[str, str]]:
    known = {
        f"{table.name}.{name}": cast(OneOf, table.c[name].type).values
        for table in IMPORTED
        for name in columns_of_original(table)
        if isinstance(table.c[name].type, OneOf)
    }
    for column, values in mapping.items():
        if column not in known:
            raise ValueError(
                f"{column!r} is no enumerated column; there are {', '.join(sorted(known))}"
            )
        for value in values.values():
            if value not in known[column]:
                raise ValueError(
                    f"{column} cannot be {value!r}; it is one of {', '.join(known[column])}"
                )
    return dict(mapping)
