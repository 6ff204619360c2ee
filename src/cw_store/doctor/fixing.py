"""Mends what can be mended without losing anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import text

from cw_store import Store
from cw_store.doctor.files import close_to_others
from cw_store.doctor.finding import Finding


async def fix(url: str | Path | None, findings: Iterable[Finding]) -> list[Finding]:
    """Mend those of the findings of `diagnose` that are `fixable`; return which these were.

    Files that every user of the machine could read are closed to them; a server without statistics
    makes some. Nothing else is touched: what may lose something is for the command that a finding
    names. Raises StoreError or OSError where that is refused.
    """
    fixable = [finding for finding in findings if finding.fixable]
    for finding in fixable:
        await _mend(url, finding)
    return fixable


async def _mend(url: str | Path | None, finding: Finding) -> None:
    store = Store(url, migrate=False)
    match finding.check:
        case "permissions":
            await asyncio.to_thread(close_to_others, Path(store.url))
        case "tables":
            async with store, store.unit_of_work(label="doctor") as uow:
                await uow.session.execute(text("ANALYZE"))
        case _:
            raise AssertionError(f"nothing mends {finding.check}")
