"""How the databases find what repositories look for: by an index, whatever else is stored."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import ModuleType
from typing import Any, cast

import pytest
from sqlalchemy import Table, text
from sqlalchemy.dialects import sqlite

from cw_store import Store, UnitOfWork
from cw_store.repos import sql
from cw_store.repos.sql import (
    agents,
    chat_sessions,
    conversations,
    initiatives,
    log_chunks,
    tasks,
)
from cw_store.repos.sql.listings import Ids
from cw_store.repos.sql.readiness import all_ready, filter_of, next_ready
from cw_store.schema import metadata
from cw_store.statements.query import Query
from cw_store.store import backend_of

FINDERS: dict[str, tuple[Query[Any], str]] = {
    "agents.find_by_initiative_id": (agents.BY_INITIATIVE_ID, "ix_agents_initiative_id"),
    "agents.find_by_account_id": (agents.BY_ACCOUNT_ID, "ix_agents_account_id"),
    "agents.find_all_by_task_id": (agents.ALL_BY_TASK_ID, "ix_agents_task_id"),
    "chat_sessions.find_by_target": (
        chat_sessions.ABOUT_TARGET,
        "ix_chat_sessions_target_type_target_id_status",
    ),
    "conversations.find_pending_for_agent": (
        conversations.PENDING_FOR_AGENT,
        "ix_conversations_",
    ),
    "conversations.find_pending": (conversations.PENDING, "ix_conversations_pending"),
    "conversations.find_unanswerable": (conversations.UNANSWERABLE, "ix_"),
    "initiatives.find_by_project_id": (
        initiatives.OF_PROJECT,
        "ix_initiative_projects_project_id",
    ),
    "log_chunks.find_last": (log_chunks.LAST_OF_AGENT, "ix_agent_log_chunks_agent_id"),
    "tasks.count_by_status": (tasks.COUNTS_OF_INITIATIVE, "ix_tasks_initiative_id"),
}
STATEMENTS: list[Query[Any]] = [
    cast("Query[Any]", statement)
    for module in vars(sql).values()
    if isinstance(module, ModuleType)
    for statement in vars(module).values()
    if isinstance(statement, Query)
]
GIVEN = {"target_type": "task", "limit": 5, "now": None, "shared_now": None}


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    async with Store(database) as store:
        yield store


async def plan_of(store: Store, query: Query[Any]) -> str:
    """Return the plan for a query, on PostgreSQL as if its tables were large."""
    dialect = backend_of(store).dialect
    compiled = query.statement.compile(dialect=dialect)
    names = cast("Sequence[str]", getattr(compiled, "positiontup"))  # noqa: B009 -- of some dialects
    # What the statement has as a constant is a parameter for the database all the same.
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    values = tuple((constants | GIVEN).get(name, "x") for name in names)
    async with store.unit_of_work() as uow:
        if dialect.name == "postgresql":
            # A table that was vacuumed while it was empty is known to be, and any index would do.
            tables = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
            await uow.session.execute(text(f"TRUNCATE {tables}"))
            # Nor is it to be known what other tests had in it when the server last looked.
            await uow.session.execute(
                text("DELETE FROM pg_statistic WHERE starelid >= 16384")  # none of the server's own
            )
            await uow.session.execute(text("SET LOCAL enable_seqscan = off"))
            await uow.session.execute(text("SET LOCAL enable_bitmapscan = off"))
        explain = "EXPLAIN QUERY PLAN " if dialect.name == "sqlite" else "EXPLAIN "
        connection = await uow.session.connection()
        found = await connection.exec_driver_sql(f"{explain}{compiled}", values)
        return "\n".join(str(row[-1]) for row in found)


@pytest.mark.parametrize("finder", FINDERS)
async def test_rows_are_found_by_an_index(store: Store, finder: str) -> None:
    query, index = FINDERS[finder]
    plan = await plan_of(store, query)
    assert index in plan, plan
    assert "Seq Scan" not in plan, plan
    if "ix_conversations_pending" not in plan:
        assert "SCAN" not in plan, plan


READY = {"claims.next": next_ready(filter_of({}), 0), "claims.find_ready": all_ready(filter_of({}))}


@pytest.mark.parametrize("finder", READY)
async def test_what_is_ready_is_found_among_what_is_open(store: Store, finder: str) -> None:
    plan = await plan_of(store, READY[finder])
    assert "ix_phases_open" in plan and "ix_tasks_open" in plan, plan
    assert "ix_phases_initiative_id" not in plan and "ix_phases_status" not in plan, plan
    assert "SCAN tasks" not in plan, plan


FINISHED = text("""
INSERT INTO tasks (id, phase_id, initiative_id, name, status, created_at, updated_at)
SELECT 'finished-' || n, :phase, :initiative, 'finished', 'completed', now(), now()
FROM generate_series(1, 30000) AS numbers (n)
""")
READ = text("""
SELECT sum(seq_tup_read + coalesce(idx_scan + idx_tup_fetch, 0))::integer
FROM pg_stat_xact_user_tables
""")


async def rows_read(uow: UnitOfWork, call: Callable[[], Awaitable[object]]) -> int:
    """Return how many rows PostgreSQL has read for a call, and how often it has used an index."""
    before = await uow.session.scalar(READ)
    await call()
    return (await uow.session.scalar(READ) or 0) - (before or 0)


@pytest.mark.parametrize("planned", ["force_custom_plan", "force_generic_plan"])
async def test_what_is_finished_is_not_read_for_what_is_ready(
    migrated_server: str, planned: str
) -> None:
    async with Store(migrated_server) as store, store.unit_of_work() as uow:
        await uow.accounts.create(email="one@example.org")
        initiative = await uow.initiatives.create(name="Sign in")
        done = await uow.phases.create(initiative_id=initiative.id, name="done", status="completed")
        phase = await uow.phases.create(initiative_id=initiative.id, name="now")
        ready = await uow.tasks.create(phase_id=phase.id, name="ready")
        alone = await uow.tasks.create(initiative_id=initiative.id, name="ready as well")
        await uow.session.execute(FINISHED, {"phase": done.id, "initiative": initiative.id})
        await uow.session.execute(text("ANALYZE"))
        await uow.session.execute(text(f"SET LOCAL plan_cache_mode = {planned}"))
        claims = uow.claims
        assert [task.id for task in await claims.find_ready(limit=20)] == [ready.id, alone.id]
        for call in (
            lambda: claims.find_ready(limit=20),
            lambda: claims.find_ready(initiative.id),
            lambda: claims.find_standings(),
            lambda: claims.explain(ready.id),
            lambda: claims.next(holder="h", worktree_id="w"),
            lambda: claims.recover(),
        ):
            assert await rows_read(uow, call) < 300
        await uow.rollback()


async def test_a_lease_that_is_over_is_found_by_when_it_is(store: Store) -> None:
    plan = await plan_of(store, READY["claims.next"])
    (of_lapsed,) = [line for line in plan.splitlines() if "lapsed" in line]
    assert "ix_agents_lease " in of_lapsed, plan


@pytest.mark.parametrize("finder", ["log_chunks.find_last", "conversations.find_pending"])
async def test_what_an_index_has_in_order_is_not_sorted(store: Store, finder: str) -> None:
    plan = (await plan_of(store, FINDERS[finder][0])).upper()
    assert "SORT" not in plan and "TEMP B-TREE" not in plan, plan


@pytest.mark.parametrize(
    "table", [table for table in metadata.sorted_tables if "id" in table.columns], ids=str
)
async def test_a_prefix_is_a_range_of_the_index_of_ids(store: Store, table: Any) -> None:
    ids = Ids(table)
    for query in ids.queries:
        plan = await plan_of(store, query)
        assert "id>" in plan or "Index Cond: ((id" in plan or "Index Cond: (id" in plan, plan
        assert "Sort" not in plan and "TEMP" not in plan, plan


def test_no_condition_is_compared_with_a_truth_value() -> None:
    """SQLAlchemy does so on SQLite, which can make no use of an index then."""
    for statement in [*STATEMENTS, *READY.values()]:
        text_of_it = str(statement.statement.compile(dialect=sqlite.dialect()))
        assert not re.search(r"\) = 1\b", text_of_it), text_of_it


@pytest.mark.parametrize("table", [t for t in metadata.sorted_tables if t.indexes], ids=str)
def test_no_statement_is_planned_anew_each_time_it_runs(table: Table) -> None:
    """SQLite does so where a parameter is compared with a column that a partial index is of."""
    conditions = [str(index.dialect_options["sqlite"]["where"]) for index in table.indexes]
    columns = [found[1] for each in conditions if (found := re.match(r"(\w+) = '", each))]
    for statement in STATEMENTS:
        text_of_it = str(statement.statement.compile(dialect=sqlite.dialect()))
        for column in columns:
            assert not re.search(rf"WHERE.*{table}\.{column} (=|IS) \?", text_of_it, re.DOTALL), (
                text_of_it
            )
