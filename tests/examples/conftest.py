"""Let the tests import `examples`, which is no part of the package, and give them a store."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cw_store import Store

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    async with Store(database) as store:
        yield store
