"""The default store of an event loop, for units of work that are entered without a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from weakref import WeakKeyDictionary

from cw_store.owner import running_asyncio_loop
from cw_store.store import Store, terminate


class _Default:
    """The default store of one event loop."""

    def __init__(self) -> None:
        self.store: Store | None = None
        self._lock = asyncio.Lock()
        self._closer: AsyncGenerator[None] | None = None

    async def open(self) -> Store:
        if self.store is None:
            async with self._lock:
                if self.store is None:
                    self.store = await self._open()
        return self.store

    async def _open(self) -> Store:
        store = await Store.open()

        async def closer() -> AsyncGenerator[None]:
            try:
                yield
            finally:
                await store.close()

        # asyncio.run closes the loop's async generators before the loop, which makes a
        # generator that has begun the place to close what belongs to the loop.
        self._closer = closer()
        await anext(self._closer)
        return store


_defaults: WeakKeyDictionary[asyncio.AbstractEventLoop, _Default] = WeakKeyDictionary()


async def default_store() -> Store:
    """Return the running event loop's default store, opened at first use."""
    loop = running_asyncio_loop()
    default = _defaults.get(loop)
    if default is None:
        for gone in [other for other in _defaults if other.is_closed()]:
            terminated = _defaults.pop(gone, None)
            if terminated is not None and terminated.store is not None:
                terminate(terminated.store)
        default = _defaults[loop] = _Default()
    return await default.open()
