"""advanced-alchemy's repositories, one for each session as its documentation shows them."""

# ruff: noqa: D102 -- `bench.work.Contender` tells the story

from __future__ import annotations

from collections.abc import Sequence

from advanced_alchemy.repository import SQLAlchemyAsyncRepository
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

# Its protocol for models does not take the type of `__table__` that SQLAlchemy 2.1 gives it.


class Tasks(SQLAlchemyAsyncRepository[Task]):  # pyright: ignore[reportInvalidTypeArguments]
    """The tasks."""

    model_type = Task


class Conversations(SQLAlchemyAsyncRepository[Conversation]):  # pyright: ignore[reportInvalidTypeArguments]
    """The conversations."""

    model_type = Conversation


class LogChunks(SQLAlchemyAsyncRepository[LogChunk]):  # pyright: ignore[reportInvalidTypeArguments]
    """The log."""

    model_type = LogChunk


class AdvancedAlchemyRepositories(Sessions):
    """Repositories over sessions."""

    async def find_task(self, id: str) -> Task | None:
        async with self.session() as session:
            return await Tasks(session=session).get_one_or_none(id=id)

    async def poll(self, agent_id: str) -> Sequence[Conversation]:
        async with self.session() as session:
            return await self._poll(session, agent_id)

    async def list_tasks(self, phase_id: str) -> Sequence[Task]:
        async with self.session() as session:
            return await Tasks(session=session).get_many(
                phase_id=phase_id, order_by=[("order", False), ("seq", False)]
            )

    async def rotate(self, provider: str) -> Account | None:
        async with self.turn, self.session.begin() as session:
            return await self._rotate(session, provider)

    async def create_task(self, new: NewTask) -> Task:
        async with self.turn, self.session.begin() as session:
            return await self._create_task(session, new)

    async def append_chunk(self, new: NewChunk) -> LogChunk:
        async with self.turn, self.session.begin() as session:
            return await self._append_chunk(session, new)

    async def append_chunks(self, new: Sequence[NewChunk]) -> Sequence[LogChunk]:
        chunks = [LogChunk(**new_chunk(self.times, chunk)) for chunk in new]
        async with self.turn, self.session.begin() as session:
            return await LogChunks(session=session).add_many(chunks)

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
        return await Conversations(session=session).get_many(
            to_agent_id=agent_id,
            status="pending",
            order_by=[("seq", False)],
        )

    async def _rotate(self, session: AsyncSession, provider: str) -> Account | None:
        return (await session.scalars(rotation(self.times, provider))).first()

    async def _create_task(self, session: AsyncSession, new: NewTask) -> Task:
        return await Tasks(session=session).add(Task(**new_task(self.times, new)))

    async def _append_chunk(self, session: AsyncSession, new: NewChunk) -> LogChunk:
        return await LogChunks(session=session).add(LogChunk(**new_chunk(self.times, new)))


def make() -> AdvancedAlchemyRepositories:
    """Make one."""
    return AdvancedAlchemyRepositories()
