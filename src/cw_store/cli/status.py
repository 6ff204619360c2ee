"""`status`: the schema, how much is stored, and who is at the store right now."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import func, select, text

from cw_store import Store, UnitOfWork, metadata
from cw_store.cli.blocks import Block, Facts, Table
from cw_store.cli.context import Context
from cw_store.cli.lock_holders import Holder, holders_of

MEASURED = 1 << 30
"""Bytes up to which a file is read to tell the tables' shares of it: that takes a second or two."""

_SIZES_ON_SQLITE = text("SELECT name, sum(pgsize) FROM dbstat GROUP BY name")
_SIZES_ON_SERVER = text(
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class "
    "WHERE relkind = 'r' AND pg_table_is_visible(oid)"
)
_OTHERS_ON_SERVER = text(
    "SELECT pid, application_name, state, extract(epoch FROM now() - xact_start) "
    "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND xact_start IS NOT NULL ORDER BY xact_start"
)
_INDEXES_ON_SQLITE = text("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index'")
_VERSION = text("SELECT version_num FROM cw_store_version")


class Status(NamedTuple):
    """What there is to tell: facts of the store, its tables, and who is at it."""

    facts: Mapping[str, object]
    tables: list[tuple[str, int, int | None]]
    holders: list[Holder]


async def show_status(here: Context) -> None:
    """Show what is stored and who is at it."""
    async with here.reading() as store, store.unit_of_work(read_only=True) as uow:
        status = await _status(store, uow)
    rows = [(name, rows, size) for name, rows, size in status.tables]
    blocks: list[Block] = [
        Facts(status.facts),
        Table(("table", "rows", "bytes"), rows),
        Table(Holder._fields, status.holders, title="in use by", nothing="nobody else"),
    ]
    data = {
        **status.facts,
        "tables": [dict(zip(("name", "rows", "bytes"), row, strict=True)) for row in rows],
        "in_use_by": [holder._asdict() for holder in status.holders],
    }
    here.output.page(data, *blocks)


async def _status(store: Store, uow: UnitOfWork) -> Status:
    revision = await uow.session.scalar(_VERSION)
    is_file = uow.session.get_bind().dialect.name == "sqlite"
    facts: dict[str, object] = {"store": store.url, "schema": revision}
    if is_file:
        facts |= await _facts_of_file(uow, store.url)
        sizes = await _sizes_in_file(uow, store.url)
        holders = holders_of(store.url)
    else:
        facts["server"] = await uow.session.scalar(text("SHOW server_version"))
        sizes = {name: size for name, size in await uow.session.execute(_SIZES_ON_SERVER)}
        holders = await _others_on_server(uow)
    return Status(facts, await _tables(uow, sizes), holders)


async def _tables(uow: UnitOfWork, sizes: Mapping[str, int]) -> list[tuple[str, int, int | None]]:
    counts = [
        select(func.count()).select_from(table).scalar_subquery().label(table.name)
        for table in metadata.sorted_tables
    ]
    row = (await uow.session.execute(select(*counts))).mappings().one()
    return sorted((name, int(count), sizes.get(name)) for name, count in row.items())


async def _facts_of_file(uow: UnitOfWork, path: str) -> dict[str, object]:
    async def pragma(name: str) -> Any:
        return await uow.session.scalar(text(f"PRAGMA {name}"))

    free = await pragma("freelist_count") * await pragma("page_size")
    return {
        "journal": _journal(path, await pragma("journal_mode")),
        "file_bytes": _size(path),
        "free_bytes": free,
        "log_bytes": _size(f"{path}-wal"),
    }


async def _sizes_in_file(uow: UnitOfWork, path: str) -> dict[str, int]:
    """Return the bytes of each table with its indexes, of a file that is not too long to read."""
    if _size(path) > MEASURED:
        return {}
    tables = {name: table for name, table in await uow.session.execute(_INDEXES_ON_SQLITE)}
    sizes: dict[str, int] = {}
    for name, size in await uow.session.execute(_SIZES_ON_SQLITE):
        table = tables.get(name, name)
        sizes[table] = sizes.get(table, 0) + size
    return sizes


async def _others_on_server(uow: UnitOfWork) -> list[Holder]:
    rows = await uow.session.execute(_OTHERS_ON_SERVER)
    return [
        Holder(pid, "in a transaction", name or None, round(seconds))
        for pid, name, _, seconds in rows
    ]


def _journal(path: str, mode: str) -> str:
    """Return how commits are written, as the file says it (SQLite, "Database File Format").

    A file that somebody uses is not opened: closing it would drop the locks that SQLite has on it
    in this process ("How To Corrupt An SQLite Database File", on POSIX advisory locks). Of one that
    nobody uses SQLite does not tell the mode, as it is read without its log.
    """
    if mode != "wal" and not os.path.exists(f"{path}-shm"):
        with open(path, "rb") as file:
            mode = "wal" if file.read(20)[18:19] == b"\2" else mode
    return "write-ahead log" if mode == "wal" else "rollback journal"


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
