"""The transactions of a unit of work, one after another, and what is known of how they ended."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from cw_store.backends.port import Backend, Transaction
from cw_store.errors import StoreError
from cw_store.owner import Owner
from cw_store.self_deadlock import WritingTasks, enter_block, leave_block
from cw_store.unit_state import NOTHING_SENT, STORED, UNDONE, UNKNOWN, Outcome

logger = logging.getLogger(__name__)


class UnitTransactions:
    """The transaction that a unit is in, and what it holds for it until the unit's end."""

    __slots__ = (
        "_backend",
        "_block",
        "_entered_by",
        "_has_ended",
        "_label",
        "_owner",
        "_read_only",
        "_writing_tasks",
        "current",
        "doubt",
        "outcome",
        "writing_task",
    )

    def __init__(
        self,
        backend: Backend,
        owner: Owner,
        writing_tasks: WritingTasks,
        *,
        read_only: bool,
        label: str | None,
    ) -> None:
        self._backend = backend
        self._owner = owner
        self._writing_tasks = writing_tasks
        self._read_only = read_only
        self._label = label
        self._has_ended = False
        self._entered_by = asyncio.current_task()
        self._block = enter_block()
        self.writing_task: asyncio.Task[Any] | None = None
        """The task that has run a statement in it, while that may hold what others wait for."""
        self.outcome: Outcome = NOTHING_SENT
        self.doubt: BaseException | None = None
        """What left the outcome of a commit unknown."""
        self.current: Transaction
        self.begin()

    def begin(self) -> Transaction:
        """Have the next statement begin another transaction."""
        self.current = self._backend.transaction(
            read_only=self._read_only, label=self._label, block=self._block
        )
        return self.current

    def __del__(self) -> None:
        """Give back what a unit holds that nobody can end any more; in whatever thread."""
        if not self._has_ended and self._owner.is_this_process:
            with suppress(RuntimeError):  # the loop is closed, and the store's file with it
                self._owner.loop.call_soon_threadsafe(
                    _give_back, self.current, self._label, self._writing_tasks, self.writing_task
                )

    async def note_task(self) -> None:
        """Note who runs a statement in a writing unit; raises UnitOfWorkError for a second one."""
        if self._writing_tasks.includes_this_one and not self.current.active:
            await self._writing_tasks.refuse("a second unit of work that may write")
        self.writing_task = self._writing_tasks.enter(self._entered_by)

    def forget_task(self) -> None:
        """Note that nothing is held any more that anybody could wait for."""
        if self.writing_task is not None:
            self._writing_tasks.leave(self.writing_task)
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
                self._lose_outcome(error)
            raise
        except BaseException as error:
            if reached_the_database and not transaction.committed:
                self._lose_outcome(error)
            raise
        finally:
            self._note_outcome()

    async def rollback(self) -> None:
        """Roll back."""
        self.forget_task()
        try:
            await self.current.rollback()
        finally:
            self._note_outcome()

    def terminate(self) -> None:
        """Roll back without waiting."""
        self.forget_task()
        self.current.terminate()
        self._note_outcome()

    def end(self) -> None:
        """Leave the unit's block; there is no further transaction."""
        self._has_ended = True
        self._entered_by = None
        leave_block(self._block)

    def _lose_outcome(self, error: BaseException) -> None:
        self.outcome = UNKNOWN
        self.doubt = error

    def _note_outcome(self) -> None:
        committed = self.current.committed
        if committed is not None and self.outcome is not UNKNOWN:
            self.outcome = STORED if committed else UNDONE


def _give_back(
    transaction: Transaction,
    label: str | None,
    writing_tasks: WritingTasks,
    writing_task: asyncio.Task[Any] | None,
) -> None:
    """End what a unit held that was dropped without its end; on the event loop."""
    if transaction.active:
        logger.warning(
            "%s was dropped without its end, and is rolled back; use it with async with",
            "a unit of work" if label is None else f"the unit of work {label!r}",
        )
    if writing_task is not None:
        writing_tasks.leave(writing_task)
    transaction.terminate()
