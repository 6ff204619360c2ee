"""Rows of which there may be more than memory holds, shown as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from cw_store import QueryRows, QueryValue
from cw_store.cli.blocks import Cell
from cw_store.cli.cells import exact, written
from cw_store.cli.output import Output, envelope
from cw_store.safe_text import safe

ROWS_OF_A_TABLE = 1_000
"""Rows that are drawn on a terminal as one table, whose columns are as wide as they need."""

Row = Sequence[Cell]


async def show(output: Output, rows: QueryRows, limit: int | None) -> bool:
    """Show at most so many rows, all with None; return whether there are more.

    Nothing is written before the first row has come, so nothing is of a statement that fails there.
    """
    shown = _Shown(rows, limit)
    if output.is_json:
        await _show_as_json(output, rows.columns, shown)
    elif output.is_terminal:
        await _show_as_tables(output, rows.columns, shown)
    else:
        await _show_as_fields(output, rows.columns, shown)
    return shown.is_cut


class _Shown:
    """The rows up to a limit, and afterwards whether there are more."""

    def __init__(self, rows: QueryRows, limit: int | None) -> None:
        self._rows = rows
        self._limit = limit
        self.is_cut = False

    async def __aiter__(self) -> AsyncGenerator[Row]:
        count = 0
        async for row in self._rows:
            self.is_cut = count == self._limit
            if self.is_cut:
                break
            count += 1
            yield tuple(map(_shown, row))


async def _show_as_tables(output: Output, columns: Sequence[str], rows: _Shown) -> None:
    names = tuple(map(safe, columns))
    part: list[Row] = []
    is_first = True
    async for row in rows:
        if len(part) == ROWS_OF_A_TABLE:
            output.table(names, part)
            part, is_first = [], False
        part.append(row)
    if part or is_first:
        output.table(names, part, nothing="no rows")


async def _show_as_fields(output: Output, columns: Sequence[str], rows: _Shown) -> None:
    before = "\t".join(map(safe, columns)) + "\n"
    async for row in rows:
        output.piece(before + "\t".join(map(exact, row)) + "\n")
        before = ""
    output.piece(before)


async def _show_as_json(output: Output, columns: Sequence[str], rows: _Shown) -> None:
    """Write what `Output.page` does; on a terminal with a line for each row."""
    end = "\n" if output.is_terminal else ""
    before = f'{envelope({"columns": columns}).removesuffix("}}")},"rows":[{end}'
    async for row in rows:
        output.piece(before + written(row))
        before = f",{end}"
    # Where there is no row the beginning is still to come, and else an end is.
    output.piece(f'{end if before[0] == "," else before}],"is_cut":{written(rows.is_cut)}}}}}\n')


def _shown(value: QueryValue) -> Cell:
    return f"x'{value.hex()}'" if isinstance(value, bytes) else value
