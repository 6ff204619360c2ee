"""The schema is changed by a newer cw_store while an older process has the store open."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest

from builders import add_initiative
from cw_store import InvalidValueError, SchemaAheadError, SchemaError, Store
from cw_store.testing.postgres_server import PostgresServer

driver = cast(Any, asyncpg)

REWRITTEN = (
    "PRAGMA writable_schema = ON;"
    "UPDATE sqlite_schema SET sql = replace(sql, {}, {}) WHERE name = 'initiatives';"
    "PRAGMA schema_version = 99999; PRAGMA writable_schema = OFF"
)
CHANGES = {
    "a column has another name": "ALTER TABLE initiatives RENAME COLUMN branch TO base_branch",
    "a column is gone": "ALTER TABLE initiatives DROP COLUMN branch",
    "a column has to be given": REWRITTEN.format(
        "'seq INTEGER NOT NULL'", "'seq INTEGER NOT NULL, owner TEXT NOT NULL'"
    ),
    "less is allowed": REWRITTEN.format("'(''active'', ''pending'", "'(''running'', ''pending'"),
    "the table has another name": "ALTER TABLE initiatives RENAME TO programmes",
    "a trigger refuses": (
        "CREATE TRIGGER refuse BEFORE INSERT ON initiatives BEGIN SELECT raise(ABORT, 'no'); END"
    ),
}


def change(path: Path, sql: str, version: str | None = "9999") -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.executescript(sql)
    if version is not None:
        other.execute("UPDATE cw_store_version SET version_num = ?", [version])
    other.close()


@pytest.fixture
def path(tmp_path: Path, migrated_file: Path) -> Path:
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    return path


@pytest.mark.parametrize("what", CHANGES)
async def test_who_is_older_than_the_schema_is_told_so_or_answered(path: Path, what: str) -> None:
    async with Store(path) as store:
        await add_initiative(store)
        await store.initiatives.find_all()
        change(path, CHANGES[what])
        with pytest.raises(SchemaAheadError, match="9999"):
            await store.initiatives.create(name="x", branch="b")
        for outcome in await asyncio.gather(
            *(store.initiatives.create(name="x", branch="b") for _ in range(5)),
            return_exceptions=True,
        ):
            assert isinstance(outcome, SchemaAheadError)
        with pytest.raises(SchemaAheadError):
            async with store.unit_of_work() as uow:
                await uow.initiatives.create(name="x", branch="b")
        try:
            assert len(await store.initiatives.find_all()) == 1
        except SchemaAheadError as error:
            assert error.current == "9999"


ON_A_SERVER = {
    "a column has another name": "ALTER TABLE initiatives RENAME COLUMN branch TO base_branch",
    "a column is gone": "ALTER TABLE initiatives DROP COLUMN branch",
    "a column has to be given": "ALTER TABLE initiatives ADD owner text NOT NULL DEFAULT 'x';"
    "ALTER TABLE initiatives ALTER owner DROP DEFAULT",
    "less is allowed": "ALTER TABLE initiatives ADD CONSTRAINT ck_newer CHECK (name <> 'x')",
    "a column has another type": "ALTER TABLE initiatives ALTER branch TYPE jsonb USING NULL",
    "less fits in": "ALTER TABLE initiatives ALTER branch TYPE varchar(1)",
    "the database gives the value": "ALTER TABLE initiatives DROP branch;"
    "ALTER TABLE initiatives ADD branch text GENERATED ALWAYS AS ('x') STORED",
    "the table has another name": "ALTER TABLE initiatives RENAME TO programmes",
    "a trigger refuses": "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$BEGIN RAISE 'no'; END$$; CREATE TRIGGER refuse BEFORE INSERT ON initiatives "
    "FOR EACH ROW EXECUTE FUNCTION refuse()",
}

TRIGGERS_AWAY = """
DO $$
DECLARE
    trigger record;
BEGIN
    FOR trigger IN SELECT tgname FROM pg_trigger
        WHERE tgrelid = 'initiatives'::regclass AND NOT tgisinternal
    LOOP
        EXECUTE format('DROP TRIGGER %I ON initiatives', trigger.tgname);
    END LOOP;
END
$$
"""
"""What a migration has to do first there: a column that a trigger names is not changed."""


@pytest.mark.parametrize("what", ON_A_SERVER)
async def test_who_is_older_than_the_schema_of_a_server_is_told_so_or_answered(
    postgres_server: PostgresServer, what: str
) -> None:
    url = postgres_server.create_database()
    async with Store(url, pool_size=1) as store:
        await store.initiatives.create(name="y")
        await store.initiatives.find_all()
        server = await driver.connect(url)
        await server.execute(TRIGGERS_AWAY)
        await server.execute(ON_A_SERVER[what])
        await server.execute("UPDATE cw_store_version SET version_num = '9999'")
        await server.close()
        for _ in range(2):
            with pytest.raises(SchemaAheadError, match="9999"):
                await store.initiatives.create(name="x", branch="main")
            with pytest.raises(SchemaAheadError):
                async with store.unit_of_work() as uow:
                    await uow.initiatives.create(name="x", branch="main")
            try:
                assert len(await store.initiatives.find_all()) == 1
            except SchemaAheadError as error:
                assert error.current == "9999"
        assert store.connections_in_use == 0
    postgres_server.drop_database(url)


async def test_a_schema_that_another_program_changed_does_not_fit(path: Path) -> None:
    async with Store(path) as store:
        change(path, "ALTER TABLE initiatives RENAME TO programmes", version=None)
        with pytest.raises(SchemaError, match="initiatives is not as this cw_store knows it"):
            await store.initiatives.find_all()


async def test_a_rule_of_the_applications_own_is_about_the_value(path: Path) -> None:
    rule = REWRITTEN.format(
        "'CONSTRAINT pk_initiatives'",
        "'CONSTRAINT mine CHECK (name <> ''x''), CONSTRAINT pk_initiatives'",
    )
    change(path, rule, version=None)
    async with Store(path) as store:
        with pytest.raises(InvalidValueError):
            await store.initiatives.create(name="x")
