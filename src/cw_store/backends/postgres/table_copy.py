"""Whole tables in and out of a PostgreSQL database, for `copy_store`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, Text, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import asyncpg

from cw_store.backends.cancellation import shielded
from cw_store.backends.postgres.connection import connect_beside_pool
from cw_store.backends.postgres.errors import DRIVER_ERRORS, refusals, refuses_feature
from cw_store.backends.postgres.transaction import BEGIN_READING, BEGIN_WRITING
from cw_store.backends.table_copy import in_order, strangers_among
from cw_store.errors import ReadOnlyError, StoreError
from cw_store.inspection import VERSION_TABLE
from cw_store.postgres_url import Server
from cw_store.schema import metadata, record_columns
from cw_store.statements.reading import Row
from cw_store.types import Json, PlainText, for_jsonb, read_json

_dialect = asyncpg.dialect()

_EPOCH = 946_684_800_000_000
"""Microseconds from 1970 to 2000, where PostgreSQL counts from."""

_COLUMNS = f"""
SELECT relname, attname FROM pg_class LEFT JOIN pg_attribute
    ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
WHERE relkind IN ('r', 'p') AND NOT relispartition
    AND relnamespace = (
        SELECT relnamespace FROM pg_class WHERE oid = to_regclass('{VERSION_TABLE}')
    )
ORDER BY relname, attnum
"""  # noqa: S608 -- VERSION_TABLE is a constant of this package


class PostgresBulk:
    """One transaction on a PostgreSQL server that reads or writes whole tables."""

    def __init__(
        self, server: Server, *, writes: bool, batch_rows: int, batch_size: int, busy_timeout: float
    ) -> None:
        self._server = server
        self._writes = writes
        self._batch_rows = batch_rows
        self._batch_size = batch_size
        self._timeout = busy_timeout
        self._connection: Any = None

    async def begin(self) -> None:
        """Connect and begin."""
        with refusals():
            connection = self._connection = await connect_beside_pool(self._server, self._timeout)
            await _use_plain_values(connection)
            await self._begin()
            await connection.execute("SET LOCAL synchronize_seqscans = off")
            if self._writes:
                names = ", ".join(_quoted(table) for table in metadata.sorted_tables)
                await connection.execute(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
                # A task may come before the agent that has it.
                await connection.execute("SET CONSTRAINTS ALL DEFERRED")

    async def _begin(self) -> None:
        try:
            await self._connection.execute(BEGIN_WRITING if self._writes else BEGIN_READING)
        except DRIVER_ERRORS as error:
            if self._writes and refuses_feature(error):
                raise ReadOnlyError("the server is a standby, which only reads") from error
            raise

    async def count(self, table: Table) -> int:
        """Return how many rows the table has."""
        with refusals():
            return await self._connection.fetchval(_sql(select(func.count()).select_from(table)))

    async def strangers(self) -> list[str]:
        """Return what is not the store's: columns of its tables as table.column, and tables."""
        with refusals():
            columns: dict[str, list[str]] = {}
            for name, column in await self._connection.fetch(_COLUMNS):
                columns.setdefault(name, []).append(column)
        return strangers_among(columns)

    async def read(self, table: Table, *, by_key: bool) -> AsyncGenerator[list[Row]]:
        """Give every row, in batches.

        A second cursor goes ahead and tells how large the rows are, because the driver holds
        all that it fetches at once, and a thousand rows can be a megabyte or sixteen gigabytes.
        """
        rows = in_order(table, select(*record_columns(table)), by_key=by_key)
        sizes = in_order(table, select(_size(table)), by_key=by_key)

        def restore_json(text: str) -> str:
            try:
                return _as_the_store_writes(text)
            except ValueError as error:
                raise StoreError(
                    f"{table.name} cannot be copied: it holds JSON that the store cannot read"
                ) from error

        restore = _converter(table, restore_json)
        with refusals():
            row_cursor = await self._connection.cursor(_sql(rows))
            size_cursor = await self._connection.cursor(_sql(sizes))
            while ahead := await size_cursor.fetch(self._batch_rows):
                for portion in _portions([size for (size,) in ahead], self._batch_size):
                    fetched = await row_cursor.fetch(portion)
                    yield [restore(row) for row in fetched]

    async def write(self, table: Table, batches: AsyncIterator[list[Row]]) -> None:
        """Insert the rows with a single COPY.

        PostgreSQL looks at a foreign key at the end of the statement, so within one the rows of
        a table may come before those that they point to.
        """
        spell_out = _converter(table, for_jsonb)
        interrupted: BaseException | None = None

        async def rows() -> AsyncGenerator[Row]:
            nonlocal interrupted
            try:
                async for batch in batches:
                    for row in batch:
                        yield spell_out(row)
            except Exception as error:
                interrupted = error
                raise

        try:
            await self._connection.copy_records_to_table(
                table.name,
                columns=[column.name for column in record_columns(table)],
                records=rows(),
            )
            # Statistics now, not when autovacuum comes by: the first queries need them.
            await self._connection.execute(f"ANALYZE {_quoted(table)}")
        except (*DRIVER_ERRORS, TypeError, ValueError, OverflowError) as error:
            if interrupted is not None:
                raise
            # What the driver says can hold the row.
            state = getattr(error, "sqlstate", None) or type(error).__name__
            message = f"{table.name} cannot be copied: PostgreSQL failed with {state}"
            raise StoreError(message) from error

    async def commit(self) -> None:
        """Commit; done even when the caller is cancelled."""
        try:
            await self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except DRIVER_ERRORS as error:
            table = getattr(error, "table_name", None) or "the database"
            raise StoreError(
                f"{table} cannot be copied: it holds references to rows that do not exist"
            ) from error
        try:
            await shielded(self._connection.execute("COMMIT"))
        except DRIVER_ERRORS as error:
            raise StoreError(
                "the server did not confirm the COMMIT of the copy; the target now holds all of "
                "it or nothing"
            ) from error

    async def close(self) -> None:
        """Close the connection; what was not committed is rolled back."""
        if self._connection is not None:
            self._connection.terminate()


