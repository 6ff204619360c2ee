"""Several statements whose order is decided on the way, each after the answers of those before.

A procedure is a generator: it yields a step and is sent what came of it. So the same text runs on
every database, in one job of a thread where the database is in this process, and over the network
where it is not. What comes of it is all or nothing: an error that leaves it undoes, or spends, the
transaction it was in. So one that is asked for what it cannot do returns that, and whoever asked
raises it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from cw_store.errors import UnreadableError
from cw_store.statements.query import Query

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """Run a query with these values; answered with the list of its records.

    A row that cannot be read is raised in the procedure as UnreadableError, which may go on.
    """

    query: Query[Any]
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class InsertAll:
    """Insert rows, all or none; answered with the list of their records, as they are stored.

    The query is an INSERT of every column, so its parameters are the stored row.
    """

    query: Query[Any]
    batch: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Lock:
    """Take turns under a name until the end of the transaction, where others write side by side."""

    name: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Set a savepoint, where others write side by side; there is one at a time."""


@dataclass(frozen=True, slots=True)
class Undo:
    """Undo what was done since the mark, and give back what was locked since."""


@dataclass(frozen=True, slots=True)
class Link:
    """A query of a chain, and which of its parameters are what a query before it has found.

    `found` has their names, each with the place of that query and a field of its record.
    """

    query: Query[Any]
    found: Mapping[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Queries of one row at most each, which run one after the other as long as each finds one.

    A chain is made once, and is the same for whatever values. Its name is for those who look at
    what a server is doing. One that `is_whole` leaves nothing to decide on when it has come to its
    end, and is a transaction by itself.
    """

    name: str
    links: tuple[Link, ...]
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """Run a chain at once, where that saves messages; the first step of a procedure, or all of it.

    `turn` is the name of a lock that is taken before. Answered with the record of each query, or
    with None, which is no fault: then nothing has been done, and what is to be done goes on step by
    step. So it is where the first query finds nothing, where any query of a whole chain does, and
    wherever nothing is saved.
    """

    chain: Chain
    values: Mapping[str, Any]
    turn: str | None = None


class NotAtOnceError(Exception):
    """Raised after an attempt that is of no use: all is undone, and begins anew step by step."""


Step: TypeAlias = Run | InsertAll | Lock | Mark | Undo | Attempt

Procedure: TypeAlias = Generator[Step, Any, T]

Begin: TypeAlias = Callable[[], Procedure[T]]
"""What begins a procedure, again where the database had to undo the first try."""


def advance(procedure: Procedure[Any], answer: object) -> Step:
    """Tell a procedure what came of its last step, and return the next; StopIteration at its end.

    An UnreadableError is raised in it. The first answer is None.
    """
    if isinstance(answer, UnreadableError):
        return procedure.throw(answer)
    return procedure.send(answer)


def rows(query: Query[R], **values: Any) -> Procedure[list[R]]:
    """Run a query; return every row as a record, in the statement's order."""
    found: list[R] = yield Run(query, values)
    return found


def insert_all(query: Query[R], batch: Sequence[Mapping[str, Any]]) -> Procedure[list[R]]:
    """Insert rows, all or none; return them as they are stored."""
    stored: list[R] = yield InsertAll(query, batch)
    return stored


def row(query: Query[R], **values: Any) -> Procedure[R | None]:
    """Run a query; return the first row as a record, or None when there is none."""
    found: list[R] = yield Run(query, values)
    return found[0] if found else None
