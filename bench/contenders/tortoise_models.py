"""tortoise-orm's models on the same tables; the rotation is SQL, which it cannot write itself."""

# ruff: noqa: D102 -- `bench.work.Contender` tells the story

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tortoise import Tortoise, fields
from tortoise.models import Model
from tortoise.transactions import in_transaction

from bench.contenders import by_hand
from bench.contenders.by_hand import ROTATE, Stamps, account, rotation
from bench.contenders.new_rows import MICROSECOND, Times, new_chunk, new_task
from bench.work import NewChunk, NewTask

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(fields.Field[datetime], datetime):
    """A time that is kept as microseconds since 1970."""

    SQL_TYPE = "BIGINT"

    def to_db_value(self, value: Any, instance: Any) -> Any:
        """Return microseconds."""
        return None if value is None else (value - EPOCH) // MICROSECOND

    def to_python_value(self, value: Any) -> Any:
        """Return an aware datetime."""
        return EPOCH + timedelta(microseconds=value) if isinstance(value, int) else value


class Task(Model):
    """A row of `tasks`."""

    id = fields.CharField(max_length=255, primary_key=True)
    phase_id = fields.CharField(max_length=255, null=True)
    initiative_id = fields.CharField(max_length=255, null=True)
    parent_task_id = fields.CharField(max_length=255, null=True)
    name = fields.TextField()
    description = fields.TextField(null=True)
    type = fields.TextField()
    category = fields.TextField()
    priority = fields.TextField()
    status = fields.TextField()
    order = fields.IntField()
    summary = fields.TextField(null=True)
    retry_count = fields.IntField()
    max_retries = fields.IntField()
    not_before = Moment(null=True)
    claimed_by_agent_id = fields.CharField(max_length=255, null=True)
    epoch = fields.IntField()
    open_dependencies = fields.IntField()
    created_at = Moment()
    updated_at = Moment()
    seq = fields.BigIntField(null=True)

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride] -- as documented
        """Where it is kept."""

        table = "tasks"


class Conversation(Model):
    """A row of `conversations`."""

    id = fields.CharField(max_length=255, primary_key=True)
    from_agent_id = fields.CharField(max_length=255)
    to_agent_id = fields.CharField(max_length=255)
    initiative_id = fields.CharField(max_length=255, null=True)
    phase_id = fields.CharField(max_length=255, null=True)
    task_id = fields.CharField(max_length=255, null=True)
    question = fields.TextField()
    answer = fields.TextField(null=True)
    status = fields.TextField()
    created_at = Moment()
    updated_at = Moment()
    seq = fields.BigIntField(null=True)

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride] -- as documented
        """Where it is kept."""

        table = "conversations"


class LogChunk(Model):
    """A row of `agent_log_chunks`."""

    id = fields.CharField(max_length=255, primary_key=True)
    agent_id = fields.CharField(max_length=255)
    agent_name = fields.TextField()
    session_number = fields.IntField()
    content = fields.TextField()
    created_at = Moment()

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride] -- as documented
        """Where it is kept."""

        table = "agent_log_chunks"


class TortoiseModels:
    """Models, as documented."""

    def __init__(self) -> None:
        self._times = Times()
        self._stamps = Stamps()

    async def open(self, url: str, *, synchronous: str) -> None:
        credentials = {
            "file_path": url,
            "synchronous": synchronous,
            "temp_store": "MEMORY",
            "journal_size_limit": 16777216,
        }
        connection = {"engine": "tortoise.backends.sqlite", "credentials": credentials}
        await Tortoise.init(
            config={
                "connections": {"default": connection},
                "apps": {"models": {"models": [__name__], "default_connection": "default"}},
            }
        )

    async def close(self) -> None:
        await Tortoise.close_connections()

    async def find_task(self, id: str) -> Task | None:
        return await Task.get_or_none(id=id)

    async def poll(self, agent_id: str) -> list[Conversation]:
        return await Conversation.filter(to_agent_id=agent_id, status="pending").order_by("seq")

    async def list_tasks(self, phase_id: str) -> list[Task]:
        return await Task.filter(phase_id=phase_id).order_by("order", "seq")

    async def rotate(self, provider: str) -> by_hand.Account | None:
        _, rows = await Tortoise.get_connection("default").execute_query(
            ROTATE, list(rotation(self._stamps, provider))
        )
        return next(map(account, map(tuple, rows)), None)

    async def create_task(self, new: NewTask) -> Task:
        return await Task.create(**new_task(self._times, new))

    async def append_chunk(self, new: NewChunk) -> LogChunk:
        return await LogChunk.create(**new_chunk(self._times, new))

    async def append_chunks(self, new: Sequence[NewChunk]) -> list[LogChunk]:
        chunks = [LogChunk(**new_chunk(self._times, chunk)) for chunk in new]
        await LogChunk.bulk_create(chunks)
        return chunks

    async def find_task_in_unit(self, id: str) -> Task | None:
        async with in_transaction():
            return await self.find_task(id)

    async def poll_in_unit(self, agent_id: str) -> list[Conversation]:
        async with in_transaction():
            return await self.poll(agent_id)

    async def rotate_in_unit(self, provider: str) -> by_hand.Account | None:
        async with in_transaction():
            return await self.rotate(provider)

    async def create_task_in_unit(self, new: NewTask) -> Task:
        async with in_transaction():
            return await self.create_task(new)

    async def append_chunk_in_unit(self, new: NewChunk) -> LogChunk:
        async with in_transaction():
            return await self.append_chunk(new)

    async def dispatch(
        self, provider: str, new: NewTask, agent_id: str, chunk: NewChunk
    ) -> tuple[by_hand.Account | None, Task, list[Conversation], LogChunk]:
        async with in_transaction():
            return (
                await self.rotate(provider),
                await self.create_task(new),
                await self.poll(agent_id),
                await self.append_chunk(chunk),
            )


def make() -> TortoiseModels:
    """Make one."""
    return TortoiseModels()
