"""The demo store: a run in its middle, made up, and always the same."""

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import select

from cw_store import (
    AgentStatus,
    ErrandStatus,
    ProposalStatus,
    Store,
    StoreError,
    TaskStatus,
    metadata,
)
from cw_store.cli.demo import fill, tell
from cw_store.cli.demo_story import DemoClock
from cw_store.views import LANES, board, inbox

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

OF_ITS_OWN = ("changes", "store_state")
"""Tables that no repository writes: marks are drawn by chance."""


@pytest.fixture
async def demo(database: str) -> AsyncIterator[Store]:
    """A demo store on each database."""
    clock = DemoClock(NOW)
    async with Store(database, clock=clock) as store:
        await tell(store, clock)
        yield store


async def rows(store: Store) -> dict[str, list[Any]]:
    """Return all that is stored, in the order of storing, without the numbers of that order."""
    found: dict[str, list[Any]] = {}
    async with store.unit_of_work(read_only=True) as uow:
        for table in metadata.sorted_tables:
            columns = [column for column in table.columns if column.name != "seq"]
            order = [table.c.seq] if "seq" in table.columns else columns
            if table.name not in OF_ITS_OWN:
                result = await uow.session.execute(select(*columns).order_by(*order))
                found[table.name] = [tuple(row) for row in result]
    return found


async def test_the_same_time_gives_the_same_rows_on_every_database(
    demo: Store, migrated_file: Path, tmp_path: Path
) -> None:
    other = shutil.copyfile(migrated_file, tmp_path / "other.db")
    await fill(other, now=NOW)
    async with Store(other) as store:
        assert await rows(store) == await rows(demo)


async def test_another_seed_gives_other_ids_and_names(
    demo: Store, migrated_file: Path, tmp_path: Path
) -> None:
    other = shutil.copyfile(migrated_file, tmp_path / "other.db")
    await fill(other, now=NOW, seed=5)
    async with Store(other) as store:
        theirs, ours = await store.tasks.find_all(), await demo.tasks.find_all()
        assert not {task.id for task in theirs} & {task.id for task in ours}
        assert [task.name for task in theirs] == [task.name for task in ours]


async def test_there_is_something_of_everything_to_look_at(demo: Store) -> None:
    stored = await rows(demo)
    assert [name for name, found in stored.items() if not found] == []
    assert {task.status for task in await demo.tasks.find_all()} == set(get_args(TaskStatus))
    assert {agent.status for agent in await demo.agents.find_all()} == set(get_args(AgentStatus))
    proposals = await demo.proposals.find_all()
    assert {proposal.status for proposal in proposals} == set(get_args(ProposalStatus))
    errands = await demo.errands.find_all()
    assert {errand.status for errand in errands} == set(get_args(ErrandStatus)) - {"abandoned"}
    found = await board(demo)
    assert all(getattr(found.counts, lane) for lane in LANES)
    assert len(found.circles) == 1
    assert {account.state for account in found.accounts} == {
        *("available", "exhausted_until", "exhausted"),
    }
    assert len((await inbox(demo)).counts) == 10
    assert len(await demo.claims.find_live()) == 7


async def test_nothing_has_happened_after_now(demo: Store) -> None:
    async with demo.unit_of_work(read_only=True) as uow:
        for table in metadata.sorted_tables:
            for name in ("created_at", "updated_at"):
                if name in table.columns:
                    for (at,) in await uow.session.execute(select(table.c[name])):
                        assert at <= NOW


async def test_a_store_that_holds_something_is_left_alone(
    migrated_file: Path, tmp_path: Path
) -> None:
    used = shutil.copyfile(migrated_file, tmp_path / "used.db")
    async with Store(used) as store:
        await store.projects.create(name="web", url="https://git.example.com/web.git")
        before = await rows(store)
        with pytest.raises(StoreError, match="here is something"):
            await fill(used, now=NOW)
        assert await rows(store) == before


async def test_the_clock_stands_where_it_stood_when_the_story_is_told(
    migrated_file: Path, tmp_path: Path
) -> None:
    clock = DemoClock(NOW)
    async with Store(shutil.copyfile(migrated_file, tmp_path / "cw.db"), clock=clock) as store:
        await tell(store, clock)
    assert clock() == NOW
