"""The store that every test of the contract runs on, wherever `database` is.

A test takes `store` and must not know which database it is on. It can move `clock`, which the
store reads, and ask for settings: `@pytest.mark.store_settings(max_text_bytes=64)`.

`database` is given from outside: README.md says how.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cw_store import Store
from cw_store.store import backend_of
from cw_store.testing import SteppableClock
from cw_store.testing.stores import all_given_back


@pytest.fixture
def clock() -> SteppableClock:
    """The clock of `store`; it stands still until the test moves it."""
    return SteppableClock()


@pytest.fixture
async def store(
    database: str, clock: SteppableClock, request: pytest.FixtureRequest
) -> AsyncIterator[Store]:
    """An open, empty store, which has to have all of its connections back when the test ends."""
    marker = request.node.get_closest_marker("store_settings")
    settings: dict[str, Any] = marker.kwargs if marker else {}
    async with Store(database, clock=clock, **settings) as store:
        yield store
        await all_given_back(store)


@pytest.fixture
def lasting_database(database: str, request: pytest.FixtureRequest) -> str:
    """The same `database`, where it outlives a store and several stores can be on it."""
    if request.node.get_closest_marker("ends_with_its_store"):
        pytest.skip("the database ends with its store, and no other store can be on it")
    return database


@pytest.fixture
async def writers_take_turns(store: Store) -> None:
    """Where one writer has the whole database until its end, so that others wait for their turn."""
    if backend_of(store).capabilities.has_concurrent_writers:
        pytest.skip("writers run side by side, and nobody waits for a turn")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "store_settings(**settings): open `store` with these")
    config.addinivalue_line("markers", "ends_with_its_store: no other store can be on `database`")
