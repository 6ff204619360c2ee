"""What only PostgreSQL has: schemas, SQLSTATEs, and connections that others can end."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
import sqlalchemy as sa

from cw_store import (
    AlreadyExistsError,
    BrokenReferenceError,
    InvalidValueError,
    NewLogChunk,
    OutcomeUnknownError,
    ReadOnlyError,
    SchemaError,
    Store,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    UnitOfWork,
    UnitOfWorkError,
    ensure_schema,
)
from cw_store.backends.postgres.backend import PostgresBackend
from cw_store.location import locate
from cw_store.postgres_url import Server
from cw_store.repos.sql.initiatives import BY_STATUS
from cw_store.store import backend_of
from cw_store.testing.postgres_server import PostgresServer
from cw_store.types import ValueRules

OTHER_SCHEMA = "&options=-csearch_path%3Dother"


async def test_a_schema_other_than_public_holds_the_whole_store(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    driver = cast(Any, asyncpg)
    connection = await driver.connect(url)
    await connection.execute("CREATE SCHEMA other")
    for _ in range(2):
        async with Store(url + OTHER_SCHEMA) as store:
            await store.initiatives.create(name="there")
            async with store.unit_of_work() as uow:
                assert await uow.session.scalar(sa.text("SELECT current_schema()")) == "other"
    count = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    assert await connection.fetchval(count) == 0
    assert await connection.fetchval("SELECT count(*) FROM other.initiatives") == 2
    await connection.close()
    postgres_server.drop_database(url)


async def test_a_statement_that_takes_too_long_is_one_of_our_errors(migrated_server: str) -> None:
    async with Store(migrated_server, busy_timeout=0) as store:
        with pytest.raises(StoreBusyError, match="did not answer in time"):
            async with store.unit_of_work() as uow:
                await uow.session.execute(sa.text("SELECT pg_sleep(60)"))
        assert store.connections_in_use == 0


async def test_a_schema_that_does_not_exist_is_a_clear_error(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    with pytest.raises(SchemaError, match="no schema"):
        await ensure_schema(url + OTHER_SCHEMA)
    postgres_server.drop_database(url)


async def test_a_server_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(StoreBusyError, match="not there"):
        await Store.open("postgresql://nobody@/nowhere?host=%2Fnonexistent&port=1")


async def test_connections_can_be_told_apart_on_the_server(migrated_server: str) -> None:
    async with Store(migrated_server) as store, store.unit_of_work() as uow:
        name = await uow.session.scalar(sa.text("SHOW application_name"))
    assert name == "cw_store"


# What the server refuses, told apart by its SQLSTATE.

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'refused' USING ERRCODE = NEW.name, CONSTRAINT = coalesce(NEW.branch, '');
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON initiatives FOR EACH ROW EXECUTE FUNCTION refuse();
"""

REFUSALS: dict[str, type[StoreError]] = {
    "23505": AlreadyExistsError,
    "23503": BrokenReferenceError,
    "23514": InvalidValueError,
    "23502": InvalidValueError,
    "40001": StoreBusyError,
    "40P01": StoreBusyError,
    "55P03": StoreBusyError,
    "57014": StoreBusyError,
    "53300": StoreBusyError,
    "57000": StoreBusyError,
    "25006": ReadOnlyError,
    "25P02": UnitOfWorkError,
    "42P01": SchemaError,
    "42703": SchemaError,
    "3F000": SchemaError,
    "28000": StoreError,
    "28P01": StoreError,
    "3D000": StoreError,
    "22012": StoreError,
}
LOST = ("08000", "08006", "57P01", "57P02", "57P03")


@pytest.fixture
async def refusing(migrated_server: str) -> AsyncIterator[Store]:
    """A store whose server refuses each initiative with the SQLSTATE that is its name."""
    driver = cast(Any, asyncpg)
    connection = await driver.connect(migrated_server)
    await connection.execute(REFUSE)
    async with Store(migrated_server) as store:
        yield store
        assert store.connections_in_use == 0
    await connection.execute("DROP FUNCTION refuse CASCADE")
    await connection.close()


