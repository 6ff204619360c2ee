"""Values that cannot be read: who is told, and who is not kept from anything."""

import copy
import sqlite3
from collections.abc import Awaitable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from builders import add_account, add_agent, add_initiative
from cw_store import Account, Store, StoreError, UnreadableError
from cw_store.schema import metadata
from cw_store.statements.reading import fill_in_place
from every_port import PORTS, Port

FOUND = [port for port in PORTS if port.find]
STRANGE = [
    "'abc'",
    "''",
    "'2026-01-01 00:00:00'",
    "x'ff00'",
    "1.5",
    "9223372036854775807",
    "-9223372036854775808",
    "'false'",
    "2",
    "1e999",
    "CAST(x'ff41' AS TEXT)",
    "'{'",
    "'NaN'",
    "'[' || printf('%.*c', 5000, '[')",
]
SECRETS = ("config_json", "credentials")

needs_server = pytest.mark.parametrize("database", ["postgres"], indirect=True)
alone_and_on_a_server = pytest.mark.parametrize("database", ["file", "postgres"], indirect=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cw.db"


@pytest.fixture(params=[True, False], ids=["filled in place", "copied"])
def way_to_make(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make records as it is done on this Python, and as it is on one not known."""
    was_in_place = fill_in_place(request.param)
    yield
    fill_in_place(was_in_place)


in_both_ways = pytest.mark.usefixtures("way_to_make")


async def reading(call: Awaitable[Any], port: Port, id: str) -> str | None:
    """Return what is wrong with the outcome of reading a row that may hold a strange value."""
    try:
        record = await call
        for name in record.__slots__:
            getattr(record, name)
    except UnreadableError as error:
        if (error.table, error.id) != (port.table, id):
            return f"named {error.table} {error.id}"
        return None if error.column in metadata.tables[port.table].columns else str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


@in_both_ways
@pytest.mark.parametrize("port", FOUND, ids=str)
async def test_what_other_programs_write_is_read_or_an_unreadable_error(
    path: Path, port: Port
) -> None:
    wrong: list[str] = []
    async with Store(path) as store:
        created = await port.add(store)
        raw = sqlite3.connect(path, isolation_level=None)
        raw.execute("PRAGMA foreign_keys = OFF")
        for column in metadata.tables[port.table].columns.keys():
            if column in ("id", "seq"):
                continue
            where = f'"{column}" FROM {port.table} WHERE id = ?'
            (old,) = raw.execute(f"SELECT {where}", [created.id]).fetchone()
            for value in STRANGE:
                try:
                    raw.execute(f'UPDATE {port.table} SET "{column}" = {value}')
                except sqlite3.IntegrityError:
                    continue
                said = await reading(port.method(store, port.find)(created.id), port, created.id)
                if said is not None:
                    wrong.append(f"{column} = {value}: {said}")
            raw.execute(f'UPDATE {port.table} SET "{column}" = ?', [old])
        raw.close()
    assert wrong == []


@in_both_ways
async def test_a_value_of_another_type_is_no_value(path: Path) -> None:
    async with Store(path) as store:
        await add_agent(store, id="a", pid=1)
        raw = sqlite3.connect(path, isolation_level=None)
        for column, value in (
            ("pid", "'many'"),
            ("pid", "1.5"),
            ("name", "x'61'"),
            ("user_dismissed_at", "'now'"),
            ("user_dismissed_at", str(2**62)),
            ("result", "'NaN'"),
        ):
            raw.execute(f"UPDATE agents SET {column} = {value}")
            with pytest.raises(UnreadableError) as raised:
                await store.agents.find_by_id("a")
            assert (raised.value.table, raised.value.id) == ("agents", "a")
            assert raised.value.column == column
            raw.execute(f"UPDATE agents SET {column} = ?", ["a" if column == "name" else None])
        raw.close()
        assert await store.agents.find_by_id("a") is not None


@in_both_ways
async def test_a_list_that_holds_an_unreadable_row_is_an_error_and_other_pages_are_not(
    path: Path,
) -> None:
    async with Store(path) as store:
        ids = [(await add_agent(store)).id for _ in range(5)]
        raw = sqlite3.connect(path, isolation_level=None)
        raw.execute("UPDATE agents SET result = '{' WHERE id = ?", [ids[2]])
        raw.close()
        with pytest.raises(UnreadableError) as raised:
            await store.agents.find_all()
        assert (raised.value.table, raised.value.id, raised.value.column) == (
            "agents",
            ids[2],
            "result",
        )
        async with store.unit_of_work() as uow:
            assert [agent.id for agent in await uow.agents.find_all(limit=2)] == ids[:2]
            with pytest.raises(UnreadableError):
                await uow.agents.find_all(limit=3)
            assert [agent.id for agent in await uow.agents.find_all(after=ids[2])] == ids[3:]
        assert uow.committed is True


@pytest.mark.parametrize("text", ["{", "[" * 5000])
async def test_a_row_that_cannot_be_read_can_be_changed_all_the_same(path: Path, text: str) -> None:
    async with Store(path) as store:
        await add_agent(store, id="a")
        raw = sqlite3.connect(path, isolation_level=None)
        raw.execute("UPDATE agents SET result = ?, name = CAST(x'ff41' AS TEXT)", [text])
        with pytest.raises(UnreadableError):
            await store.agents.update("a", status="crashed")
        assert raw.execute("SELECT status FROM agents").fetchone() == ("crashed",)
        async with store.unit_of_work() as uow:
            with pytest.raises(UnreadableError):
                await uow.agents.update("a", status="stopped")
            await add_initiative(uow, id="i")
        assert uow.committed is True
        assert raw.execute("SELECT status FROM agents").fetchone() == ("stopped",)
        assert await store.initiatives.find_by_id("i") is not None
        mended = await store.agents.update("a", result=None, name="mended")
        assert await store.agents.find_by_id("a") == mended
        raw.close()


@needs_server
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("user_dismissed_at", "'infinity'"),
        ("user_dismissed_at", "'-infinity'"),
        ("user_dismissed_at", "'20000-01-01'"),
        ("user_dismissed_at", "'0044-03-15 BC'"),
        ("result", "repeat('1', 5000)::jsonb"),
        ("result", "(repeat('[', 11000) || repeat(']', 11000))::jsonb"),
        ("result", "'1e400'::jsonb"),
    ],
)
async def test_what_a_server_takes_and_python_does_not_is_unreadable(
    database: str, column: str, value: str
) -> None:
    async with Store(database) as store:
        await add_agent(store, id="a")
        await add_agent(store, id="b")
        async with store.unit_of_work() as uow:
            await uow.session.execute(
                sa.text(f"UPDATE agents SET {column} = {value} WHERE id = 'a'")
            )
        async with store.unit_of_work() as uow:
            with pytest.raises(UnreadableError) as raised:
                await uow.agents.find_by_id("a")
            assert raised.value.table == "agents"
            with pytest.raises(UnreadableError):
                await uow.agents.update("a", status="crashed")
            assert (await uow.agents.update("b", status="running")).status == "running"
        assert uow.committed is True
        async with store.unit_of_work(read_only=True) as uow:
            found = await uow.session.execute(sa.text("SELECT status FROM agents WHERE id = 'a'"))
            assert found.scalar_one() == "crashed"


@needs_server
async def test_a_row_of_a_claim_that_cannot_be_read_is_told_by_its_table(database: str) -> None:
    """And not by the name that the statement has for what it returns."""
    async with Store(database) as store:
        for id in ("claimed", "next"):
            await store.tasks.create(id=id, name=id)
        claim = await store.claims.take(
            "claimed", holder="host-1", worktree_id="trees/one", provider=None
        )
        async with store.unit_of_work() as uow:
            await uow.session.execute(sa.text("UPDATE tasks SET created_at = 'infinity'"))
        with pytest.raises(UnreadableError) as of_next:
            await store.claims.next(holder="host-1", worktree_id="trees/two", provider=None)
        with pytest.raises(UnreadableError) as of_end:
            await store.claims.complete(claim)
        told = [(raised.value.table, raised.value.id) for raised in (of_next, of_end)]
        assert told == [("tasks", "next"), ("tasks", "claimed")]


# --- secrets under another key ----------------------------------------------------------------

KEY, OTHER = Fernet.generate_key(), Fernet.generate_key()


async def two_and_one_under_another_key(database: str) -> None:
    async with Store(database, encryption_keys=[OTHER]) as store:
        await add_account(store, id="bad", credentials="secret", sort_order=-1)
    async with Store(database, encryption_keys=[KEY]) as store:
        for id in ("ada", "bea"):
            await add_account(store, id=id, credentials="secret")


@in_both_ways
@alone_and_on_a_server
async def test_an_account_under_another_key_is_listed_and_its_secret_is_an_error(
    database: str,
) -> None:
    await two_and_one_under_another_key(database)
    async with Store(database, encryption_keys=[KEY]) as store:
        for call in (
            store.accounts.find_all(),
            store.accounts.find_by_provider("claude"),
            store.accounts.find_by_email("ada@example.org"),
        ):
            accounts = await call
            assert [account.id for account in accounts] == ["bad", "ada", "bea"]
            assert [account.credentials for account in accounts[1:]] == ["secret", "secret"]
            bad = accounts[0]
            assert isinstance(bad, Account) and repr(bad).startswith("Account(id='bad'")
            assert (bad.email, bad.sort_order, bad.config_json) == ("ada@example.org", -1, None)
            for read in (attrgetter("credentials"), copy.copy, hash):
                with pytest.raises(UnreadableError) as raised:
                    read(bad)
                facts = (raised.value.table, raised.value.id, raised.value.column)
                assert facts == ("accounts", "bad", "credentials")
        with pytest.raises(UnreadableError) as raised:
            await store.accounts.find_by_id("bad")
        assert (raised.value.id, raised.value.column) == ("bad", "credentials")
        with pytest.raises(UnreadableError, match="bad"):
            await store.rekey()


@alone_and_on_a_server
async def test_an_account_under_another_key_stops_neither_the_rotation_nor_its_own_changes(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    await two_and_one_under_another_key(database)
    async with Store(database, encryption_keys=[KEY]) as store:
        async with store.unit_of_work() as uow:
            claims = [await uow.accounts.find_next_available() for _ in range(4)]
        assert [claimed and claimed.id for claimed in claims] == ["ada", "bea", "ada", "bea"]
        assert uow.committed is True
        assert "bad" in caplog.text and "secret" not in caplog.text
        assert (await store.accounts.mark_exhausted("bad")).is_exhausted
        caplog.clear()
        claims = [await store.accounts.find_next_available() for _ in range(4)]
        assert [claimed and claimed.id for claimed in claims] == ["ada", "bea", "ada", "bea"]
        assert caplog.text == ""
        assert not (await store.accounts.mark_available("bad")).is_exhausted
        assert (await store.accounts.update("bad", sort_order=5)).sort_order == 5
        for id in ("ada", "bea"):
            await store.accounts.mark_exhausted(id)
        with pytest.raises(UnreadableError, match="bad"):
            await store.accounts.find_next_available()
        mended = await store.accounts.update("bad", credentials="new")
        assert await store.accounts.find_by_id("bad") == mended
        claimed = await store.accounts.find_next_available()
        assert claimed is not None and claimed.credentials == "new"


@in_both_ways
async def test_an_account_that_another_program_spoilt_is_passed_by_too(path: Path) -> None:
    async with Store(path) as store:
        for id in ("bad", "ada"):
            await add_account(store, id=id, sort_order=(id == "ada" and 1) or 0)
        raw = sqlite3.connect(path, isolation_level=None)
        raw.execute("UPDATE accounts SET last_used_at = 9223372036854775807 WHERE id = 'ada'")
        claimed = await store.accounts.find_next_available()
        assert claimed is not None and claimed.id == "bad"
        raw.execute("UPDATE accounts SET email = x'61' WHERE id = 'bad'")
        for _ in range(3):
            claimed = await store.accounts.find_next_available()
            assert claimed is not None and claimed.id == "ada"
            assert claimed.last_used_at is not None and claimed.last_used_at.year < 3000
        raw.close()


async def test_an_unreadable_error_says_nothing_of_the_value(path: Path) -> None:
    async with Store(path) as store:
        await add_account(store, id="a")
        agent = await add_agent(store)
        raw = sqlite3.connect(path, isolation_level=None)
        raw.execute("UPDATE accounts SET credentials = CAST(x'7333637233742dff' AS TEXT)")
        raw.execute("UPDATE agents SET result = '{s3cr3t'")
        raw.close()
        for call, column in (
            (store.accounts.find_by_id("a"), "credentials"),
            (store.agents.find_by_id(agent.id), "result"),
        ):
            with pytest.raises(UnreadableError) as raised:
                await call
            assert raised.value.column == column
            chain: BaseException | None = raised.value
            while chain is not None:
                assert "s3cr3t" not in str(chain)
                chain = chain.__cause__
        with pytest.raises(StoreError):
            await store.accounts.find_by_id("a")
