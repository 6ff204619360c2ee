"""Connecting to a PostgreSQL server, and what every connection is told once it is there.

Settings are made after connecting and not while connecting: a pooler refuses what it does not
know in the first message. A role may have defaults of its own, so what a store relies on is
said outright.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any
from urllib.parse import urlencode

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none

from cw_store.backends.postgres.errors import DRIVER_ERRORS
from cw_store.backends.postgres.functions import MOST_FUNCTIONS
from cw_store.errors import SchemaError, StoreError
from cw_store.postgres_url import Server
from cw_store.types import read_json_or_keep

_driver: Any = asyncpg

PROBE_SECONDS = 1.0
"""How long a second connection is waited for that tells how a pooler shares the server's."""

_RELIED_ON = (
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("standard_conforming_strings", "on"),
)
_TAKES_ITS_TIME = (("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0"))
"""What a migration and a copy need, whatever others may be allowed."""

_CONFIGURE = """
SELECT set_config(name, value, false), current_setting('server_encoding'),
    extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval)::float8,
    EXISTS (
        SELECT FROM pg_catalog.pg_depend LEFT JOIN pg_catalog.pg_proc ON pg_proc.oid = objid
            AND classid = 'pg_catalog.pg_proc'::regclass AND proname = ANY ($3::text[])
        WHERE refclassid = 'pg_catalog.pg_namespace'::regclass
            AND refobjid = pg_my_temp_schema() AND proname IS NULL
    )
FROM unnest($1::text[], $2::text[]) AS settings (name, value)
"""
_FORGET = """
RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *;
SELECT pg_advisory_unlock_all(); DISCARD SEQUENCES
"""
# With DISCARD TEMP, all that DISCARD ALL does but for the prepared statements, of which the driver
# keeps account. A session never gets back the memory of a function that is dropped, so the store's
# own stay as long as nobody has left something beside them.

_WHO = "SELECT pg_backend_pid(), pg_catalog.pg_postmaster_start_time()"

_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


