"""From what was typed to the one thing that it names: an id, the beginning of one, or a name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import literal, select, union_all

from cw_store import UnitOfWork
from cw_store.cli.failures import CommandError, NothingFoundError, UsageError
from cw_store.cli.kinds import BY_SINGULAR, KINDS, NAMES, Kind

NAMED = frozenset({"initiatives", "phases", "tasks", "agents", "accounts", "projects"})
"""Kinds that are found by their whole name too, where only one has it."""

MOST_NAMED = 10
"""So many are named when what was typed fits several."""


class Found(NamedTuple):
    """One row: which kind it is, and its id."""

    kind: Kind
    id: str


async def find(uow: UnitOfWork, typed: str, *kinds: str) -> Found:
    """Return what `typed` names, among these kinds (their singulars), or all.

    A whole id comes before a name, and a name before the beginning of an id. Raises
    NothingFoundError, or a CommandError with what there is when it could be several.
    """
    if not typed:
        raise UsageError("an empty word is no id")
    among = [BY_SINGULAR[kind] for kind in kinds] or KINDS
    found = await _by_prefix(uow, typed, among)
    exact = [each for each in found if each.id == typed] or await _by_name(uow, typed, among)
    candidates = exact or found
    if not candidates and kinds:
        await _refuse_another_kind(uow, typed, among)
    if not candidates:
        raise NothingFoundError(
            f"there is no {_listed(among)} with the id or name {typed!r}; try cw-store search"
        )
    if len(candidates) > 1:
        raise CommandError("ambiguous", f"{typed!r} could be {_shown(candidates)}")
    return candidates[0]


async def _refuse_another_kind(uow: UnitOfWork, typed: str, among: Sequence[Kind]) -> None:
    """Raise a NothingFoundError that says what else is called so, if anything is."""
    others = [each for each in await _by_name(uow, typed, KINDS) if each.kind not in among]
    others = others or [each for each in await _by_prefix(uow, typed, KINDS) if each.id == typed]
    if others:
        kind = others[0].kind.singular
        raise NothingFoundError(f"{typed!r} is the name or id of {_an(kind)}, and no {_or(among)}")


async def _by_prefix(uow: UnitOfWork, typed: str, among: Iterable[Kind]) -> list[Found]:
    """Return what begins so, in one query; of each kind at most as many as are named."""
    found: list[Found] = []
    for kind in among:
        repository = getattr(uow, kind.repository)
        ids = await repository.find_ids(typed, limit=MOST_NAMED)
        found += [Found(kind, id) for id in ids]
    return found


async def _by_name(uow: UnitOfWork, typed: str, among: Sequence[Kind]) -> list[Found]:
    named = [kind for kind in among if kind.plural in NAMED]
    if not named:
        return []
    queries = [
        select(literal(kind.singular), kind.table.c.id)
        .where(kind.table.c[NAMES[kind.table.name]] == typed)
        .limit(MOST_NAMED)
        .subquery()
        .select()
        for kind in named
    ]
    rows = await uow.session.execute(union_all(*queries))
    return [Found(BY_SINGULAR[singular], id) for singular, id in rows]


def _an(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _or(kinds: Sequence[Kind]) -> str:
    return " or ".join(kind.singular for kind in kinds)


def _listed(kinds: Sequence[Kind]) -> str:
    return "record" if len(kinds) > 2 else _or(kinds)


def _shown(candidates: Sequence[Found]) -> str:
    shown = ", ".join(f"{each.kind.singular} {each.id}" for each in candidates[:MOST_NAMED])
    return f"{shown} or more" if len(candidates) > MOST_NAMED else shown
