"""A store in the middle of a run, made up: something to look at, and always the same.

It is told as it would have happened, from six hours before `now` on, through the same repositories
as a supervisor's: tasks are claimed, agents write, fail and crash, and leases run out. Ids, names
and times follow from `now` and `seed` alone, since the store's clock is moved from event to event,
and every row gets its id here.
"""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path

from sqlalchemy import bindparam, select, update

from cw_store import Store, StoreError, UnitOfWork, metadata
from cw_store.cli.demo_story import DemoClock, Story
from cw_store.cli.demo_talk import talk

SEED = 20

TIMES = type(metadata.tables["tasks"].c.created_at.type)


async def fill(url: str | Path | None, *, now: datetime, seed: int = SEED) -> None:
    """Fill an empty store at this URL with the run, all of it or nothing; make it if need be.

    The same `now` and `seed` give the same rows, on SQLite and on PostgreSQL. `StoreError` when the
    store holds anything already.
    """
    clock = DemoClock(now)
    async with Store(url, clock=clock) as store:
        await tell(store, clock, seed=seed)


async def tell(store: Store, clock: DemoClock, *, seed: int = SEED) -> None:
    """Fill an empty store that has this clock, which stands where it stood afterwards.

    `StoreError` when the store holds anything already.
    """
    now = clock.now
    try:
        async with store.unit_of_work(label="demo") as uow:
            await _refuse_what_is_not_empty(uow)
            story = Story(uow, clock, random.Random(seed))  # noqa: S311 -- it guards no secret
            story.plan_and_work()
            talk(story)
            await story.tell()
            await _round_times(uow)
    finally:
        clock.now = now


async def _round_times(uow: UnitOfWork) -> None:
    """Round all times down to seconds: what is done at once takes other microseconds elsewhere.

    A claim, for one, is more statements on PostgreSQL than on SQLite, each with a time of its own.
    """
    for table in metadata.sorted_tables:
        names = [column.name for column in table.columns if isinstance(column.type, TIMES)]
        if "id" in table.columns and names:
            times = select(table.c.id.label("row_id"), *[table.c[name] for name in names])
            rounded = [
                {
                    name: value.replace(microsecond=0) if isinstance(value, datetime) else value
                    for name, value in row.items()
                }
                for row in (await uow.session.execute(times)).mappings().all()
            ]
            if rounded:
                statement = update(table).where(table.c.id == bindparam("row_id"))
                connection = await uow.session.connection()
                await connection.execute(statement, rounded)


async def _refuse_what_is_not_empty(uow: UnitOfWork) -> None:
    for repository in (uow.initiatives, uow.tasks, uow.agents, uow.accounts, uow.projects):
        if await repository.find_all(limit=1):
            raise StoreError("the demo store is made where nothing is, and here is something")
