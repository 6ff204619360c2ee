"""The feed of changes in SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import cast, get_args

from cw_store.errors import InvalidValueError
from cw_store.repos.changes import Change, ChangedEntity, ChangePage, ChangeRepository
from cw_store.repos.sql.feed import position_of, read_feed
from cw_store.repos.sql.feed_rows import Filter, Told, cursor_of
from cw_store.repos.sql.listings import checked_limit
from cw_store.schema import changes
from cw_store.statements.database import Database

ENTITIES: tuple[str, ...] = get_args(ChangedEntity)


class Changes(ChangeRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(
        self,
        after: str | None,
        *,
        limit: int = 500,
        entities: Collection[ChangedEntity] | None = None,
        initiative_id: str | None = None,
    ) -> ChangePage:
        start = None if after is None else cursor_of(after)
        most = checked_limit(changes, limit)
        wanted = filter_of(entities, initiative_id)
        part = await read_feed(self._database, start, most, wanted)
        return ChangePage([change_of(told) for told in part.told], str(part.cursor))

    async def position(self) -> str:
        return str(await position_of(self._database))


def filter_of(entities: Collection[str] | None, initiative_id: str | None) -> Filter:
    """Return what is asked for; raises InvalidValueError for what the feed does not tell of."""
    if entities is None:
        return Filter(None, initiative_id)
    if isinstance(entities, str) or not isinstance(cast(object, entities), Iterable):
        reason = f"takes a list of tables, not {type(entities).__name__}"
        raise InvalidValueError(changes.name, "entities", entities, reason)
    asked = tuple(entities)
    for entity in asked:
        if entity not in ENTITIES:
            reason = f"must be some of {', '.join(ENTITIES)}"
            raise InvalidValueError(changes.name, "entities", entity, reason)
    return Filter(asked, initiative_id)


def change_of(told: Told) -> Change:
    """Return what an application is told."""
    return Change(told.entity, told.entity_id, told.action, told.initiative_id, told.at)
