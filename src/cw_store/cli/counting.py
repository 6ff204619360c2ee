"""`stats`: how many of what there are, as a person, a program or Prometheus reads it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict

from cw_store.cli.blocks import Cell, Facts, Table
from cw_store.cli.context import Context
from cw_store.prometheus import text_of_gauges
from cw_store.views import gauges


async def show_counts(here: Context, *, prometheus: bool) -> None:
    """Show the gauges of a store."""
    async with here.reading() as store:
        found = await gauges(store)
        log_bytes = _log_bytes(store.url)
    if prometheus:
        here.output.text(text_of_gauges(found, log_bytes=log_bytes))
        return
    oldest = found.questions_oldest_age
    facts: dict[str, Cell] = {
        "accounts": found.accounts,
        "accounts_available": found.accounts_available,
        "questions": found.questions,
        "questions_oldest_age_seconds": None if oldest is None else oldest.total_seconds(),
        "claims": found.claims,
        "claims_overdue": found.claims_overdue,
        "log_bytes": log_bytes,
    }
    data = asdict(found) | facts
    del data["questions_oldest_age"]
    here.output.page(
        data,
        Facts(facts),
        Table(("task status", "tasks"), list(found.tasks.items()), nothing="no tasks"),
        Table(("agent status", "agents"), list(found.agents.items()), nothing="no agents"),
        Table(("table", "rows"), sorted(found.rows.items())),
    )


def _log_bytes(path: str) -> int | None:
    """Return how long the write-ahead log of a file is; None on a server, which has none of ours.

    It is not opened, since closing it would drop the locks that SQLite has on it.
    """
    if path.startswith("postgresql:"):
        return None
    with suppress(OSError):
        return os.stat(f"{path}-wal").st_size
    return 0
