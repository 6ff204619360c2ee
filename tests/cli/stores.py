"""Stores that tests of the command line look at."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from cw_store import Store

T = TypeVar("T")

BOTH = pytest.mark.parametrize("database", ["file", "postgres"], indirect=True)
FILE = pytest.mark.parametrize("database", ["file"], indirect=True)


def prepared(url: str, work: Callable[[Store], Awaitable[T]], **settings: Any) -> T:
    """Do something in the store before or after commands; return what comes of it."""

    async def run() -> T:
        async with Store(url, **settings) as store:
            return await work(store)

    return asyncio.run(run())
