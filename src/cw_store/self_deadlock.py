"""Who would wait for itself: a task that is inside a writing unit of work and writes beside it.

A task that it starts and waits for would too, and inherits the blocks that it is inside of: whoever
waits in vain for a turn is told if the block around it has it.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any, NoReturn

from cw_store.errors import UnitOfWorkError

GRACE_SECONDS = 0.1
"""How long who would wait for itself does wait before it is told so.

Whoever limits the wait more tightly than that, by a cancel scope for one, gets the end of that
limit and no error in its place.
"""


blocks_around: ContextVar[tuple[object, ...]] = ContextVar("cw_storeblocks_around", default=())
"""The blocks of units of work that the running code is inside of; tasks it starts inherit them."""


def enter_block() -> object:
    """Begin the block of a unit of work, and return what stands for it."""
    block = object()
    blocks_around.set((*blocks_around.get(), block))
    return block


def leave_block(block: object) -> None:
    """End the block; it may have begun in another task's context, as a test's fixture does."""
    around = blocks_around.get()
    if block in around:
        blocks_around.set(tuple(each for each in around if each is not block))


class WritingTasks:
    """The tasks that are inside an open writing unit of work of one store.

    A task is from the first statement that it runs in the unit until the unit commits or rolls
    back: until then the unit may hold what a write beside it waits for, and only the task itself
    can end it.
    """

    __slots__ = ("tasks",)

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()

    def enter(self, entered_by: asyncio.Task[Any] | None) -> asyncio.Task[Any] | None:
        """Note that the running task has run a statement in a unit, if the unit's block is its own.

        So it is when the task entered the block, or when the one that did has ended, as that of a
        test's fixture may have. Returns the task, for `leave`, or None.
        """
        task = asyncio.current_task()
        if task is None or not (task is entered_by or entered_by is None or entered_by.done()):
            return None
        self.tasks.add(task)
        return task

    def leave(self, task: asyncio.Task[Any]) -> None:
        """Note that the unit has committed or rolled back."""
        self.tasks.discard(task)

    @property
    def includes_this_one(self) -> bool:
        """Whether the running task is one of them."""
        return bool(self.tasks) and asyncio.current_task() in self.tasks

    async def refuse(self, what: str) -> NoReturn:
        """Raise UnitOfWorkError after a tenth of a second."""
        await asyncio.sleep(GRACE_SECONDS)
        raise UnitOfWorkError(
            f"{what} would wait for the unit of work that this task is inside of, which ends "
            "only after it; call uow.… instead, or uow.commit() before"
        )
