"""What only tests of PostgreSQL share."""

from collections.abc import AsyncIterator

import pytest

from cw_store.testing.postgres_server import PostgresServer


@pytest.fixture
async def url(postgres_server: PostgresServer, migrated_template: str) -> AsyncIterator[str]:
    """A database of the test's own, at the newest schema."""
    url = postgres_server.create_database(migrated_template)
    yield url
    postgres_server.drop_database(url)
