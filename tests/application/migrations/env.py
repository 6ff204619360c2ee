"""How the application runs its own migrations, on the database that the test names."""

import asyncio

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from application.tables import metadata

given = context.config.attributes


def run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=metadata, include_name=given["include_name"]
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    engine = create_async_engine(given["url"])
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(main())
