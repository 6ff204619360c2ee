"""What the tests of a backend share: a store on a SQLite file, and the file."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cw_store import Store
from cw_store.backends.thread.future import wait_quickly
from cw_store.testing.stores import all_given_back


@pytest.fixture
def path(migrated_file: Path, tmp_path: Path) -> Path:
    """A SQLite file of the test's own, empty and at the newest schema."""
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    return path


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    """An open store on it, which has to have all of its connections back when the test ends."""
    async with Store(path) as store:
        yield store
        await all_given_back(store)


@pytest.fixture(params=["quick", "plain"])
def way_to_wait(request: pytest.FixtureRequest) -> Iterator[str]:
    """Have tasks wait for threads as they do on this Python, and as they do on one not known."""
    was_quick = wait_quickly(request.param == "quick")
    yield request.param
    wait_quickly(was_quick)
