"""Whether a unit of work can be used, and what to say when it cannot."""

from __future__ import annotations

from enum import Enum

from cw_store.errors import OutcomeUnknownError, StoreError, UnitOfWorkError


class State(Enum):
    """Where a unit of work is in its life; one that is open may be `Spent` instead."""

    NEW = "not begun"
    OPEN = "open"
    ENDED = "ended"


NEW, OPEN, ENDED = State


class Spent:
    """The state of an open unit that can do nothing more, because of the error `by`.

    A rollback of the whole unit makes it good again. So does the end of a savepoint that undoes
    what was refused, unless the unit `is_lost`.
    """

    __slots__ = ("by", "is_lost")

    def __init__(self, by: BaseException, *, is_lost: bool = False) -> None:
        self.by = by
        self.is_lost = is_lost


def not_open_error(state: State | Spent) -> UnitOfWorkError:
    """Return what to say to whoever uses a unit that is not open."""
    return UnitOfWorkError(
        "the unit of work has not begun; enter it with async with"
        if state is NEW
        else "the unit of work has ended; begin a new one"
    )


def spent_error() -> UnitOfWorkError:
    """Return what to say to whoever uses a spent unit."""
    return UnitOfWorkError(
        "the unit of work is spent, because the database refused a statement or its "
        "outcome is not known; leave the block and begin a new one, or put what may fail "
        "into a savepoint"
    )


def end_error(*, is_in_doubt: bool) -> StoreError:
    """Return what to say when the block of a spent unit ended without an error."""
    if is_in_doubt:
        return OutcomeUnknownError(
            "nobody can know whether what this unit of work has committed is stored"
        )
    return UnitOfWorkError(
        "the unit of work was rolled back, because the database refused a statement in "
        "it and the block ended as if it had not"
    )
