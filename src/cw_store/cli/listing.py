"""`ls`: rows of one kind, filtered, sorted and cut by the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, case, or_, select

from cw_store import UnitOfWork
from cw_store.cli.context import Context
from cw_store.cli.failures import UsageError
from cw_store.cli.finding import find
from cw_store.cli.kinds import BY_PLURAL, Kind


class Asked(NamedTuple):
    """What `ls` was asked for, as it was typed."""

    status: Sequence[str]
    references: dict[str, str | None]
    """What rows are to belong to, by the singular of its kind."""
    provider: str | None
    sort: str | None
    limit: int
    after: str | None
    columns: str | None


async def list_rows(here: Context, what: str, asked: Asked) -> None:
    """Show the rows; what is left over is said beside them."""
    kind = BY_PLURAL[what]
    _check(kind, asked)
    names = _columns(kind, asked.columns)
    is_cut = False
    async with here.reading() as store, store.unit_of_work(read_only=True) as uow:
        query = await _query(uow, kind, names, asked)
        rows = [tuple(row) for row in await uow.session.execute(query.limit(asked.limit + 1))]
        is_cut = len(rows) > asked.limit
    rows = rows[: asked.limit]
    here.output.table(names, [row[1:] for row in rows], nothing=f"no {what}")
    if is_cut:
        here.output.remark(_how_to_go_on(asked, rows[-1][0]))


def _check(kind: Kind, asked: Asked) -> None:
    if asked.limit < 1:
        raise UsageError("--limit is at least 1")
    if asked.sort is not None and asked.after is not None:
        raise UsageError("--after goes by the order of storing, so it does not go with --sort")
    for status in asked.status:
        if not kind.statuses:
            raise UsageError(f"{kind.plural} have no status")
        if status not in kind.statuses:
            raise UsageError(f"{kind.plural} are {', '.join(kind.statuses)}; none is {status}")


def _columns(kind: Kind, typed: str | None) -> tuple[str, ...]:
    if typed is None:
        return kind.columns
    names = tuple(name for name in (each.strip() for each in typed.split(",")) if name)
    if not names:
        raise UsageError(f"--columns names some of {', '.join(kind.all_columns())}")
    for name in names:
        kind.column(name)
    return names


async def _query(uow: UnitOfWork, kind: Kind, names: Sequence[str], asked: Asked) -> Select[Any]:
    table = kind.table
    shown = [kind.column(name).label(f"c{number}") for number, name in enumerate(names)]
    query = select(table.c.id, *shown)
    if asked.status:
        query = query.where(table.c.status.in_(asked.status))
    if asked.provider is not None:
        query = query.where(_own_column(kind, "provider") == asked.provider)
    for singular, typed in asked.references.items():
        if typed is not None:
            columns = _references(kind, singular)
            found = await find(uow, typed, singular)
            query = query.where(or_(*(column == found.id for column in columns)))
    if asked.after is not None:
        last, seen = await find(uow, asked.after, kind.singular), table.alias()
        place = select(seen.c.seq).where(seen.c.id == last.id).scalar_subquery()
        query = query.where(table.c.seq > place)
    return query.order_by(*_order(kind, asked.sort))


def _own_column(kind: Kind, name: str) -> ColumnElement[Any]:
    if name not in kind.table.columns:
        raise UsageError(f"{kind.plural} have no {name}")
    return kind.table.c[name]


def _references(kind: Kind, singular: str) -> Sequence[ColumnElement[Any]]:
    names = kind.of_agent if singular == "agent" else (f"{singular}_id",)
    found = [kind.table.c[name] for name in names if name in kind.table.columns]
    if not found:
        raise UsageError(f"{kind.plural} belong to no {singular}")
    return found


def _order(kind: Kind, sort: str | None) -> list[ColumnElement[Any]]:
    """Return the order: that of storing, or by a column, where rows without a value are last."""
    seq = kind.table.c.seq
    if sort is None:
        return [seq]
    column = _as_sorted(sort.removeprefix("-"), kind)
    direction = column.desc() if sort.startswith("-") else column.asc()
    return [direction.nulls_last(), seq]


def _as_sorted(name: str, kind: Kind) -> ColumnElement[Any]:
    """Return what a column is ordered by: priorities not as words, but the highest first."""
    column = kind.column(name)
    if name == "priority":
        return case({"high": 0, "medium": 1}, value=column, else_=2)
    return column


def _how_to_go_on(asked: Asked, last: str) -> str:
    if asked.sort is not None:
        return f"there are more than {asked.limit}; --limit shows more of them"
    return f"there are more than {asked.limit}; --after={last} shows the next"
