"""Whether what is stored is whole: the file, the schema, the references, the credentials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import func, or_, select, text

from cw_store import UnitOfWork, UnreadableError, metadata
from cw_store.doctor.finding import Finding, command_of, fine, note, problem, some
from cw_store.schema import metadata_on
from cw_store.triggers import triggers_on

Check = Callable[[UnitOfWork], Awaitable[list[Finding]]]

accounts = metadata.tables["accounts"]

MENDED_IN = {(3, 44): 6, (3, 50): 7, (3, 51): 3}
"""The releases of SQLite whose log cannot be torn by a reset at the wrong moment."""

RESTORE = "cw-store restore BACKUP --force"

_COLUMNS_OF_FILE = (
    "SELECT m.name, p.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS p "
    "WHERE m.type = 'table'"
)
_COLUMNS_OF_SERVER = (
    "SELECT table_name, column_name FROM information_schema.columns "
    "WHERE table_schema = current_schema()"
)
_NAMES_OF_FILE = "SELECT type, name FROM sqlite_schema WHERE type IN ('index', 'trigger')"
_NAMES_OF_SERVER = (
    "SELECT 'index', indexname FROM pg_indexes WHERE schemaname = current_schema() "
    "UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE NOT tgisinternal"
)
_IDLE = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND state = 'idle in transaction' AND state_change < now() - interval '5 minutes'"
)
_TABLES_OF_SERVER = (
    "SELECT relname, n_live_tup, n_dead_tup, "
    "coalesce(last_analyze, last_autoanalyze) IS NULL FROM pg_stat_user_tables "
    "WHERE schemaname = current_schema()"
)


async def rows_of(uow: UnitOfWork, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return [tuple(row) for row in await uow.session.execute(text(sql))]


def dialect_of(uow: UnitOfWork) -> str:
    """Return which database it is."""
    return uow.session.get_bind().dialect.name


async def check_sqlite(uow: UnitOfWork) -> list[Finding]:
    """Look for a release of SQLite that can lose commits when the log is begun anew."""
    [(version,)] = await rows_of(uow, "SELECT sqlite_version()")
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    mended = MENDED_IN.get((major, minor))
    if (major, minor) > (3, 51) or (mended is not None and patch >= mended):
        return fine("SQLite", version)
    return note(
        "SQLite",
        f"SQLite {version} has the WAL-reset bug, which is mended in 3.51.3, 3.50.7 and 3.44.6",
        "two connections that begin the log anew in the same moment can damage the file; stores "
        "take turns for that, other programs do not",
    )


async def check_file(uow: UnitOfWork) -> list[Finding]:
    """Find damage before what it hit is needed."""
    return await _check_pages(uow, "quick_check")


async def check_file_deeply(uow: UnitOfWork) -> list[Finding]:
    """Find damage, and compare each index with its table as well."""
    return await _check_pages(uow, "integrity_check")


async def _check_pages(uow: UnitOfWork, pragma: str) -> list[Finding]:
    found = [str(line) for (line,) in await rows_of(uow, f"PRAGMA {pragma}(5)")]
    if found == ["ok"]:
        return fine("file", f"passes SQLite's {pragma}")
    return problem("file", f"it is damaged: {some(found)}", "what is read may be wrong", RESTORE)


async def check_references(uow: UnitOfWork) -> list[Finding]:
    """Find rows whose parent is gone, which stand in the way of copies and migrations."""
    found = await rows_of(uow, "PRAGMA foreign_key_check")
    if not found:
        return fine("references", "all lead somewhere")
    tables = sorted({str(row[0]) for row in found})
    return problem(
        "references",
        f"{len(found)} rows of {some(tables)} refer to rows that are not there",
        "a program wrote with foreign keys switched off; copies and migrations refuse such a store",
        RESTORE,
    )


async def check_schema(uow: UnitOfWork) -> list[Finding]:
    """Look for what another program's migrations may have dropped, or left behind."""
    dialect = dialect_of(uow)
    is_file, tables = dialect == "sqlite", metadata_on(dialect).sorted_tables
    columns = {*await rows_of(uow, _COLUMNS_OF_FILE if is_file else _COLUMNS_OF_SERVER)}
    names = {*await rows_of(uow, _NAMES_OF_FILE if is_file else _NAMES_OF_SERVER)}
    missing = [
        f"the column {table.name}.{column.name}"
        for table in tables
        for column in table.columns
        if (table.name, column.name) not in columns
    ]
    wanted = [("index", str(index.name)) for table in tables for index in table.indexes]
    wanted += [("trigger", trigger.name) for trigger in triggers_on(dialect)]
    missing += [f"the {kind} {name}" for kind, name in sorted(wanted) if (kind, name) not in names]
    left = sorted(table for table in {table for table, _ in columns} if "_alembic_tmp_" in table)
    if left:
        return problem(
            "schema",
            f"{some(left)} is left over from a migration that broke off",
            "the next migration of that table fails; look what is in it, and drop it",
        )
    if missing:
        return problem(
            "schema",
            f"the database lacks {some(missing)}",
            "another program changed the schema; what is counted or told by triggers may be wrong",
            RESTORE if is_file else None,
        )
    return fine("schema", "as this cw_store knows it")