async def refusal_in_a_unit(store: Store, **values: Any) -> StoreError:
    with pytest.raises(StoreError) as raised:
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(**values)
    return raised.value


async def refusal_of_a_call(store: Store, **values: Any) -> StoreError:
    with pytest.raises(StoreError) as raised:
        await store.initiatives.create(**values)
    return raised.value


async def test_what_the_server_refuses_is_told_apart(refusing: Store) -> None:
    for state, kind in REFUSALS.items():
        for refusal in (refusal_in_a_unit, refusal_of_a_call):
            error = await refusal(refusing, name=state)
            assert type(error) is kind, state
            assert getattr(error.__cause__, "sqlstate", None) == state


async def test_the_columns_are_those_of_the_constraint(refusing: Store) -> None:
    for state in ("23505", "23503"):
        error = await refusal_of_a_call(refusing, name=state, branch="fk_phases_initiative_id")
        assert isinstance(error, AlreadyExistsError | BrokenReferenceError)
        assert (error.table, list(error.columns)) == ("initiatives", ["initiative_id"])
    for state in ("23514", "23502"):
        error = await refusal_of_a_call(refusing, name=state, branch="ck_tasks_status")
        assert isinstance(error, InvalidValueError)
        assert (error.table, error.value) == ("initiatives", None)
    error = await refusal_of_a_call(refusing, name="23503")
    assert isinstance(error, BrokenReferenceError) and list(error.columns) == []
    error = await refusal_of_a_call(refusing, name="23514")
    assert isinstance(error, InvalidValueError) and error.column == "?"


async def test_a_write_whose_connection_is_lost_may_be_stored(refusing: Store) -> None:
    for state in LOST:
        assert type(await refusal_in_a_unit(refusing, name=state)) is StoreBusyError
        error = await refusal_of_a_call(refusing, name=state)
        assert type(error) is OutcomeUnknownError and "not known" in str(error)


async def test_a_lock_that_does_not_come_in_time_is_store_busy(migrated_server: str) -> None:
    async with Store(migrated_server, busy_timeout=0.3) as store:
        one = await store.initiatives.create(name="one")
        async with store.unit_of_work() as holder:
            await holder.initiatives.update(one.id, name="held")
            with pytest.raises(StoreBusyError, match="lock"):
                # In a task of its own: this one would wait for itself.
                await asyncio.create_task(store.initiatives.update(one.id, name="refused"))
        found = await store.initiatives.find_by_id(one.id)
        assert found is not None and found.name == "held"
        await store.initiatives.delete(one.id)


async def test_closing_ends_the_units_that_are_open(migrated_server: str) -> None:
    store = await Store.open(migrated_server)
    uow = store.unit_of_work()
    await uow.__aenter__()
    await uow.initiatives.create(name="lost")
    await store.close()
    with pytest.raises(StoreClosedError):
        await uow.initiatives.find_all()
    await uow.__aexit__(StoreClosedError, None, None)
    assert uow.committed is False
    async with Store(migrated_server) as other:
        assert await other.initiatives.find_all() == []


async def test_a_connection_that_the_server_ended_is_replaced(migrated_server: str) -> None:
    own = sa.text("SELECT pg_backend_pid()")
    driver = cast(Any, asyncpg)
    connection = await driver.connect(migrated_server)
    async with Store(migrated_server, pool_size=1) as store:
        async with store.unit_of_work() as uow:
            pid = await uow.session.scalar(own)
        await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        async with store.unit_of_work() as uow:
            assert await uow.session.scalar(own) != pid
        assert store.connections_in_use == 0
    await connection.close()


async def test_a_unit_whose_connection_is_lost_before_its_commit_is_not_stored(
    migrated_server: str,
) -> None:
    driver = cast(Any, asyncpg)
    connection = await driver.connect(migrated_server)
    async with Store(migrated_server) as store:
        uow = store.unit_of_work()
        with pytest.raises(StoreBusyError, match="nothing of it is stored"):
            async with uow:
                pid = await uow.session.scalar(sa.text("SELECT pg_backend_pid()"))
                await uow.initiatives.create(name="lost")
                await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        assert uow.committed is False
        assert store.connections_in_use == 0
        assert await store.initiatives.find_all() == []
    await connection.close()


