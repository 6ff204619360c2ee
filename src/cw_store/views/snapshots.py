"""How a view is read: all of it in one snapshot, whoever has opened it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeAlias

from cw_store import Store, UnitOfWork

Source: TypeAlias = Store | UnitOfWork
"""Where a view is read: in a snapshot of its own, or in the unit of work that is given.

Views that are read in one unit with `read_only=True` are all of the same snapshot, and have the
same `now`. In a unit that writes they are of what that unit sees.
"""


@asynccontextmanager
async def snapshot(source: Source) -> AsyncGenerator[UnitOfWork]:
    """Give the unit of work to read in: the one that is given, or one for this view."""
    if isinstance(source, UnitOfWork):
        yield source
        return
    async with source.unit_of_work(read_only=True, label="view") as uow:
        yield uow