async def _use_plain_values(connection: Any) -> None:
    """Give and take times as microseconds and flags as 0 and 1; jsonb is text by itself."""

    def encode_timestamp(microseconds: int) -> tuple[int]:
        return (microseconds - _EPOCH,)

    def decode_timestamp(since_2000: tuple[int]) -> int:
        return since_2000[0] + _EPOCH

    def encode_flag(flag: int) -> bytes:
        return b"\1" if flag else b"\0"

    def decode_flag(flag: bytes) -> int:
        return flag[0]

    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=encode_timestamp,
        decoder=decode_timestamp,
    )
    await connection.set_type_codec(
        "bool", schema="pg_catalog", format="binary", encoder=encode_flag, decoder=decode_flag
    )


def _size(table: Table) -> ColumnElement[int]:
    """Return an expression for the bytes of a row's texts, which PostgreSQL knows unread."""
    nothing: ColumnElement[int] = literal_column("0")
    size = nothing
    for column in table.columns:
        if isinstance(column.type, (PlainText, Json)):
            size = size + func.coalesce(func.octet_length(cast(column, Text)), nothing)
    return size


def _portions(sizes: Sequence[int], limit: int) -> Iterator[int]:
    """Cut rows of these sizes into portions up to `limit`, or of one row; give their lengths."""
    length = total = 0
    for size in sizes:
        if length and total + size > limit:
            yield length
            length = total = 0
        length += 1
        total += size
    yield length


def _converter(table: Table, convert_json: Callable[[str], str]) -> Callable[[Sequence[Any]], Row]:
    """Return what makes a tuple of a row and converts its JSON."""
    indexes = [
        index for index, column in enumerate(record_columns(table)) if isinstance(column.type, Json)
    ]
    if not indexes:
        return tuple

    def convert(row: Sequence[Any]) -> Row:
        values = list(row)
        for index in indexes:
            if values[index] is not None:
                values[index] = convert_json(values[index])
        return tuple(values)

    return convert


def _as_the_store_writes(text: str) -> str:
    """Turn jsonb's text, where 1e308 has 309 digits, into that of the same value on SQLite."""
    value = read_json(text)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _quoted(table: Table) -> str:
    return _dialect.identifier_preparer.quote(table.name)


def _sql(statement: Select[Any]) -> str:
    return str(statement.compile(dialect=_dialect))
