"""aiosqlite, written by hand by someone who knows it: the base of every ratio on SQLite.

One writer behind a lock, autocommit single statements, one hop for a statement and its rows.
One-call reads alternate between two readers and need no lock, since aiosqlite queues them;
units of work that only read have a reader of their own, or they would catch other calls'
statements in their snapshot.
"""

# ruff: noqa: D102 -- `bench.work.Contender` tells the story

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import aiosqlite

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


class AiosqliteByHand:
    """The base."""

    def __init__(self) -> None:
        self._stamps = Stamps()
        self._turn = asyncio.Lock()
        self._unit_turn = asyncio.Lock()
        self._writer: aiosqlite.Connection
        self._unit_reader: aiosqlite.Connection
        self._all: list[aiosqlite.Connection] = []

    async def open(self, url: str, *, synchronous: str) -> None:
        for _ in range(4):
            connection = await aiosqlite.connect(url, isolation_level=None)
            for pragma in (*PRAGMAS, f"PRAGMA synchronous = {synchronous}"):
                await connection.execute_fetchall(pragma)
            self._all.append(connection)
        self._writer, self._unit_reader, *readers = self._all
        self._readers = itertools.cycle(readers)

    async def close(self) -> None:
        for connection in self._all:
            await connection.close()

    async def find_task(self, id: str) -> Task | None:
        rows = await next(self._readers).execute_fetchall(FIND_TASK, (id,))
        return next(iter(tasks(rows)), None)

    async def poll(self, agent_id: str) -> list[Conversation]:
        return conversations(await next(self._readers).execute_fetchall(POLL, (agent_id,)))

    async def list_tasks(self, phase_id: str) -> list[Task]:
        return tasks(await next(self._readers).execute_fetchall(LIST_TASKS, (phase_id,)))

    async def rotate(self, provider: str) -> Account | None:
        async with self._turn:
            return await self._rotate(provider)

    async def create_task(self, new: NewTask) -> Task:
        async with self._turn:
            return await self._create_task(new)

    async def append_chunk(self, new: NewChunk) -> LogChunk:
        async with self._turn:
            return await self._append_chunk(new)

    async def append_chunks(self, new: Sequence[NewChunk]) -> list[LogChunk]:
        pairs = [new_chunk(self._stamps, chunk) for chunk in new]
        async with self._turn:
            await self._writer.execute_fetchall("BEGIN IMMEDIATE")
            try:
                await self._writer.executemany(INSERT_CHUNK, [values for values, _ in pairs])
                await self._writer.commit()
            except BaseException:
                await self._writer.rollback()
                raise
        return [record for _, record in pairs]

    async def find_task_in_unit(self, id: str) -> Task | None:
        rows = await self._read_in_unit(FIND_TASK, id)
        return next(iter(tasks(rows)), None)

    async def poll_in_unit(self, agent_id: str) -> list[Conversation]:
        return conversations(await self._read_in_unit(POLL, agent_id))

    async def _read_in_unit(self, sql: str, parameter: str) -> Any:
        reader = self._unit_reader
        async with self._unit_turn:
            await reader.execute_fetchall("BEGIN")
            try:
                rows = await reader.execute_fetchall(sql, (parameter,))
                await reader.commit()
            except BaseException:
                await reader.rollback()
                raise
        return rows

    async def rotate_in_unit(self, provider: str) -> Account | None:
        async with self._turn:
            await self._writer.execute_fetchall("BEGIN IMMEDIATE")
            try:
                claimed = await self._rotate(provider)
                await self._writer.commit()
            except BaseException:
                await self._writer.rollback()
                raise
        return claimed

    async def create_task_in_unit(self, new: NewTask) -> Task:
        async with self._turn:
            await self._writer.execute_fetchall("BEGIN IMMEDIATE")
            try:
                task = await self._create_task(new)
                await self._writer.commit()
            except BaseException:
                await self._writer.rollback()
                raise
        return task

    async def append_chunk_in_unit(self, new: NewChunk) -> LogChunk:
        async with self._turn:
            await self._writer.execute_fetchall("BEGIN IMMEDIATE")
            try:
                chunk = await self._append_chunk(new)
                await self._writer.commit()
            except BaseException:
                await self._writer.rollback()
                raise
        return chunk

    async def dispatch(
        self, provider: str, new: NewTask, agent_id: str, chunk: NewChunk
    ) -> tuple[Account | None, Task, list[Conversation], LogChunk]:
        async with self._turn:
            await self._writer.execute_fetchall("BEGIN IMMEDIATE")
            try:
                claimed = await self._rotate(provider)
                task = await self._create_task(new)
                pending = await self._writer.execute_fetchall(POLL, (agent_id,))
                appended = await self._append_chunk(chunk)
                await self._writer.commit()
            except BaseException:
                await self._writer.rollback()
                raise
        return claimed, task, conversations(pending), appended

    async def _rotate(self, provider: str) -> Account | None:
        rows = await self._writer.execute_fetchall(ROTATE, rotation(self._stamps, provider))
        return next(map(account, rows), None)

    async def _create_task(self, new: NewTask) -> Task:
        values, record = new_task(self._stamps, new)
        await self._writer.execute_fetchall(INSERT_TASK, values)
        return record

    async def _append_chunk(self, new: NewChunk) -> LogChunk:
        values, record = new_chunk(self._stamps, new)
        await self._writer.execute_fetchall(INSERT_CHUNK, values)
        return record


def make() -> AiosqliteByHand:
    """Make one."""
    return AiosqliteByHand()
