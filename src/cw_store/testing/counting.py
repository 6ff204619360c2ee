"""What a program asks its store for, call by call."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from cw_store import Store
from cw_store.observing import CallBegin, UnitBegin


@contextmanager
def queries(store: Store) -> Generator[list[str]]:
    """Give a list that grows with each call of a repository, by its name: `tasks.find_by_id`.

        with queries(cw_store) as asked:
            await board(cw_store)
        assert len(asked) <= 3, asked

    They stand in the order in which they were made, whether on the store or in a unit of work that
    was entered in the block. Statements of a session are not among them, nor are those of a unit
    that had begun before.
    """
    calls = _Calls()
    end = store.observe(calls)
    try:
        yield calls.names
    finally:
        end()


class _Calls:
    """The observer that writes the calls down."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def begin_call(self, call: CallBegin) -> None:
        """Write its name down."""
        self.names.append(call.name)

    def begin_unit(self, unit: UnitBegin) -> None:
        """Write nothing: a unit is no call."""
