"""A person's own query: it reads, and nothing that writes gets through in any disguise."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from builders import add_initiative, add_task
from cw_store import (
    InvalidValueError,
    QueryRows,
    QueryValue,
    ReadOnlyError,
    SchemaBehindError,
    SchemaError,
    Store,
    StoreError,
    query_store,
    stream_query,
)
from cw_store.backends.postgres.free_query import names_called
from databases import DATABASES
from originals import small_original


@pytest.fixture(params=["file", "postgres"])
async def filled(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    with DATABASES[request.param](request) as url:
        async with Store(url) as store:
            initiative = await add_initiative(store, id="i", name="User auth")
            for number in range(5):
                await add_task(store, id=f"t{number}", initiative_id=initiative.id)
        yield url


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    async with Store(tmp_path / "cw.db") as store:
        await add_initiative(store, id="i", name="User auth")
    return tmp_path / "cw.db"


@pytest.fixture
async def server(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    with DATABASES["postgres"](request) as url:
        async with Store(url) as store:
            await add_initiative(store, id="i", name="User auth")
        yield url


@pytest.fixture
async def server_with_views(server: str) -> AsyncIterator[str]:
    """A server's store with views behind which an application hides what they do."""
    async with Store(server) as store:
        async with store.unit_of_work() as uow:
            for definition in HIDING:
                await uow.session.execute(text(f"CREATE {definition}"))
        yield server
        async with store.unit_of_work() as uow:
            await uow.session.execute(text("DROP VIEW hidden, hidden_as_well"))
            await uow.session.execute(text('DROP FUNCTION "End Them"()'))


HIDING = (
    "FUNCTION \"End Them\"() RETURNS boolean LANGUAGE sql AS 'SELECT pg_terminate_backend(1)'",
    'VIEW hidden_as_well AS SELECT "End Them"() LIMIT 2',
    "VIEW hidden AS SELECT pg_terminate_backend(1) WHERE false",
)


async def first_of(rows: QueryRows, number: int) -> AsyncIterator[tuple[QueryValue, ...]]:
    """Give so many of the rows."""
    async for row in rows:
        yield row
        number -= 1
        if not number:
            break


def is_server(url: str) -> bool:
    return url.startswith("postgresql")


async def test_rows_come_with_the_names_of_their_columns(filled: str) -> None:
    found = await query_store(filled, "SELECT id, name, status FROM initiatives")
    assert found.columns == ("id", "name", "status")
    assert found.rows == (("i", "User auth", "active"),)
    assert not found.is_cut


async def test_no_more_rows_are_fetched_than_were_asked_for(filled: str) -> None:
    sql = "SELECT id FROM tasks ORDER BY id"
    found = await query_store(filled, sql, limit=3)
    assert found.rows == (("t0",), ("t1",), ("t2",)) and found.is_cut
    for limit in (5, None):
        found = await query_store(filled, sql, limit=limit)
        assert len(found.rows) == 5 and not found.is_cut
    with pytest.raises(ValueError, match="limit"):
        await query_store(filled, sql, limit=0)


async def test_comments_parentheses_and_a_semicolon_do_no_harm(filled: str) -> None:
    sql = " -- which\n /* ones? */ (SELECT count(*) FROM tasks) ;"
    if not is_server(filled):
        sql = sql.replace("(SELECT count(*) FROM tasks)", "SELECT count(*) FROM tasks")
    assert (await query_store(filled, sql)).rows == ((5,),)
    sql = "WITH few AS (SELECT id FROM tasks LIMIT 2) SELECT count(*), max(id) FROM few"
    assert (await query_store(filled, sql)).rows[0][0] == 2


WRITES = (
    "DELETE FROM tasks",
    "/* SELECT */ DELETE FROM tasks",
    "-- SELECT\nDELETE FROM tasks",
    "UPDATE tasks SET name = 'x'",
    "INSERT INTO store_state (name, value) VALUES ('a', 'b')",
    "WITH x AS (SELECT 1) DELETE FROM tasks",
    "WITH gone AS (DELETE FROM tasks RETURNING id) SELECT * FROM gone",
    "SELECT 1; DELETE FROM tasks",
    "SELECT 1;; DROP TABLE tasks",
    ";DELETE FROM tasks",
    "CREATE TABLE mine (a int)",
    "CREATE TEMP TABLE mine (a int)",
    "CREATE TABLE mine AS SELECT 1",
    "SELECT * INTO mine FROM tasks",
    "DROP TABLE changes",
    "ALTER TABLE tasks ADD COLUMN mine text",
    "BEGIN",
    "COMMIT",
    "SAVEPOINT a",
    "ANALYZE",
    "VACUUM",
    "REINDEX",
    "EXPLAIN ANALYZE DELETE FROM tasks",
    "",
    "-- nothing",
    "/* not closed",
)


