"""`sql`: one statement that reads, or a client for whoever wants to ask more."""

from typing import Annotated

from cyclopts import Parameter

from cw_store.cli.context import Here
from cw_store.cli.parameters import flag


async def sql(
    query: Annotated[
        str | None,
        Parameter(help="One statement; - reads it from stdin.", allow_leading_hyphen=True),
    ] = None,
    /,
    *,
    limit: Annotated[int, Parameter(help="At most so many rows.")] = 1_000,
    all: Annotated[bool, flag("All rows, however many, as they come.")] = False,
    here: Here,
) -> None:
    """Run one statement of SQL that only reads.

    It sees one state of the store, and values as they are stored: on SQLite times are microseconds
    since 1970. Nothing that writes gets through. On PostgreSQL a role without the right to write is
    the real fence. Without `QUERY` it opens litecli or pgcli, if installed, to read.
    """
    if query is None:
        from cw_store.cli.client import open_client

        await open_client(here)
        return
    from cw_store.cli.querying import show_rows

    await show_rows(here, query, None if all else limit)
