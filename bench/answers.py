"""What a contender answers, in a form that can be compared.

Nobody's time is taken before all have given the same answers and left the same rows behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine

from bench.seed import Seed, sqlalchemy_url
from bench.work import Contender, Work
from cw_store import Account, Conversation, LogChunk, Task, schema

TIMES = ("created_at", "updated_at", "last_used_at", "exhausted_until")

RECORDS: dict[str, type] = {
    "find_task": Task,
    "poll_0": Conversation,
    "poll_3": Conversation,
    "list_100": Task,
    "rotate": Account,
    "create_task": Task,
    "append_chunk": LogChunk,
    "append_100": LogChunk,
}
OF_FOUR = (Account, Task, Conversation, LogChunk)

WRITTEN = ("accounts", "tasks", "agent_log_chunks", "conversations")

ROTATIONS = 12


async def answers_of(contender: Contender, seed: Seed) -> dict[str, Any]:
    """Run every row once, the rotation until it has come round, and return what came back."""
    answers: dict[str, Any] = {}
    seeded = {row["id"] for rows in seed.rows.values() for row in rows}
    for key, call in Work(contender, seed).calls().items():
        answer = await call()
        if key == "unit_of_four":
            answers[key] = [
                _plain(part, record, seeded) for part, record in zip(answer, OF_FOUR, strict=True)
            ]
        else:
            record = RECORDS[key.removeprefix("unit_")]
            answers[key] = _plain(answer, record, seeded)
            if "rotate" in key:
                answers[f"{key} on"] = [
                    _plain(await call(), record, seeded) for _ in range(ROTATIONS)
                ]
    return answers


def _plain(answer: Any, record: type, seeded: set[str]) -> Any:
    if isinstance(answer, Sequence):
        return [_plain(item, record, seeded) for item in answer]
    names = [field.name for field in fields(record)]
    return _comparable({name: getattr(answer, name) for name in names}, seeded)


def _comparable(row: dict[str, Any], seeded: set[str]) -> dict[str, Any]:
    """Keep seeded ids and times; of what this run made, keep only that it is as it should be."""
    plain = {
        name: _comparable_time(value) if name in TIMES else value for name, value in row.items()
    }
    if row["id"] not in seeded:
        plain["id"] = f"a new id of {len(row['id'])}"
    return plain


def _comparable_time(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.utcoffset() != timedelta(0):
        return f"not a time in UTC: {value!r}"
    is_new = abs(datetime.now(UTC) - value) < timedelta(minutes=5)
    return "now" if is_new else value.isoformat()


async def rows_left(url: str, seed: Seed) -> dict[str, list[str]]:
    """Return what the contender left in the tables that it wrote to, in whatever order."""
    seeded = {row["id"] for rows in seed.rows.values() for row in rows}
    engine = create_async_engine(sqlalchemy_url(url))
    left: dict[str, list[str]] = {}
    try:
        async with engine.connect() as connection:
            for name in WRITTEN:
                columns = schema.record_columns(schema.metadata.tables[name])
                found = await connection.execute(select(*columns))
                left[name] = sorted(
                    repr(_comparable(dict(row), seeded)) for row in found.mappings()
                )
    finally:
        await engine.dispose()
    return left


def first_difference(theirs: Any, ours: Any, place: str = "") -> str | None:
    """Say where two answers differ, or None."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        pairs = [(key, theirs.get(key), ours.get(key)) for key in {**theirs, **ours}]
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            return f"{place}: {len(theirs)} instead of {len(ours)}"
        pairs = [(index, *pair) for index, pair in enumerate(zip(theirs, ours, strict=True))]
    else:
        return None if theirs == ours else f"{place}: {theirs!r} instead of {ours!r}"
    for key, one, other in pairs:
        difference = first_difference(one, other, f"{place}[{key!r}]")
        if difference is not None:
            return difference
    return None