@pytest.mark.parametrize("sql", WRITES)
async def test_nothing_that_writes_gets_through(filled: str, sql: str) -> None:
    with pytest.raises(StoreError):
        await query_store(filled, sql)
    async with Store(filled) as store:
        assert len(await store.tasks.find_all()) == 5
        assert [task.name for task in await store.tasks.find_all()] != ["x"] * 5


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH '{folder}/other.db' AS other",
        "VACUUM INTO '{folder}/other.db'",
        "/* a */ VACUUM main INTO '{folder}/other.db'",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "PRAGMA user_version = 7",
        "PRAGMA main.user_version(7)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA optimize",
        "PRAGMA temp_store_directory = '{folder}'",
        "SELECT * FROM pragma_user_version(7)",
        "SELECT load_extension('{folder}/other.so')",
        "SELECT LOAD_EXTENSION('{folder}/other.so')",
        "SELECT \"load_extension\"('{folder}/other.so')",
        "SELECT writefile('{folder}/other.db', 'x')",
        "SELECT fts3_tokenizer('simple', x'00')",
        "CREATE VIRTUAL TABLE temp.mine USING fts5(a)",
        "DETACH main",
        "REPLACE INTO store_state VALUES ('a', 'b')",
    ],
)
async def test_nothing_leaves_a_file_or_changes_one(file: Path, sql: str) -> None:
    before = {each.name: each.read_bytes() for each in file.parent.iterdir()}
    with pytest.raises(StoreError):
        await query_store(file, sql.replace("{folder}", str(file.parent)))
    assert {each.name: each.read_bytes() for each in file.parent.iterdir()} == before


async def test_what_tells_of_a_file_is_allowed(file: Path) -> None:
    found = await query_store(file, "PRAGMA table_info(tasks)")
    assert "name" in found.columns and ("id" in {row[1] for row in found.rows})
    found = await query_store(file, "SELECT name FROM pragma_table_list WHERE name = 'tasks'")
    assert found.rows == (("tasks",),)
    assert (await query_store(file, "PRAGMA quick_check")).rows == (("ok",),)
    assert (await query_store(file, "EXPLAIN QUERY PLAN SELECT * FROM tasks")).rows
    assert (await query_store(file, "SELECT value FROM json_each('[1, 2]')")).rows == ((1,), (2,))
    assert (await query_store(file, "VALUES (1.5, NULL, x'00')")).rows == ((1.5, None, b"\0"),)


async def test_a_file_that_is_at_rest_stays_by_itself(file: Path) -> None:
    await query_store(file, "SELECT 1")
    assert [each.name for each in file.parent.iterdir() if each.suffix.startswith(".db-w")] == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pg_terminate_backend(pg_backend_pid())",
        'SELECT "pg_terminate_backend"(1)',
        "SELECT pg_catalog.pg_terminate_backend/* x */(1)",
        "SELECT PG_Terminate_Backend -- x\n(1)",
        'SELECT U&"pg\\005fterminate_backend"(1)',
        "VALUES (1), (pg_terminate_backend(1)::int)",
        "SELECT 1 LIMIT pg_terminate_backend(1)::int",
        "SELECT 1 WHERE pg_terminate_backend(1)",
        "SELECT 1 ORDER BY pg_terminate_backend(1)",
        "SELECT * FROM pg_read_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_creat(1)",
        "SELECT nextval('tasks_seq_seq')",
        "SELECT setval('tasks_seq_seq', 1)",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT pg_notify('cw_store', '')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_sleep(60)",
        "SELECT query_to_xml('SELECT pg_terminate_backend(1)', true, true, '')",
        "SELECT * FROM ts_stat('SELECT pg_terminate_backend(1)')",
        "TABLE tasks; SELECT 1",
        "COPY tasks TO PROGRAM 'cat'",
        "COPY tasks TO '/tmp/tasks'",
        "SET transaction_read_only = off",
        "SET ROLE postgres",
        "DO $$ BEGIN END $$",
        "CALL nothing()",
        "EXECUTE something",
        "NOTIFY cw_store",
        "LISTEN cw_store",
        "SELECT * FROM tasks FOR UPDATE",
        "MERGE INTO tasks USING tasks AS t ON false WHEN MATCHED THEN DELETE",
        "SELECT * FROM hidden",
        'SELECT "End Them"()',
        "SELECT 1 FROM hidden_as_well",
        "SELECT txid_current()",
        "SELECT pg_current_xact_id()",
    ],
)
async def test_nothing_goes_further_than_to_read_on_a_server(
    server_with_views: str, sql: str
) -> None:
    with pytest.raises(StoreError) as caught:
        await query_store(server_with_views, sql)
    assert isinstance(caught.value, ReadOnlyError) or "cannot" in str(caught.value)


def test_a_long_word_in_a_statement_is_looked_at_in_no_time() -> None:
    for word in ("x" * 1_000_000, '"' * 1_000_000, "x" + " " * 1_000_000, "x$" * 500_000):
        assert names_called(f"{word} f(1)") >= {"f"}


