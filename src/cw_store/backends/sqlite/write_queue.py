"""The queue of writers: one writer at a time, first come first served.

SQLite has one writer. Its own way to wait for it is unfair, and so is a connection
pool's, whose queue lets a running task overtake those who wait. Here a turn is handed
directly to the one who has waited longest.

Guarantees
    At every await at most one holds the turn, and where nobody does, nobody waits. Each `Turn` that
    asks is answered once, by `acquired` or by `rejected`, unless it has given up; who was answered
    in the very moment of its cancellation passes the turn on.
    Nobody overtakes, and nobody waits past the deadline. Whoever cannot use the turn is rejected
    with the reason, and the next has it.

Runs on
    The event loop, but for `holder()`, which any thread may ask.

Order
    Free the turn, then hand it on: `acquired` may release it at once, and comes back here. Whether
    the file is still there is looked at before a turn is had, since what SQLite stores in one that
    was removed is lost.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from typing import TypeVar

from cw_store.backends.sqlite.deadlines import Deadlines, QueuedWaiter
from cw_store.backends.sqlite.file_watch import FileWatch
from cw_store.errors import StoreBusyError, StoreClosedError, TurnHolder
from cw_store.self_deadlock import Block, blocks


class Turn(QueuedWaiter):
    """A writer's entry in the queue; once acquired, the right to write until it is released."""

    __slots__ = ("held", "since", "waited", "within", "write_queue")

    since: float
    """When it was asked for, then when it was had, in the loop's time."""
    held: float
    """Seconds from then on, once it is released."""
    waited: float
    """Seconds that a task waited for its turn."""
    write_queue: WriteQueue
    """Where this waits, once it does."""
    within: tuple[Block, ...]
    """The blocks inside of which it waits, once it does."""
    block: Block | None = None
    """The block whose turn it is, if it is that of one."""
    label: str | None = None
    task_name: str | None = None  # whoever waits is known by the wait

    def acquired(self) -> None:
        """Use it; it has to be released then."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Say who this is, and what it waits for, behind whom."""
        write_queue = getattr(self, "write_queue", None)
        task = self.task
        task_name = self.task_name if task is None else task.get_name()
        name = f"{type(self).__name__} {self.label!r} of {task_name!r}"
        if write_queue is None or self.is_done or self not in write_queue.queue:
            return f"<{name}>"
        before = sum(
            not turn.given_up for turn in itertools.takewhile(self.is_not, write_queue.queue)
        )
        holder = write_queue.holder()
        return f"<{name} waits for the writer's turn, behind {before} others and {holder}>"

    def is_not(self, turn: Turn) -> bool:
        """Whether this is another."""
        return self is not turn


class TaskTurn(Turn):
    """The turn of a task, until the task releases it."""

    __slots__ = ("block", "label", "task_name")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, label: str | None, block: Block | None
    ) -> None:
        super().__init__(loop)
        self.label = label
        self.block = block
        self.waited = 0.0
        task = asyncio.current_task(loop)
        self.task_name = None if task is None else task.get_name()

    def acquired(self) -> None:
        """Wake the task that waits."""
        self.value = None
        self.settle()


T = TypeVar("T", bound=Turn)

logger = logging.getLogger(__name__)


