"""A store that is open while a test runs, and whole at its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from cw_store import Store

NOTICED_IN = 2.0
"""Seconds in which a connection that was given up comes back, when its thread has noticed."""


@asynccontextmanager
async def open_store(url: str, settings: Mapping[str, Any]) -> AsyncGenerator[Store]:
    """Give an open store, whose connections all have to be back at the end."""
    async with Store(url, **settings) as store:
        yield store
        await all_given_back(store)


async def all_given_back(store: Store) -> None:
    """Wait until no connection is in use; an AssertionError when one is not given back."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + NOTICED_IN
    while store.connections_in_use:  # nothing tells of it
        assert loop.time() < deadline, (
            f"connections of the store that are still in use: {store.connections_in_use}; "
            "a unit of work was not left, or a task still runs that uses the store"
        )
        await asyncio.sleep(0)
