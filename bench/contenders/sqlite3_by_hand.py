"""The standard library's sqlite3: one connection, no thread, and the loop blocked meanwhile."""

# ruff: noqa: D102 -- `bench.work.Contender` tells the story

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.contenders.by_hand import (
    FIND_TASK,
    INSERT_CHUNK,
    INSERT_TASK,
    LIST_TASKS,
    POLL,
    PRAGMAS,
    ROTATE,
    Account,
    Conversation,
    LogChunk,
    Stamps,
    Task,
    account,
    conversations,
    new_chunk,
    new_task,
    rotation,
    tasks,
)
from bench.work import NewChunk, NewTask

T = TypeVar("T")


class Sqlite3ByHand:
    """Synchronous."""

    def __init__(self) -> None:
        self._stamps = Stamps()
        self._connection: sqlite3.Connection

    async def open(self, url: str, *, synchronous: str) -> None:
        self._connection = sqlite3.connect(url, isolation_level=None)
        for pragma in (*PRAGMAS, f"PRAGMA synchronous = {synchronous}"):
            self._connection.execute(pragma).fetchall()

    async def close(self) -> None:
        self._connection.close()

    async def find_task(self, id: str) -> Task | None:
        return next(iter(tasks(self._connection.execute(FIND_TASK, (id,)))), None)

    async def poll(self, agent_id: str) -> list[Conversation]:
        return conversations(self._connection.execute(POLL, (agent_id,)))

    async def list_tasks(self, phase_id: str) -> list[Task]:
        return tasks(self._connection.execute(LIST_TASKS, (phase_id,)))

    async def rotate(self, provider: str) -> Account | None:
        return self._rotate(provider)

    async def create_task(self, new: NewTask) -> Task:
        return self._create_task(new)

    async def append_chunk(self, new: NewChunk) -> LogChunk:
        return self._append_chunk(new)

    async def append_chunks(self, new: Sequence[NewChunk]) -> list[LogChunk]:
        pairs = [new_chunk(self._stamps, chunk) for chunk in new]
        self._in_unit(
            lambda: self._connection.executemany(INSERT_CHUNK, [values for values, _ in pairs])
        )
        return [record for _, record in pairs]

    async def find_task_in_unit(self, id: str) -> Task | None:
        rows = self._in_unit(lambda: self._connection.execute(FIND_TASK, (id,)).fetchall(), "BEGIN")
        return next(iter(tasks(rows)), None)

    async def poll_in_unit(self, agent_id: str) -> list[Conversation]:
        rows = self._in_unit(
            lambda: self._connection.execute(POLL, (agent_id,)).fetchall(), "BEGIN"
        )
        return conversations(rows)

    async def rotate_in_unit(self, provider: str) -> Account | None:
        return self._in_unit(lambda: self._rotate(provider))

    async def create_task_in_unit(self, new: NewTask) -> Task:
        return self._in_unit(lambda: self._create_task(new))

    async def append_chunk_in_unit(self, new: NewChunk) -> LogChunk:
        return self._in_unit(lambda: self._append_chunk(new))

    async def dispatch(
        self, provider: str, new: NewTask, agent_id: str, chunk: NewChunk
    ) -> tuple[Account | None, Task, list[Conversation], LogChunk]:
        return self._in_unit(
            lambda: (
                self._rotate(provider),
                self._create_task(new),
                conversations(self._connection.execute(POLL, (agent_id,))),
                self._append_chunk(chunk),
            )
        )

    def _in_unit(self, work: Callable[[], T], begin: str = "BEGIN IMMEDIATE") -> T:
        self._connection.execute(begin)
        try:
            result = work()
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise
        return result

    def _rotate(self, provider: str) -> Account | None:
        rows = self._connection.execute(ROTATE, rotation(self._stamps, provider)).fetchall()
        return next(map(account, rows), None)

    def _create_task(self, new: NewTask) -> Task:
        values, record = new_task(self._stamps, new)
        self._connection.execute(INSERT_TASK, values)
        return record

    def _append_chunk(self, new: NewChunk) -> LogChunk:
        values, record = new_chunk(self._stamps, new)
        self._connection.execute(INSERT_CHUNK, values)
        return record


def make() -> Sqlite3ByHand:
    """Make one."""
    return Sqlite3ByHand()