async def test_what_the_server_refuses_at_commit_is_told_apart_too(refusing: Store) -> None:
    async with refusing.unit_of_work() as uow:
        await uow.session.execute(sa.text("DROP TRIGGER refuse ON initiatives"))
        await uow.session.execute(
            sa.text(
                "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON initiatives DEFERRABLE"
                " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    for state, kind in REFUSALS.items():
        uow = refusing.unit_of_work()
        with pytest.raises(StoreError) as raised:
            async with uow:
                await uow.initiatives.create(name=state)
        assert type(raised.value) is kind, state
        assert uow.committed is False


async def test_an_error_in_a_unit_names_the_table(refusing: Store) -> None:
    error = await refusal_in_a_unit(refusing, name="23505")
    assert isinstance(error, AlreadyExistsError) and error.table == "initiatives"


# The backend itself.


def server_of(url: str) -> Server:
    server = locate(url).server
    assert server is not None
    return server


def new_backend(url: str) -> PostgresBackend:
    return PostgresBackend(server_of(url), pool_size=1, busy_timeout=5.0, rules=ValueRules())


async def test_a_backend_that_was_never_opened_can_be_closed() -> None:
    backend = new_backend("postgresql://nobody@/nowhere")
    await backend.close()
    with pytest.raises(StoreClosedError):
        await backend.open()


async def test_a_terminated_backend_gives_no_connections(migrated_server: str) -> None:
    backend = new_backend(migrated_server)
    backend.terminate()
    with pytest.raises(StoreClosedError):
        await backend.open()


async def test_a_query_is_compiled_once(migrated_server: str) -> None:
    async with Store(migrated_server) as store:
        statements = backend_of(store).statements
        assert statements[BY_STATUS] is statements[BY_STATUS]


async def test_a_call_by_itself_is_one_job_to_the_server(migrated_server: str) -> None:
    async with Store(migrated_server, pool_size=1) as store:
        async with store.unit_of_work() as uow:
            pid = await uow.session.scalar(sa.text("SELECT pg_backend_pid()"))
        assert await store.accounts.find_all() == []
        connection = await cast(Any, asyncpg).connect(migrated_server)
        statement = await connection.fetchval(
            "SELECT query FROM pg_stat_activity WHERE pid = $1", pid
        )
        await connection.close()
        assert statement.startswith("SELECT accounts.")


async def test_json_is_read_as_its_value(migrated_server: str) -> None:
    async with Store(migrated_server) as store:
        initiative = await store.initiatives.create(name="a")
        phase = await store.phases.create(
            initiative_id=initiative.id, name="p", content={"large": 1e300}
        )
        assert await store.phases.find_by_id(phase.id) == phase
        await store.initiatives.delete(initiative.id)


async def test_a_call_that_loses_its_connection_does_not_leave_it_to_the_next(
    refusing: Store,
) -> None:
    async def pid() -> int:
        async with refusing.unit_of_work() as uow:
            return await uow.session.scalar(sa.text("SELECT pg_backend_pid()"))

    before = await pid()
    await refusal_of_a_call(refusing, name="22012")
    assert await pid() == before
    await refusal_of_a_call(refusing, name="08006")
    assert await pid() != before


# Two units that append to two logs in opposite orders wait for each other.


async def _wait_until_so_many_wait(store: Store, how_many: int) -> None:
    """Return when so many wait for the end of a log on the server."""
    waiting = sa.text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    async with asyncio.timeout(10), store.unit_of_work(read_only=True) as uow:
        while await uow.session.scalar(waiting) != how_many:
            pass


async def test_sql_of_an_application_can_take_the_turn_of_a_log(migrated_server: str) -> None:
    turn = sa.text(
        "SELECT pg_advisory_xact_lock(hashtextextended('agent_log_chunks.' || :agent_id, 0))"
    )
    order: list[str] = []

    async def append_with_sql(store: Store) -> None:
        async with store.unit_of_work() as uow:
            await uow.session.execute(turn, {"agent_id": "a"})
            order.append("sql")

    async with Store(migrated_server) as store, asyncio.TaskGroup() as group:
        async with store.unit_of_work() as uow:
            await uow.log_chunks.insert_chunk("a", "otter", 1, "first")
            group.create_task(append_with_sql(store))
            await _wait_until_so_many_wait(store, 1)
            order.append("unit")
    assert order == ["unit", "sql"]
    async with Store(migrated_server) as store:
        await store.log_chunks.delete_by_agent_id("a")


@pytest.mark.parametrize("beside", [0, 1, 3])
async def test_logs_written_in_opposite_orders_are_repeated_by_run_and_by_calls_beside_them(
    postgres_server: PostgresServer, beside: int
) -> None:
    url = postgres_server.create_database()
    gave_way: list[StoreBusyError] = []

    async def append(store: Store, own: str, other: str, waiting: int) -> None:
        async def work(uow: UnitOfWork) -> None:
            await uow.log_chunks.insert_chunk(own, "otter", 1, f"{own} first")
            if not gave_way:
                have_own[own].set()
                await _wait_until_so_many_wait(store, waiting)
            try:
                await uow.log_chunks.insert_chunk(other, "otter", 1, f"{own} second")
            except StoreBusyError as error:
                gave_way.append(error)
                raise

        await store.run(work)

    async def call(store: Store) -> None:
        chunk: NewLogChunk = {
            "agent_id": "b",
            "agent_name": "otter",
            "session_number": 1,
            "content": "by itself",
        }
        assert await store.log_chunks.insert_chunks([chunk]) != []

    have_own = {"a": asyncio.Event(), "b": asyncio.Event()}
    async with Store(url, pool_size=10) as store:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(append(store, "b", "a", beside + 1))
            await have_own["b"].wait()
            for _ in range(beside):  # they look first, in the middle of what will be a circle
                group.create_task(call(store))
            await _wait_until_so_many_wait(store, beside)
            group.create_task(append(store, "a", "b", beside))
        logs = {log: await store.log_chunks.find_by_agent_id(log) for log in "ab"}
        contents = {log: [chunk.content for chunk in logs[log]] for log in logs}
        assert sorted(contents["a"]) == ["a first", "b second"]
        assert sorted(contents["b"]) == ["a second", "b first"] + ["by itself"] * beside
    assert beside or len(gave_way) == 1, "each waited for the other"
    postgres_server.drop_database(url)


async def test_a_call_of_several_statements_that_stood_between_two_units_is_made_again(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    gave_way: list[StoreBusyError] = []

    async with Store(url) as store:
        initiative = await store.initiatives.create(name="i")
        tasks = [
            (await store.tasks.create(initiative_id=initiative.id, name="t")).id for _ in range(6)
        ]
        phases = [
            (await store.phases.create(initiative_id=initiative.id, name="p")).id for _ in range(4)
        ]

        async def tasks_first(uow: UnitOfWork) -> None:
            await uow.tasks.create_dependency(*tasks[:2])
            if not gave_way:
                has_turn_of_tasks.set()
                await _wait_until_so_many_wait(store, 2)
            await give_way(uow.phases.create_dependency(*phases[:2]))

        async def phases_first(uow: UnitOfWork) -> None:
            await uow.phases.create_dependency(*phases[2:])
            await give_way(uow.tasks.create_dependency(*tasks[2:4]))

        async def give_way(second: Coroutine[Any, Any, object]) -> None:
            try:
                await second
            except StoreBusyError as error:
                gave_way.append(error)
                raise

        has_turn_of_tasks = asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(store.run(tasks_first))
            await has_turn_of_tasks.wait()
            call = group.create_task(store.tasks.create_dependency(*tasks[4:]))
            await _wait_until_so_many_wait(store, 1)
            group.create_task(store.run(phases_first))
        assert await call is not None
        for pair in (tasks[:2], tasks[2:4], tasks[4:]):
            waiting = await store.tasks.get_dependencies(pair[0])
            assert [task.id for task in waiting] == pair[1:]
    postgres_server.drop_database(url)
