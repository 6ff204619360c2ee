"""Every error an application can meet, as one tree.

    StoreError
    ├── NotFoundError            table, id                          (also LookupError)
    ├── ConflictError
    │   ├── AlreadyExistsError   table, columns        unique
    │   ├── BrokenReferenceError table, columns        foreign key
    │   ├── ChangeConflictError  conflicts             an undo would overwrite later changes
    │   └── StaleStateError      table, id             the row has moved on
    │       └── LeaseLostError   epoch, held_by        somebody else has the task now
    ├── InvalidValueError        table, column, value, reason       (also ValueError)
    │   └── DependencyCycleError path                  ids around the cycle, first == last
    ├── ReadOnlyError
    ├── UnitOfWorkError
    ├── OutcomeUnknownError                            nobody can know whether it is stored
    ├── StoreBusyError           holder                             (also TimeoutError)
    ├── StoreClosedError
    ├── UnreadableError          table, id, column     a stored value that cannot be read
    ├── StaleCursorError                               a feed's cursor of another life
    └── SchemaError
        ├── SchemaBehindError    current, head
        └── SchemaAheadError     current

The facts are attributes, the message is a sentence, and where a driver refused
something its own error is the ``__cause__``. No message and no ``repr`` holds the
value of a column that may be secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "AlreadyExistsError",
    "BrokenReferenceError",
    "ChangeConflict",
    "ChangeConflictError",
    "ChangeConflictReason",
    "ConflictError",
    "DependencyCycleError",
    "InvalidValueError",
    "LeaseLostError",
    "NotFoundError",
    "OutcomeUnknownError",
    "ReadOnlyError",
    "SchemaAheadError",
    "SchemaBehindError",
    "SchemaError",
    "StaleCursorError",
    "StaleStateError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreError",
    "TurnHolder",
    "UnitOfWorkError",
    "UnreadableError",
]


class StoreError(Exception):
    """The root of everything that cw_store raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        """Survive a copy, and the way out of a worker process, facts and all."""
        return _restored, (type(self), self.args, self.__dict__)


class NotFoundError(StoreError, LookupError):
    """There is no row with this id in this table."""

    def __init__(self, table: str, id: str) -> None:
        self.table = table
        self.id = id
        super().__init__(f"there is no row {id!r} in {table}")


class ConflictError(StoreError):
    """What was asked for does not fit the rows that are there."""


class AlreadyExistsError(ConflictError):
    """A row with the same values in `columns`, which are unique together, exists already."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        self.table = table
        self.columns = tuple(columns)
        super().__init__(f"{table} already holds a row with the same {_listed(columns)}")


class BrokenReferenceError(ConflictError):
    """`columns` point to a row that does not exist."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        self.table = table
        self.columns = tuple(columns)
        super().__init__(f"{_listed(columns)} of {table} points to a row that does not exist")


ChangeConflictReason = Literal["changed", "gone", "exists", "added", "claimed", "broken"]
"""What stands in the way of an undo; the first four give way to `force`.

- `changed`: the `columns` no longer hold what the change set left in them;
- `gone`: the change set left it, and it was deleted since;
- `exists`: the change set deleted it, and it is there again;
- `added`: it came since, and would go with what the change set created;
- `claimed`: it is a task that an agent has now;
- `broken`: it can no longer be as it was, since what its `columns` refer to is gone, or moved on.
"""


