"""What `sql` does with a statement."""

from __future__ import annotations

import sys

from cw_store import InvalidValueError, ReadOnlyError, SchemaBehindError, stream_query
from cw_store.cli.context import BUSY_TIMEOUT, Context
from cw_store.cli.failures import CommandError, UsageError
from cw_store.cli.streaming import show


async def show_rows(here: Context, query: str, limit: int | None) -> None:
    """Run the statement and show the rows; all of it sees one state of the store."""
    if limit is not None and limit < 1:
        raise UsageError("--limit is at least 1")
    sql = sys.stdin.read() if query == "-" else query
    try:
        async with stream_query(here.url, sql, busy_timeout=BUSY_TIMEOUT) as rows:
            is_cut = await show(here.output, rows, limit)
    except ReadOnlyError as error:
        raise UsageError(str(error)) from error
    except InvalidValueError as error:
        raise UsageError(f"the statement {error.reason}") from error
    except SchemaBehindError as error:
        message = "there is no store to query; cw-store init makes one"
        raise CommandError("no-store", message) from error
    if is_cut:
        here.output.remark(f"there are more rows than {limit}: --limit, or --all")
