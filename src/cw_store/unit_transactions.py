"""The transactions of a unit of work, one after another, and what is known of how they ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from cw_store.backends.port import Backend, Transaction
from cw_store.errors import StoreError
from cw_store.observing import Observers, UnitEnd, UnitEnds
from cw_store.owner import Owner
from cw_store.self_deadlock import Block, WritingTasks, blocks
from cw_store.unit_counts import UnitCounts

logger = logging.getLogger(__name__)


class OpenStore(Protocol):
    """The store that a unit of work is on, and is open here."""

    backend: Backend
    owner: Owner | None
    writing_tasks: WritingTasks
    counts: UnitCounts
    observers: Observers | None


class UnitTransactions:
    """The transaction that a unit is in, and what it holds for it until the unit's end."""

    __slots__ = (
        "_block",
        "_committed_before",
        "_counts",
        "_entered_by",
        "_has_ended",
        "_held_before",
        "_label",
        "_new_transaction",
        "_observed",
        "_owner",
        "_waited_before",
        "_writing_tasks",
        "current",
        "doubt",
        "statements",
        "writing_task",
    )

    def __init__(
        self,
        store: OpenStore,
        owner: Owner,
        *,
        read_only: bool,
        label: str | None,
    ) -> None:
        self._owner = owner
        self._writing_tasks = store.writing_tasks
        self._label = label
        self._has_ended = False
        self._counts = store.counts
        self._observed: UnitEnds | None = None
        if store.observers is not None:
            self._observed = store.observers.begin_unit(label, read_only=read_only)
        self.statements = 0
        self._waited_before = self._held_before = 0.0  # in transactions before this one
        self._entered_by = asyncio.current_task(owner.loop)
        self.writing_task: asyncio.Task[Any] | None = None
        """The task that has run a statement in it, while that may hold what others wait for."""
        self.doubt: BaseException | None = None
        """What left the outcome of a commit unknown."""
        self._committed_before: bool | None = None  # the last transaction that did anything
        self._block: Block | None
        self._new_transaction: Callable[[], Transaction]
        if read_only:
            self._block = None
            self._new_transaction = store.backend.reading
        else:
            self._block = block = Block()
            blocks.set((*[outer for outer in blocks.get() if not outer.has_ended], block))
            self._new_transaction = partial(store.backend.writing, label, self._block)
        self.current = self._new_transaction()

    def begin(self) -> None:
        """Have the next statement begin another transaction."""
        if self.current.committed is not None:
            self._committed_before = self.current.committed
        self._waited_before += self.current.waited
        self._held_before += self.current.held
        self.current = self._new_transaction()

    def __del__(self) -> None:
        """Give back what a unit holds that nobody can end any more; in whatever thread."""
        if not self._has_ended and self._owner.is_this_process:
            with suppress(RuntimeError):  # the loop is closed, and the store's file with it
                self._owner.loop.call_soon_threadsafe(
                    _give_back,
                    self.current,
                    self._label,
                    self._writing_tasks,
                    self.writing_task,
                    self._counts,
                    self._observed,
                    (self.statements, self._waited_before, self._held_before),
                )

    async def note_task(self) -> None:
        """Note that the running task is in the writing unit, if the unit's block is its own.

        So it is when the task entered the block, or when the one that did has ended, as that of a
        test's fixture may have. Raises UnitOfWorkError when it is in another unit already, which
        has what this one would wait for.
        """
        writing = self._writing_tasks
        if writing.tasks and writing.includes_this_one and not self.current.active:
            await writing.refuse("a second unit of work that may write")
        task, entered_by = asyncio.current_task(self._owner.loop), self._entered_by
        if task is not None and (task is entered_by or entered_by is None or entered_by.done()):
            writing.tasks.add(task)
            self.writing_task = task

    def forget_task(self) -> None:
        """Note that nothing is held any more that anybody could wait for."""
        if self.writing_task is not None:
            self._writing_tasks.tasks.discard(self.writing_task)
            self.writing_task = None

    async def commit(self) -> None:
        """Commit; whatever tears this out of the loop meanwhile leaves the outcome unknown."""
        transaction = self.current
        reached_the_database = transaction.active
        self.forget_task()
        try:
            await transaction.commit()
        except (StoreError, asyncio.CancelledError) as error:  # it has come to its end
            is_sent = reached_the_database and not transaction.active
            if is_sent and transaction.committed is None:
                self.doubt = error
            raise
        except BaseException as error:
            if reached_the_database and not transaction.committed:
                self.doubt = error
            raise

    async def rollback(self) -> None:
        """Roll back."""
        self.forget_task()
        await self.current.rollback()

    def terminate(self) -> None:
        """Roll back without waiting."""
        self.forget_task()
        self.current.terminate()

    def end(self, kind: type[BaseException] | None, *, is_committed: bool) -> bool | None:
        """Leave the unit's block, which raised this; count it, and tell who observes.

        Returns whether the last transaction was committed, if known; `is_committed` is the answer
        where nothing has reached the database.
        """
        committed = self.current.committed
        if committed is None:
            committed = self._committed_before
        if committed is None:
            committed = is_committed
        if self.doubt is not None:
            committed = None
        if self._has_ended:
            return committed
        counts, transaction = self._counts, self.current
        waited = self._waited_before + transaction.waited
        held = self._held_before + transaction.held
        counts.statements += self.statements
        counts.waited += waited
        counts.held += held
        if self._block is None:
            counts.read += 1
        elif committed:
            counts.committed += 1
        elif committed is None:
            counts.in_doubt += 1
        else:
            counts.rolled_back += 1
        if held > counts.slow_after:
            counts.warn_of_slow(self._label, self._entered_by, self.statements, waited, held)
        if self._observed is not None:
            self._observed(UnitEnd(committed, kind, self.statements, waited, held))
        self._has_ended = True
        self._entered_by = None
        if self._block is not None:
            self._block.has_ended = True
            blocks.set(tuple([block for block in blocks.get() if not block.has_ended]))
        return committed


def _give_back(
    transaction: Transaction,
    label: str | None,
    writing_tasks: WritingTasks,
    writing_task: asyncio.Task[Any] | None,
    counts: UnitCounts,
    observed: UnitEnds | None,
    before: tuple[int, float, float],
) -> None:
    """End what a unit held that was dropped without its end; on the event loop."""
    if transaction.active:
        logger.warning(
            "%s was dropped without its end, and is rolled back; use it with async with",
            "a unit of work" if label is None else f"the unit of work {label!r}",
            extra={"event": "unit_dropped"},
        )
    if writing_task is not None:
        writing_tasks.tasks.discard(writing_task)
    transaction.terminate()
    statements, waited, held = before
    waited, held = waited + transaction.waited, held + transaction.held
    counts.dropped += 1
    counts.statements += statements
    counts.waited += waited
    counts.held += held
    if observed is not None:
        observed(UnitEnd(False, GeneratorExit, statements, waited, held))