@pytest.mark.parametrize("sql", ["SELECT 1/0", "SELECT $1", "SELECT '\0'", "SELECT 'x'::int"])
async def test_what_a_server_cannot_make_sense_of_is_a_wrong_value(server: str, sql: str) -> None:
    with pytest.raises(InvalidValueError):
        await query_store(server, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT random() < 2, now() IS NOT NULL, gen_random_uuid() IS NOT NULL",
        "TABLE initiatives",
        "SELECT pg_size_pretty(pg_total_relation_size('tasks'))",
        "SELECT name, setting FROM pg_settings WHERE name = 'server_version'",
        "SELECT count(*) FROM pg_locks",
        "SELECT count(*) FROM pg_stat_activity",
        "SELECT 'pg_sleep' AS name",
        "SELECT array_agg(id), max(created_at), '{\"a\": 1}'::jsonb FROM initiatives",
    ],
)
async def test_what_only_reads_is_allowed_on_a_server(server: str, sql: str) -> None:
    assert (await query_store(server, sql)).rows


async def test_a_mistake_in_a_statement_is_told_in_the_databases_words(filled: str) -> None:
    with pytest.raises(InvalidValueError, match="nothing_of_this_name"):
        await query_store(filled, "SELECT * FROM nothing_of_this_name")
    with pytest.raises(StoreError, match="cannot be run by"):
        await query_store(filled, "SELECT FROM FROM")


ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


async def test_rows_come_before_the_last_one_is_there(filled: str) -> None:
    async with stream_query(filled, ENDLESS) as rows:
        assert rows.columns == ("i",)
        found = [i async for (i,) in first_of(rows, 5_000)]
    assert found == list(range(1, 5_001))


async def test_a_stream_ends_where_the_rows_do(filled: str) -> None:
    async with stream_query(filled, "SELECT id FROM tasks ORDER BY id") as rows:
        assert [id async for (id,) in rows] == [f"t{number}" for number in range(5)]
    async with stream_query(filled, "SELECT id FROM tasks WHERE id = 'none'") as rows:
        assert [row async for row in rows] == []


async def test_what_fails_on_the_way_is_told_there(filled: str) -> None:
    fails = "abs(-9223372036854775808)" if not is_server(filled) else "1 / (i - i)"
    sql = ENDLESS.replace("SELECT i FROM", f"SELECT CASE WHEN i = 3000 THEN {fails} END FROM")
    async with stream_query(filled, sql) as rows:
        with pytest.raises(InvalidValueError, match="cannot be run by"):
            async for _ in rows:
                pass


async def test_rows_that_are_large_are_few_at_once(filled: str) -> None:
    large = "hex(zeroblob(400000))" if not is_server(filled) else "repeat('00', 400000)"
    sql = ENDLESS.replace("SELECT i FROM", f"SELECT {large} AS text FROM")
    async with stream_query(filled, sql) as rows:
        sizes = [len(text) async for (text,) in first_of(rows, 30) if isinstance(text, str)]
    assert sizes == [800_000] * 30


async def test_a_value_of_a_server_that_memory_should_not_hold_is_refused(server: str) -> None:
    with pytest.raises(InvalidValueError, match="too big"):
        await query_store(server, "SELECT repeat('x', 67108865 + count(*)::int) FROM tasks")


@pytest.mark.parametrize("value", ["zeroblob(1000000000)", "hex(zeroblob(60000000))"])
async def test_a_value_that_memory_could_not_hold_is_refused_before_it_is_made(
    file: Path, value: str
) -> None:
    with pytest.raises(InvalidValueError, match="too big"):
        await query_store(file, f"SELECT {value}")


async def test_where_there_is_no_store_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(SchemaBehindError):
        await query_store(tmp_path / "none.db", "SELECT 1")
    assert not (tmp_path / "none.db").exists()
    small_original(tmp_path / "original.db")
    with pytest.raises(SchemaError, match="TypeScript"):
        await query_store(tmp_path / "original.db", "SELECT 1")
    with pytest.raises(StoreError, match="in memory"):
        await query_store(":memory:", "SELECT 1")


async def test_a_statement_that_does_not_end_can_be_given_up(filled: str) -> None:
    endless = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    )
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await query_store(filled, endless)


async def test_a_server_does_not_go_on_with_what_was_given_up(server: str) -> None:
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT max(i) FROM n"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await query_store(server, endless)
    at_work = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%RECURSIVE%' AND state = "
    async with asyncio.timeout(10):
        while (
            await query_store(server, f"{at_work}'active' AND pid <> pg_backend_pid()")
        ).rows != ((0,),):
            pass


async def test_a_store_in_use_can_be_queried(filled: str) -> None:
    async with Store(filled) as store, store.unit_of_work() as uow:
        await add_initiative(uow, id="not committed")
        found = await query_store(filled, "SELECT id FROM initiatives")
        assert found.rows == (("i",),)


async def test_text_that_is_no_utf8_is_shown_all_the_same(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("UPDATE initiatives SET name = CAST(X'61FF' AS TEXT)")
        other.commit()
    assert (await query_store(file, "SELECT name FROM initiatives")).rows == (("a\ufffd",),)
