"""How SQLite finds what views show: by indexes, whatever else is stored."""

from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
from sqlalchemy.dialects import sqlite

from cw_store import Store
from cw_store.views.agents import ENDS, HAS_ID, IS_ASKED_OF, SESSIONS
from cw_store.views.places import PLACES, Place
from cw_store.views.plans import TASKS, WAITS_FOR
from cw_store.views.reading import NEWEST_AGENTS, NEWEST_QUESTIONS, WAITING
from cw_store.views.waiting import all_waiting

ASKED = NEWEST_QUESTIONS.where(IS_ASKED_OF).order_by(None)
ONE_AGENT = NEWEST_AGENTS.where(HAS_ID)


@pytest.fixture
async def store(migrated_file: Path, tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(copyfile(migrated_file, tmp_path / "cw.db")) as store:
        yield store


async def plan_of(store: Store, statement: Any, **values: object) -> list[str]:
    """Return the steps in which a statement is done."""
    dialect = sqlite.dialect()
    bound = statement.params(**values) if values else statement
    compiled = bound.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    async with store.unit_of_work(read_only=True) as uow:
        connection = await uow.session.connection()
        found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")
        return [str(row[-1]) for row in found]


@pytest.mark.parametrize("initiative_id", [None, "i"])
async def test_the_inbox_reads_what_waits_and_not_all_that_ever_did(
    store: Store, initiative_id: str | None
) -> None:
    given = {} if initiative_id is None else {"initiative_id": initiative_id}
    plan = await plan_of(store, all_waiting(is_of_initiative=bool(given)), **given)
    whole = {step for step in plan if step.startswith("SCAN") and " USING INDEX " not in step}
    # Of comments there are few, and of accounts.
    assert whole <= {"SCAN review_comments", "SCAN accounts"}, plan
    assert "SCAN messages USING INDEX ix_messages_requiring_response" in plan, plan


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (ONE_AGENT, {"id": "a"}),
        (ENDS, {"id": "a"}),
        (TASKS, {"ids": ["a", "b"]}),
        (WAITS_FOR, {"ids": ["a", "b"]}),
        (ASKED, {"id": "a"}),
        (WAITING, {}),
    ],
)
async def test_what_an_index_has_is_neither_gone_through_nor_sorted(
    store: Store, statement: Any, values: dict[str, object]
) -> None:
    plan = await plan_of(store, statement, **values)
    assert not [step for step in plan if step.startswith("SCAN") and "INDEX" not in step], plan
    assert not [step for step in plan if "TEMP B-TREE" in step], plan


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.kind)
async def test_a_search_goes_through_a_table_as_it_is_stored(store: Store, place: Place) -> None:
    part = place.selected().where(place.table.c.seq.between(5, 9), place.holds())
    plan = await plan_of(store, part, pattern="%a%", json_pattern="%a%")
    assert f"SEARCH {place.table} USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in plan, plan
    assert not [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step], plan


async def test_the_sessions_of_a_log_are_counted_in_an_index(store: Store) -> None:
    plan = await plan_of(store, SESSIONS, id="a")
    assert any("COVERING INDEX ix_agent_log_chunks_agent_id_session_number" in s for s in plan)
    assert not [step for step in plan if step == "SCAN agent_log_chunks"], plan