@dataclass(frozen=True, slots=True)
class ChangeConflict:
    """One thing that an undo would overwrite: which it is, and how it differs.

    `entity_type` is `page`, `phase` or `task`, and `review_comment` for what only may be `added`.
    """

    entity_type: str
    entity_id: str
    reason: ChangeConflictReason
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Describe it the way the message of a ChangeConflictError does."""
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        what = self.entity_type.replace("_", " ")
        return f"{what} {self.entity_id!r} {_CONFLICTS[self.reason]}{columns}"


_CONFLICTS: dict[ChangeConflictReason, str] = {
    "changed": "was changed since",
    "gone": "was deleted since",
    "exists": "is there again",
    "added": "came since, and would go too",
    "claimed": "is claimed by an agent",
    "broken": "no longer fits what is there",
}

_TOLD = 5
"""So many conflicts are in the message; all of them are in the error."""


class ChangeConflictError(ConflictError):
    """What a change set did was changed since, and an undo would overwrite that.

    `conflicts` are all `ChangeConflict`s that were found; nothing was written.
    """

    def __init__(self, conflicts: Sequence[ChangeConflict]) -> None:
        self.conflicts = tuple(conflicts)
        told = "; ".join(map(str, self.conflicts[:_TOLD]))
        more = len(self.conflicts) - _TOLD
        super().__init__(
            f"the change set cannot be reverted: {told}" + (f"; and {more} more" * (more > 0))
        )


class StaleStateError(ConflictError):
    """The row is no longer in the state that the call needs; read it again."""

    def __init__(self, table: str, id: str, message: str | None = None) -> None:
        self.table = table
        self.id = id
        super().__init__(
            message or f"row {id!r} of {table} is no longer in the state that this call needs"
        )


class LeaseLostError(StaleStateError):
    """The claim on the task is over; stop working on it, for nothing is written under it any more.

    `epoch` is the claim's, `held_by` the id of the agent that has the task now, None if none has.
    """

    def __init__(
        self, table: str, id: str, message: str, *, epoch: int, held_by: str | None
    ) -> None:
        self.epoch = epoch
        self.held_by = held_by
        super().__init__(table, id, message)


class InvalidValueError(StoreError, ValueError):
    """A value that the column does not take; nothing was written."""

    def __init__(self, table: str, column: str, value: object, reason: str) -> None:
        self.table = table
        self.column = column
        self.value = value
        self.reason = reason
        super().__init__(f"{table}.{column} {reason}")


class DependencyCycleError(InvalidValueError):
    """The edge would close a cycle; `path` has the ids around it, first and last the same."""

    def __init__(self, table: str, column: str, path: Sequence[str]) -> None:
        self.path = tuple(path)
        super().__init__(
            table, column, self.path[-1], f"would close a cycle: {' -> '.join(self.path)}"
        )


class ReadOnlyError(StoreError):
    """A write was asked of a unit of work that only reads."""


class UnitOfWorkError(StoreError):
    """The unit of work has ended or is spent; begin a new one."""


class OutcomeUnknownError(StoreError):
    """Nobody can know whether it is stored: what would have said so was lost on the way.

    Look before you write again: `uow.committed` is `None`, and `store.run` repeats nothing.
    """


@dataclass(frozen=True, slots=True)
class TurnHolder:
    """Who holds the writer's turn: the unit's label, its task's name, and for how long."""

    label: str | None
    task_name: str | None
    seconds: float

    def __str__(self) -> str:
        """Describe the holder the way the message of a StoreBusyError does."""
        who = f"{self.label!r}" if self.label else "a unit of work without a label"
        return f"{who} in task {self.task_name!r}, for {self.seconds:.1f} s"


class StoreBusyError(StoreError, TimeoutError):
    """No turn, connection or lock was to be had in time; nothing was done, try again.

    `holder` is a `TurnHolder` where the one who holds the turn is in this process,
    else `None`.
    """

    def __init__(self, message: str, holder: TurnHolder | None = None) -> None:
        self.holder = holder
        super().__init__(message if holder is None else f"{message}; the turn is held by {holder}")


class StoreClosedError(StoreError):
    """The store is closed, or belongs to another event loop or process."""


class UnreadableError(StoreError):
    """A stored value that cannot be read: encrypted under another key, no JSON, another type.

    `id` is the row's, or `None` where it is not known. What the call was to write is written: a
    row that cannot be read can be changed, and the unit of work goes on.
    """

    def __init__(self, table: str, id: str | None, column: str, reason: str) -> None:
        self.table = table
        self.id = id
        self.column = column
        super().__init__(f"{column} of row {id!r} of {table} cannot be read: {reason}")


class StaleCursorError(StoreError):
    """The cursor is of another life of the database, or from before the oldest change that is kept.

    What has changed since cannot be told: read the state itself, and go on from
    `changes.position()`.
    """


class SchemaError(StoreError):
    """The database's schema does not fit this version of cw_store."""


class SchemaBehindError(SchemaError):
    """The database is older than the code and may not be changed."""

    def __init__(self, current: str | None, head: str, reason: str | None = None) -> None:
        self.current = current
        self.head = head
        cannot = "" if reason is None else f" as a user who may write to it, since {reason}"
        found = (
            "there is no store here yet"
            if current is None
            else f"the database is at schema {current} and this cw_store needs {head}"
        )
        super().__init__(
            f"{found}; open it for writing with migrate=True, or run ensure_schema(){cannot}"
        )


class SchemaAheadError(SchemaError):
    """The database was brought up to date by a newer cw_store than this one."""

    def __init__(self, current: str) -> None:
        self.current = current
        super().__init__(
            f"the database is at schema {current}, which this cw_store does not know; "
            "install a newer cw_store"
        )


def _restored(
    kind: type[StoreError], arguments: tuple[object, ...], facts: dict[str, object]
) -> StoreError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(facts)
    return error


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(columns)
