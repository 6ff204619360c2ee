"""Who would wait for itself: a task that is inside a writing unit of work and writes beside it.

A task that it starts and waits for would too, and inherits the blocks that it is inside of: whoever
waits in vain for a turn is told if a block around it has it.
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


class WritingTasks:
    """The tasks that are inside an open writing unit of work of one store.

    A task is from the first statement that it runs in the unit until the unit commits or rolls
    back: until then the unit may hold what a write beside it waits for, and only the task itself
    can end it.
    """

    __slots__ = ("tasks",)

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()

    @property
    def includes_this_one(self) -> bool:
        """Whether the running task is one of them."""
        return bool(self.tasks) and asyncio.current_task() in self.tasks

    async def refuse(
        self, what: str, instead: str = "call uow.… instead, or uow.commit() before"
    ) -> NoReturn:
        """Raise UnitOfWorkError, which says what to do instead, after a tenth of a second."""
        await asyncio.sleep(GRACE_SECONDS)
        raise UnitOfWorkError(
            f"{what} would wait for the unit of work that this task is inside of, which ends "
            f"only after it; {instead}"
        )


class Block:
    """The block of a writing unit of work."""

    has_ended = False
    """Whether it was left, in whatever context; a test's fixture enters and leaves in two."""


blocks: ContextVar[tuple[Block, ...]] = ContextVar("cw_store_blocks", default=())
"""The blocks that the running code is inside of; tasks that it starts inherit them."""
