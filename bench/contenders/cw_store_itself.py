"""cw_store through its public API, on either database."""

# ruff: noqa: D102 -- `bench.work.Contender` tells the story

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.work import NewChunk, NewTask
from cw_store import Account, Conversation, LogChunk, Store, Task


class CwStoreItself:
    """The subject."""

    def __init__(self) -> None:
        self._store: Store

    async def open(self, url: str, *, synchronous: str) -> None:
        settings: dict[str, Any] = {} if "://" in url else {"synchronous": synchronous}
        self._store = await Store.open(url, **settings)

    async def close(self) -> None:
        await self._store.close()

    async def find_task(self, id: str) -> Task | None:
        return await self._store.tasks.find_by_id(id)

    async def poll(self, agent_id: str) -> list[Conversation]:
        return await self._store.conversations.find_pending_for_agent(agent_id)

    async def list_tasks(self, phase_id: str) -> list[Task]:
        return await self._store.tasks.find_by_phase_id(phase_id)

    async def rotate(self, provider: str) -> Account | None:
        return await self._store.accounts.find_next_available(provider)

    async def create_task(self, new: NewTask) -> Task:
        return await self._store.tasks.create(
            phase_id=new.phase_id,
            initiative_id=new.initiative_id,
            name=new.name,
            description=new.description,
        )

    async def append_chunk(self, new: NewChunk) -> LogChunk:
        return await self._store.log_chunks.insert_chunk(*new)

    async def append_chunks(self, new: Sequence[NewChunk]) -> list[LogChunk]:
        return await self._store.log_chunks.insert_chunks(
            [
                {
                    "agent_id": chunk.agent_id,
                    "agent_name": chunk.agent_name,
                    "session_number": chunk.session_number,
                    "content": chunk.content,
                }
                for chunk in new
            ]
        )

    async def find_task_in_unit(self, id: str) -> Task | None:
        async with self._store.unit_of_work(read_only=True) as uow:
            return await uow.tasks.find_by_id(id)

    async def poll_in_unit(self, agent_id: str) -> list[Conversation]:
        async with self._store.unit_of_work(read_only=True) as uow:
            return await uow.conversations.find_pending_for_agent(agent_id)

    async def rotate_in_unit(self, provider: str) -> Account | None:
        async with self._store.unit_of_work() as uow:
            return await uow.accounts.find_next_available(provider)

    async def create_task_in_unit(self, new: NewTask) -> Task:
        async with self._store.unit_of_work() as uow:
            return await uow.tasks.create(
                phase_id=new.phase_id,
                initiative_id=new.initiative_id,
                name=new.name,
                description=new.description,
            )

    async def append_chunk_in_unit(self, new: NewChunk) -> LogChunk:
        async with self._store.unit_of_work() as uow:
            return await uow.log_chunks.insert_chunk(*new)

    async def dispatch(
        self, provider: str, new: NewTask, agent_id: str, chunk: NewChunk
    ) -> tuple[Account | None, Task, list[Conversation], LogChunk]:
        async with self._store.unit_of_work() as uow:
            return (
                await uow.accounts.find_next_available(provider),
                await uow.tasks.create(
                    phase_id=new.phase_id,
                    initiative_id=new.initiative_id,
                    name=new.name,
                    description=new.description,
                ),
                await uow.conversations.find_pending_for_agent(agent_id),
                await uow.log_chunks.insert_chunk(*chunk),
            )


def make() -> CwStoreItself:
    """Make one."""
    return CwStoreItself()
