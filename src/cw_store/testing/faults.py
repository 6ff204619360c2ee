"""What goes wrong at the database: others keep it, the network loses a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cw_store import Store, StoreBusyError, StoreError, UnitOfWork, metadata


@asynccontextmanager
async def others_hold_the_turn(store: Store) -> AsyncGenerator[None]:
    """Keep everybody else from writing while the block lasts, as one who is busy does.

    Whoever writes to the store's database waits for `busy_timeout` and gets StoreBusyError, so a
    test gives the store a short one. Reading goes on. Held is the writer's turn on SQLite, and a
    lock on every table on PostgreSQL; nothing is changed. A task that writes already, in a unit of
    work of the same store, must not enter the block.
    """
    held, released = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with store.unit_of_work(label="others_hold_the_turn") as uow:
            await _keep_from_writing(uow, is_server=_is_server(store))
            held.set()
            await released.wait()
            await uow.rollback()

    holder = asyncio.create_task(hold(), name="others_hold_the_turn")
    try:
        await _first_of(held, holder)
        yield
    finally:
        released.set()
        await holder


async def lost_connection(store: Store) -> None:
    """Have the server end every connection to the store's database, as a failing network does.

    What is under way on them fails; what comes afterwards has a new one. PostgreSQL only: for a
    file there is nothing to be lost, and it is a ValueError.
    """
    if not _is_server(store):
        raise ValueError(f"{store.url} is no server, so there is no connection to be lost")
    others = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "  # and waits for its end
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    async with store.unit_of_work() as uow:
        await uow.session.execute(others)
    with suppress(StoreError, DBAPIError):  # it does not come to answer
        async with store.unit_of_work() as uow:
            await uow.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def _is_server(store: Store) -> bool:
    return store.url.startswith("postgresql")


async def _keep_from_writing(uow: UnitOfWork, *, is_server: bool) -> None:
    if is_server:
        names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
        try:
            await uow.session.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
        except DBAPIError as error:
            raise StoreBusyError("somebody writes, so that others cannot hold the turn") from error
    else:
        await uow.session.execute(text("SELECT 1"))  # a unit has the turn from its first call on


async def _first_of(held: asyncio.Event, holder: asyncio.Task[None]) -> None:
    """Return when it is held; raises what keeps it from being so."""
    waiter = asyncio.create_task(held.wait())
    try:
        await asyncio.wait([waiter, holder], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
    if holder.done():
        holder.result()
