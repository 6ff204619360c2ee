"""The words of a statement on one kind of database, which all stores on such databases share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect

from cw_store.statements.query import Query


class Text(NamedTuple):
    """What SQLAlchemy makes of a statement; the rules of a store have no part in it."""

    sql: str
    names: Sequence[str]
    """The names of the parameters in the driver's order."""
    binds: Mapping[str, Any]
    """The parameters by their names."""


_texts: WeakKeyDictionary[Query[Any], dict[tuple[object, ...], Text]] = WeakKeyDictionary()


def text_for(dialect: Dialect, query: Query[Any]) -> Text:
    """Return the statement as this kind of database takes it; made once in a process.

    It is more than half of what it takes to compile a query, and a program that opens one store
    after the other, as tests do, would have it done for each.
    """
    kind = (dialect.name, dialect.driver, getattr(dialect, "server_version_info", None))
    texts = _texts.setdefault(query, {})
    text = texts.get(kind)
    if text is None:
        compiled = query.statement.compile(dialect=dialect)
        names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
        text = texts[kind] = Text(str(compiled), names, getattr(compiled, "binds", {}))
    return text