async def check_credentials(uow: UnitOfWork) -> list[Finding]:
    """Look for credentials that are in clear, or that no key opens."""
    stored = accounts.c.credentials, accounts.c.config_json
    encrypted = or_(*(func.substr(column, 1, 9) == "cw-store:" for column in stored))
    given = or_(*(column.is_not(None) for column in stored))
    in_clear = await uow.session.scalar(
        select(func.count()).select_from(accounts).where(given, ~func.coalesce(encrypted, False))
    )
    unreadable = await _unreadable(uow)
    if unreadable:
        return problem(
            "credentials",
            f"those of {some(unreadable)} cannot be read with the keys that were given",
            "the accounts are passed by when work is claimed",
            "CW_STORE_KEYS=NEW,OLD " + command_of("rekey"),
        )
    if in_clear:
        return note(
            "credentials",
            f"those of {in_clear} accounts are in clear",
            "whoever can read the database, a backup or an export with secrets has them",
            "CW_STORE_KEYS=KEY " + command_of("rekey"),
        )
    return fine("credentials", "none in clear")


async def _unreadable(uow: UnitOfWork) -> list[str]:
    rows = (await uow.session.execute(select(accounts.c.id, accounts.c.email))).all()
    found: list[str] = []
    for id, email in rows:
        try:
            await uow.accounts.find_by_id(id)
        except UnreadableError:
            found.append(email)
    return found


async def check_server(uow: UnitOfWork) -> list[Finding]:
    """Look for idle transactions, which keep the server from cleaning up behind everybody."""
    [(version,)] = await rows_of(uow, "SHOW server_version")
    idle = [str(pid) for (pid,) in await rows_of(uow, _IDLE)]
    if idle:
        return problem(
            "server",
            f"the connections of pid {some(idle)} idle in a transaction for over five minutes",
            "what is deleted stays in the tables for them, and changes are told after their end",
            f"psql -c 'SELECT pg_terminate_backend({idle[0]})'",
        )
    return fine("server", f"PostgreSQL {version}")


async def check_tables(uow: UnitOfWork) -> list[Finding]:
    """Look for tables without statistics, and for what is dead in them."""
    found = [row for row in await rows_of(uow, _TABLES_OF_SERVER) if row[0] in metadata.tables]
    bare = sorted(name for name, live, _, never in found if never and live > 1_000)
    if bare:
        return problem(
            "tables",
            f"the server has no statistics of {some(bare)}",
            "it reads whole tables where an index would do",
            "psql -c ANALYZE",
            fixable=True,
        )
    dead = sorted(name for name, live, dead, _ in found if dead > 10_000 and dead > live / 4)
    if dead:
        return problem(
            "tables",
            f"much of {some(dead)} is dead",
            "every query reads it too; autovacuum is off, or something keeps it from its work",
            "psql -c VACUUM",
        )
    return fine("tables", "statistics are there, little is dead")


FILE = {"SQLite": check_sqlite, "file": check_file, "references": check_references}
SERVER = {"server": check_server, "tables": check_tables}
BOTH = {"schema": check_schema, "credentials": check_credentials}
