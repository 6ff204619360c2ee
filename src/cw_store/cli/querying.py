"""What `sql` does with a statement."""

from __future__ import annotations

import sys

from cw_store import InvalidValueError, QueryValue, ReadOnlyError, SchemaBehindError, query_store
from cw_store.cli.context import BUSY_TIMEOUT, Context
from cw_store.cli.failures import CommandError, UsageError
from cw_store.safe_text import safe


async def show_rows(here: Context, query: str, limit: int | None) -> None:
    """Run the statement and show the rows; all of it sees one state of the store."""
    if limit is not None and limit < 1:
        raise UsageError("--limit is at least 1")
    sql = sys.stdin.read() if query == "-" else query
    try:
        found = await query_store(here.url, sql, limit=limit, busy_timeout=BUSY_TIMEOUT)
    except ReadOnlyError as error:
        raise UsageError(str(error)) from error
    except InvalidValueError as error:
        raise UsageError(f"the statement {error.reason}") from error
    except SchemaBehindError as error:
        message = "there is no store to query; cw-store init makes one"
        raise CommandError("no-store", message) from error
    rows = [tuple(map(_shown, row)) for row in found.rows]
    data = {"columns": found.columns, "rows": rows, "is_cut": found.is_cut}
    here.output.table(map(safe, found.columns), rows, data=data, nothing="no rows")
    if found.is_cut:
        here.output.remark(f"there are more rows than {limit}: --limit, or --all")


def _shown(value: QueryValue) -> object:
    return f"x'{value.hex()}'" if isinstance(value, bytes) else value
