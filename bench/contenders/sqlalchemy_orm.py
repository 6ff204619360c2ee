"""SQLAlchemy's asyncio ORM as documented: a session and a statement for each call."""

# ruff: noqa: D102 -- `bench.work.Contender` tells the story

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bench.contenders.new_rows import new_chunk, new_task
from bench.contenders.sqlalchemy_models import (
    Account,
    Conversation,
    LogChunk,
    Sessions,
    Task,
    rotation,
)
from bench.work import NewChunk, NewTask


class SqlalchemyOrm(Sessions):
    """Sessions and entities."""

    async def find_task(self, id: str) -> Task | None:
        async with self.session() as session:
            return await session.get(Task, id)

    async def poll(self, agent_id: str) -> Sequence[Conversation]:
        async with self.session() as session:
            return await self._poll(session, agent_id)

    async def list_tasks(self, phase_id: str) -> Sequence[Task]:
        async with self.session() as session:
            columns = Task.__table__.c
            return (
                await session.scalars(
                    select(Task)
                    .where(columns.phase_id == phase_id)
                    .order_by(columns.order, columns.seq)
                )
            ).all()

    async def rotate(self, provider: str) -> Account | None:
        async with self.turn, self.session.begin() as session:
            return await self._rotate(session, provider)

    async def create_task(self, new: NewTask) -> Task:
        async with self.turn, self.session.begin() as session:
            return await self._create_task(session, new)

    async def append_chunk(self, new: NewChunk) -> LogChunk:
        async with self.turn, self.session.begin() as session:
            return await self._append_chunk(session, new)

    async def append_chunks(self, new: Sequence[NewChunk]) -> list[LogChunk]:
        chunks = [LogChunk(**new_chunk(self.times, chunk)) for chunk in new]
        async with self.turn, self.session.begin() as session:
            session.add_all(chunks)
        return chunks

    # A transaction is what a session has anyway.

    find_task_in_unit = find_task
    poll_in_unit = poll
    rotate_in_unit = rotate
    create_task_in_unit = create_task
    append_chunk_in_unit = append_chunk

    async def dispatch(
        self, provider: str, new: NewTask, agent_id: str, chunk: NewChunk
    ) -> tuple[Account | None, Task, Sequence[Conversation], LogChunk]:
        async with self.turn, self.session.begin() as session:
            return (
                await self._rotate(session, provider),
                await self._create_task(session, new),
                await self._poll(session, agent_id),
                await self._append_chunk(session, chunk),
            )

    async def _poll(self, session: AsyncSession, agent_id: str) -> Sequence[Conversation]:
        columns = Conversation.__table__.c
        return (
            await session.scalars(
                select(Conversation)
                .where(columns.to_agent_id == agent_id, columns.status == "pending")
                .order_by(columns.seq)
            )
        ).all()

    async def _rotate(self, session: AsyncSession, provider: str) -> Account | None:
        return (await session.scalars(rotation(self.times, provider))).first()

    async def _create_task(self, session: AsyncSession, new: NewTask) -> Task:
        task = Task(**new_task(self.times, new))
        session.add(task)
        await session.flush()
        return task

    async def _append_chunk(self, session: AsyncSession, new: NewChunk) -> LogChunk:
        chunk = LogChunk(**new_chunk(self.times, new))
        session.add(chunk)
        await session.flush()
        return chunk


def make() -> SqlalchemyOrm:
    """Make one."""
    return SqlalchemyOrm()
