"""The store of a test that pytest-asyncio runs, in the event loop of whichever scope that has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Literal

import pytest_asyncio

if TYPE_CHECKING:
    from cw_store import Store


def _on_loop_of(scope: Literal["function", "class", "module", "package", "session"]) -> Any:
    async def opened_store(
        _cw_store_database: str, _cw_store_settings: dict[str, Any]
    ) -> AsyncIterator[Store]:
        from cw_store.testing.stores import open_store

        async with open_store(_cw_store_database, _cw_store_settings) as store:
            yield store

    # Each is a function of its own, since pytest-asyncio keeps the scope there.
    return pytest_asyncio.fixture(opened_store, name=f"_cw_store_on_{scope}_loop", loop_scope=scope)


on_function_loop = _on_loop_of("function")
on_class_loop = _on_loop_of("class")
on_module_loop = _on_loop_of("module")
on_package_loop = _on_loop_of("package")
on_session_loop = _on_loop_of("session")