class PostgresConnection(_driver.Connection):
    """asyncpg's connection, and what the store remembers of it."""

    __slots__ = ("functions", "functions_made", "idle_limit", "is_changed", "released_at")

    functions: set[str]
    """The functions of its session that were made for chains of queries."""
    functions_made: int
    """How many were made, those included that are gone, whose memory the session keeps."""
    idle_limit: float
    """Seconds after which the server ends a transaction that idles; 0 for never."""
    is_changed: bool
    """Whether an application's statements may have left something on it that lasts."""
    released_at: float
    """When it came back into the pool, on the event loop's clock."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)  # pyright: ignore[reportUnknownMemberType] -- asyncpg has no types
        self.functions = set()
        self.functions_made = 0

    @property
    def is_worn_out(self) -> bool:
        """Whether its session should end, since too much was made in it that it cannot free."""
        return self.functions_made > MOST_FUNCTIONS

    def cut_without_loop(self) -> None:
        """Close the socket although the event loop is closed, on which asyncio would do it.

        So the server rolls back now, and not when the garbage collector comes by.
        """
        transport = self._transport
        try:
            self.terminate()
        except RuntimeError:
            # What the transport would have had the loop call; uvloop's sockets are closed with it.
            lose = getattr(transport, "_call_connection_lost", None)
            if lose is not None:
                lose(None)


async def connect(
    server: Server, *, timeout: float, lock_timeout: float, command_timeout: float
) -> Any:
    """Open a connection for the pool; raises the driver's errors, and StoreError.

    It takes JSON text and gives JSON values, for jsonb and json alike. `timeout` is for all of
    it, `lock_timeout` how long a statement waits for a lock, and `command_timeout` for how long
    a statement is waited for.
    """
    async with asyncio.timeout(timeout):
        connection = await _first_that_answers(server, timeout, command_timeout=command_timeout)
        try:
            # This drops what is prepared, so it comes first.
            for name in ("jsonb", "json"):
                await connection.set_type_codec(
                    name, encoder=str, decoder=read_json_or_keep, schema="pg_catalog", format="text"
                )
            await _configure(connection, server, lock_timeout)
        except BaseException:
            connection.terminate()
            raise
    return connection


async def forget_changes(connection: Any, server: Server, lock_timeout: float) -> None:
    """Make a connection what it was when it came from `connect`, outside of a transaction.

    Settings, roles, temporary tables, advisory locks, cursors and LISTEN last for a session, which
    for an application is over with its unit of work. Raises the driver's errors.
    """
    await connection.execute(_FORGET)
    if await _configure(connection, server, lock_timeout):
        await connection.execute("DISCARD TEMP")
        connection.functions.clear()


async def connect_beside_pool(server: Server, timeout: float) -> Any:
    """Open a connection for a migration or a copy, once it is clear that a store can work there.

    Here a statement, and the time between two, may take as long as it needs.
    """
    limit = timeout or 1.0
    async with asyncio.timeout(limit):
        connection = await _first_that_answers(server, limit, statement_cache_size=0)
        try:
            await _refuse_shared_sessions(connection, server, limit)
            await _configure(connection, server, timeout, *_TAKES_ITS_TIME)
        except BaseException:
            connection.terminate()
            raise
    return connection


class ConnectionBesidePool:
    """A connection for a migration, which can be given up at any moment without waiting."""

    def __init__(self, server: Server, timeout: float) -> None:
        self._server = server
        self._timeout = timeout
        self._making: asyncio.Task[Any] | None = None

    async def make(self) -> Any:
        """Connect."""
        # In a task of its own, since the time that it may take ends it by a cancellation.
        self._making = asyncio.create_task(
            connect_beside_pool(self._server, self._timeout),
            name="cw_store connects beside the pool",
        )
        return await self._making

    def give_up(self) -> None:
        """Cut the connection, so that whatever waits for it fails now."""
        making = self._making
        if making is None:
            return
        if not making.done():
            making.cancel()
        elif not making.cancelled() and making.exception() is None:
            making.result().terminate()


async def _configure(
    connection: Any, server: Server, lock_timeout: float, *more: tuple[str, str]
) -> bool:
    """Set what the store relies on; whether somebody has left temporary objects there."""
    # A lock_timeout of 0 would be without an end.
    own = (("lock_timeout", str(max(1, int(lock_timeout * 1000)))), *_RELIED_ON)
    connection.is_changed = False
    names, values = zip(*own, *server.settings, *more, strict=True)
    rows = await connection.fetch(_CONFIGURE, names, values, connection.functions)
    _, encoding, connection.idle_limit, is_anything_left = rows[0]
    if encoding != "UTF8":
        raise SchemaError(
            f"the database's encoding is {encoding}, in which not every text can be stored; "
            "create one with ENCODING 'UTF8'"
        )
    return bool(is_anything_left)


async def _refuse_shared_sessions(connection: Any, server: Server, timeout: float) -> None:
    """Refuse a pooler that gives one connection of the server to several clients in turn.

    Locks and settings that last for a session would reach others, and prepared statements would
    be missing. A pooler is told by the process that it names, which is not the server's. When two
    clients that are there at the same time meet the same process, it shares them.
    """
    here = await connection.fetchrow(_WHO)
    if here[0] == connection.get_server_pid():
        return
    there = await _process_of_another_client(server, timeout)
    if here == there:
        raise StoreError(
            "a pooler in front of the server gives its connections to several clients in turn "
            "(PgBouncer's pool_mode is transaction or statement). A store needs sessions of its "
            "own, for prepared statements and settings: use pool_mode=session, or connect to the "
            "server itself"
        )


async def _process_of_another_client(server: Server, timeout: float) -> Any:
    """Return the process that a second client meets; None when none is to be had soon.

    A pooler with a single connection lets others wait.
    """
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            other = await _first_that_answers(server, timeout, statement_cache_size=0)
            try:
                return await other.fetchrow(_WHO)
            finally:
                other.terminate()
    except DRIVER_ERRORS:
        return None


async def _first_that_answers(server: Server, timeout: float, **settings: Any) -> Any:
    """Try the hosts in turn, each for its share of the time."""
    if server.statement_cache_size is not None:
        settings.setdefault("statement_cache_size", server.statement_cache_size)
    attempts = _attempts(server)
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    for left, place in zip(range(len(attempts), 0, -1), attempts, strict=True):
        share = (end - loop.time()) / left
        limit = min(share, server.connect_timeout or share)
        try:
            return await _driver.connect(**_arguments(server), **place, **settings, timeout=limit)
        except (
            OSError,
            _driver.CannotConnectNowError,
            _driver.TargetServerAttributeNotMatched,
        ):
            if left == 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _attempts(server: Server) -> list[dict[str, Any]]:
    wanted = server.target_session_attrs
    return [
        {"host": host or None, "port": port, "target_session_attrs": attribute}
        for attribute in (("standby", "any") if wanted == "prefer-standby" else (wanted,))
        for host, port in server.hosts or (("", None),)
    ]


def _arguments(server: Server) -> dict[str, Any]:
    """Return the server as the driver takes it, which has words for TLS in its own URL only."""
    tls = dict(server.tls)
    for name in _FILES:
        _refuse_unreadable(name, tls.get(name))
    context = _system_context(tls) if tls.get("sslrootcert") == "system" else None
    startup = {"application_name": server.application_name}
    if server.startup_options is not None:
        startup["options"] = server.startup_options
    return {
        "dsn": f"postgresql://?{urlencode(tls)}" if tls and context is None else None,
        "user": server.user,
        "password": server.password,
        "passfile": server.passfile,
        "database": server.database,
        "ssl": context,
        "server_settings": startup,
        "connection_class": PostgresConnection,
    }


def _refuse_unreadable(name: str, path: str | None) -> None:
    if path is None or path == "system":
        return
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise StoreError(f"the file of {name} in the URL cannot be read: {error}") from error


def _system_context(tls: dict[str, str]) -> ssl.SSLContext:
    """Trust whom the system trusts, which the driver has no word for."""
    context = ssl.create_default_context()
    if "sslcert" in tls:
        context.load_cert_chain(
            tls["sslcert"], tls.get("sslkey"), lambda: tls.get("sslpassword", "")
        )
    return context
