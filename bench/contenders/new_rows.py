"""New rows as Python values, for those who leave the conversion to a library or a driver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import nanoid

from bench.work import NewChunk, NewTask

MICROSECOND = timedelta(microseconds=1)


class Times:
    """Times that strictly increase, as the store's do."""

    def __init__(self) -> None:
        self._last = datetime.min.replace(tzinfo=UTC)

    def next(self) -> datetime:
        """Return the time, or a microsecond after the last if that is later."""
        now = datetime.now(UTC)
        if now <= self._last:
            now = self._last + MICROSECOND
        self._last = now
        return now


def new_task(times: Times, new: NewTask) -> dict[str, Any]:
    """Return a whole row of `tasks`."""
    now = times.next()
    return {
        "id": nanoid.generate(),
        "phase_id": new.phase_id,
        "initiative_id": new.initiative_id,
        "parent_task_id": None,
        "name": new.name,
        "description": new.description,
        "type": "auto",
        "category": "execute",
        "priority": "medium",
        "status": "pending",
        "order": 0,
        "summary": None,
        "retry_count": 0,
        "max_retries": 3,
        "not_before": None,
        "claimed_by_agent_id": None,
        "epoch": 0,
        "open_dependencies": 0,
        "created_at": now,
        "updated_at": now,
    }


def new_chunk(times: Times, new: NewChunk) -> dict[str, Any]:
    """Return a whole row of `agent_log_chunks`."""
    return {"id": nanoid.generate(), **new._asdict(), "created_at": times.next()}
