"""A page that is served, and whoever looks at it."""

from collections.abc import AsyncGenerator

import pytest
from browsing import Browser

from cw_store import Store
from cw_store.live import LivePageServer, serving


@pytest.fixture
async def store(database: str) -> AsyncGenerator[Store]:
    """The store that the page shows."""
    async with Store(database) as store:
        yield store


@pytest.fixture
async def served(store: Store) -> AsyncGenerator[LivePageServer]:
    """The page, to look at."""
    async with serving(store, port=0) as served:
        yield served


@pytest.fixture
def stranger(served: LivePageServer) -> Browser:
    """One who has found the server, and has no token."""
    return Browser(served.port)


@pytest.fixture
async def browser(served: LivePageServer) -> Browser:
    """One who has opened the address."""
    browser = Browser(served.port)
    assert (await browser.follow(served.address)).status == 200
    return browser


@pytest.fixture
async def acting(store: Store) -> AsyncGenerator[Browser]:
    """One who has opened a page that lets act."""
    async with serving(store, may_act=True, port=0) as served:
        browser = Browser(served.port)
        await browser.follow(served.address)
        yield browser
