"""A browser that looks at pages which are served in this process: one browser for all tests.

Where there is none these tests are skipped, and the end of the run says so.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright
from sites import Site, open_site

from browsers import ARGUMENTS, CHROMIUM, NO_BROWSER
from cw_store.cli.demo import fill


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, without a window."""
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def demo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo store, told up to now, closed; to be copied."""
    file = tmp_path_factory.mktemp("demo") / "demo.db"
    asyncio.run(fill(file, now=datetime.now(UTC)))
    return file


@pytest_asyncio.fixture(loop_scope="session")
async def site(browser: Browser, demo_file: Path, tmp_path: Path) -> AsyncIterator[Site]:
    """The demo store, served to whoever may act."""
    async with open_site(str(shutil.copy(demo_file, tmp_path)), browser) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def site_to_look_at(browser: Browser, demo_file: Path, tmp_path: Path) -> AsyncIterator[Site]:
    """The same for whoever may only look."""
    async with open_site(str(shutil.copy(demo_file, tmp_path)), browser, may_act=False) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def empty_site(browser: Browser, tmp_path: Path) -> AsyncIterator[Site]:
    """An empty store, served to whoever may act."""
    async with open_site(str(tmp_path / "cw.db"), browser) as site:
        yield site