class WriteQueue:
    """Hands the turn from one writer to the next."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop = loop
        self.timeout = timeout
        self.queue: deque[Turn] = deque()
        """Those who wait, and some who have given up."""
        self._deadlines = Deadlines(loop, self.queue, self._too_late)
        self._holder: Turn | None = None
        self._closed = False
        self.watch = FileWatch()
        self.turns = 0
        """How often a turn was had and released."""
        self.waits = 0
        """How many have waited until they had one, or were taken along by who had it."""
        self.waited = 0.0
        """Seconds for which they have, all together."""
        self.held = 0.0
        """Seconds for which turns were held."""

    @property
    def is_closed(self) -> bool:
        """Whether nobody gets a turn any more."""
        return self._closed

    @property
    def is_free(self) -> bool:
        """Whether a turn asked for now would be had at once."""
        return self._holder is None

    def holder(self) -> TurnHolder | None:
        """Describe who holds the turn, or None; from any thread."""
        holder = self._holder
        if holder is None:
            return None
        task = holder.task
        name = holder.task_name if task is None else task.get_name()
        return TurnHolder(holder.label, name, self._loop.time() - holder.since)

    def ask(self, turn: Turn) -> None:
        """Queue up; `turn.acquired()` or `turn.rejected()` is called now or later, once."""
        turn.since = now = self._loop.time()
        turn.deadline = now + self.timeout
        if self._closed:
            turn.rejected(StoreClosedError("the store is closed"))
        elif self._holder is None:
            if now > self.watch.due and (gone := self.watch.refusal(now)):
                turn.rejected(gone)
                return
            self._holder = turn
            turn.acquired()
        else:
            turn.write_queue = self
            turn.within = blocks.get()
            self._deadlines.queue_up(turn)

    def free_turn(self, label: str | None, block: Block | None = None) -> Turn | None:
        """Return the turn if nobody has it, for the running task and what runs in its block."""
        if self._holder is not None or self._closed:
            return None
        now = self._loop.time()
        if now > self.watch.due:
            self.refuse_if_gone()
        turn = self._holder = TaskTurn(self._loop, label, block)
        turn.since = now
        turn.deadline = now + self.timeout
        return turn

    def refuse_if_gone(self) -> None:
        """Raise StoreError when the file is no longer the one that was opened."""
        now = self._loop.time()
        if now > self.watch.due and (gone := self.watch.refusal(now)):
            raise gone

    async def turn(self, label: str | None, block: Block | None = None) -> Turn:
        """Wait for the turn; raises StoreBusyError when it does not come in time."""
        turn = TaskTurn(self._loop, label, block)
        self.ask(turn)
        try:
            await turn
        except BaseException:
            if self._holder is turn:
                self.release(turn)  # acquired in the very moment of the cancellation
            else:
                turn.given_up = True
            raise
        return turn

    def release(self, turn: Turn) -> None:
        """Pass the turn on to the one who has waited longest."""
        if self._holder is not turn:
            return
        self._holder = None
        turn.held = held = self._loop.time() - turn.since
        self.held += held
        self.turns += 1
        while self.queue and self._holder is None:
            following = self.queue.popleft()
            if not following.given_up:
                now = self._loop.time()
                following.waited = waited = now - following.since
                following.since = now
                if now > self.watch.due and (gone := self.watch.refusal(now)):
                    following.rejected(gone)
                    continue
                self._holder = following
                self.waits += 1
                self.waited += waited
                try:
                    following.acquired()
                except Exception as error:
                    logger.exception(
                        "%r could not use its turn", following, extra={"event": "turn_failed"}
                    )
                    self._holder = None
                    following.rejected(error)

    def take_while(self, kind: type[T], limit: int) -> list[T]:
        """Remove and return the turns at the head of the queue that are of this kind."""
        taken: list[T] = []
        now = self._loop.time()
        while self.queue and len(taken) < limit:
            turn = self.queue[0]
            if turn.given_up:
                self.queue.popleft()
            elif isinstance(turn, kind):
                self.queue.popleft()
                taken.append(turn)
                self.waited += now - turn.since
            else:
                break
        self.waits += len(taken)
        return taken

    def close(self) -> None:
        """Refuse everybody who waits, and whoever comes later."""
        self._closed = True
        self._deadlines.reject_all(
            lambda: StoreClosedError("the store was closed while this waited")
        )

    def _too_late(self, turn: Turn) -> StoreBusyError:
        late = f"the writer's turn did not come within {self.timeout:g} s"
        block = None if self._holder is None else self._holder.block
        if block in turn.within:
            late += (
                ", because the block that this was begun in holds it: the block must not wait for "
                "this, or this has to use the block's own unit of work"
            )
        return StoreBusyError(late, self.holder())
