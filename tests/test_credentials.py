"""Credentials at rest."""

import base64
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import insert, select, text

from builders import add_account
from cw_store import Account, Store, StoreError, UnreadableError
from cw_store.credentials import KEYS_VARIABLE
from cw_store.schema import accounts

SECRET = '{"token": "s3cr3t-\N{SNOWMAN}"}'
KEY, OTHER = Fernet.generate_key(), Fernet.generate_key().decode()


@pytest.fixture(autouse=True)
def no_keys_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cw.db"


def stored(path: Path) -> list[str]:
    """What somebody who reads the file sees."""
    other = sqlite3.connect(path)
    rows = other.execute("SELECT config_json, credentials FROM accounts").fetchall()
    other.close()
    return [value for row in rows for value in row if value is not None]


def in_the_file(path: Path, what: bytes) -> bool:
    return what in path.read_bytes()


async def test_with_keys_nothing_readable_is_stored(path: Path) -> None:
    async with Store(path, encryption_keys=[KEY]) as store:
        account = await add_account(store, credentials=SECRET, config_json=SECRET)
        assert account.credentials == account.config_json == SECRET
        assert await store.accounts.find_by_id(account.id) == account
    values = stored(path)
    assert len(set(values)) == 2
    assert not any("s3cr3t" in value for value in values)
    assert not in_the_file(path, b"s3cr3t")


async def test_it_is_encrypted_anew_by_update_and_by_every_kind_of_write(path: Path) -> None:
    async with Store(path, encryption_keys=[KEY]) as store:
        account = await add_account(store)
        changed = await store.accounts.update(account.id, credentials=SECRET)
        assert changed.credentials == SECRET
        async with store.unit_of_work() as uow:
            claimed = await uow.accounts.find_next_available()
            assert claimed is not None and claimed.credentials == SECRET
    assert not any("s3cr3t" in value for value in stored(path))


async def test_the_first_key_encrypts_and_all_decrypt(path: Path) -> None:
    async with Store(path, encryption_keys=[KEY]) as store:
        account = await add_account(store, credentials=SECRET)
    async with Store(path, encryption_keys=[OTHER, KEY]) as store:
        found = await store.accounts.find_by_id(account.id)
        assert found is not None and found.credentials == SECRET
        await store.accounts.update(account.id, credentials=SECRET)
    async with Store(path, encryption_keys=[OTHER]) as store:
        found = await store.accounts.find_by_id(account.id)
        assert found is not None and found.credentials == SECRET


async def test_the_keys_may_come_from_the_environment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, f" {OTHER} ,{KEY.decode()}, ")
    async with Store(path) as store:
        account = await add_account(store, credentials=SECRET)
    monkeypatch.delenv(KEYS_VARIABLE)
    async with Store(path, encryption_keys=[OTHER]) as store:
        found = await store.accounts.find_by_id(account.id)
        assert found is not None and found.credentials == SECRET


@pytest.mark.parametrize("keys", [(OTHER,), ()])
async def test_without_the_right_key_reading_is_an_error_that_gives_nothing_away(
    path: Path, keys: tuple[str, ...]
) -> None:
    async with Store(path, encryption_keys=[KEY]) as store:
        account = await add_account(store, credentials=SECRET)
    (ciphertext,) = stored(path)
    async with Store(path, encryption_keys=keys) as store:
        (listed,) = await store.accounts.find_all()
        with pytest.raises(UnreadableError, match="encrypt") as found:
            await store.accounts.find_by_id(account.id)
        with pytest.raises(UnreadableError, match="encrypt") as looked_at:
            _secret = listed.credentials
        for raised in (found, looked_at):
            chain: BaseException | None = raised.value
            while chain is not None:
                told = f"{chain} {chain!r}"
                assert SECRET not in told and ciphertext.removeprefix("cw-store:") not in told
                assert KEY.decode() not in told and OTHER not in told
                chain = chain.__cause__ or chain.__context__


@pytest.mark.parametrize("keys", [(), (KEY,)])
@pytest.mark.parametrize(
    "text",
    [
        "cw-store:",
        "cw-store:fernet:gAAAAAB",
        "cw-store:plain:x",
        "cw-store:plain:cw-store:plain:",
        "",
        "gAAAAAB",
        "\N{SNOWMAN}" * 100,
    ],
)
async def test_text_comes_back_byte_for_byte_whatever_it_looks_like(
    path: Path, text: str, keys: tuple[Any, ...]
) -> None:
    async with Store(path, encryption_keys=keys) as store:
        account = await add_account(store, credentials=text, config_json=text)
        found = await store.accounts.find_by_id(account.id)
        assert found is not None
        assert (found.credentials, found.config_json) == (text, text)


async def test_plain_text_is_read_by_a_store_that_now_has_keys(path: Path) -> None:
    async with Store(path) as store:
        account = await add_account(store, credentials=SECRET, config_json="cw-store:fernet:x")
    async with Store(path, encryption_keys=[KEY]) as store:
        assert await store.accounts.find_by_id(account.id) == account


async def test_without_keys_each_store_says_once_that_credentials_are_readable(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Store(":memory:") as store:
        await add_account(store)
        assert caplog.records == []
        for _ in range(3):
            await add_account(store, credentials=SECRET)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("cw_store.credentials", logging.WARNING)
    assert "unencrypted" in record.getMessage()
    assert SECRET not in record.getMessage()


async def test_with_keys_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async with Store(":memory:", encryption_keys=[KEY]) as store:
        await add_account(store, credentials=SECRET)
    assert caplog.records == []


@pytest.mark.parametrize(
    "key", ["s3cr3t", b"", "s3cr3t-\N{SNOWMAN}", base64.urlsafe_b64encode(b"s" * 31)]
)
def test_what_is_no_key_is_refused_without_being_shown(key: str | bytes) -> None:
    with pytest.raises(ValueError, match="Fernet keys") as raised:
        Store(":memory:", encryption_keys=[key])
    assert "s3cr3t" not in str(raised.value)


def test_one_key_in_place_of_a_list_is_refused() -> None:
    with pytest.raises((ValueError, TypeError)):
        Store(":memory:", encryption_keys=OTHER)
    with pytest.raises((ValueError, TypeError)):
        Store(":memory:", encryption_keys=KEY)  # pyright: ignore[reportArgumentType] -- on purpose


async def test_keys_and_credentials_are_shown_by_no_repr() -> None:
    async with Store(":memory:", encryption_keys=[KEY]) as store:
        account = await add_account(store, credentials=SECRET, config_json=SECRET)
        assert "s3cr3t" not in repr(account)
        assert "s3cr3t" not in str(account)
        assert KEY.decode() not in repr(store)
        with pytest.raises(StoreError) as raised:
            await add_account(store, id=account.id, credentials=SECRET)
        assert "s3cr3t" not in f"{raised.value!r} {raised.value} {raised.value.__cause__!r}"
        with pytest.raises(StoreError) as raised:
            await add_account(store, credentials=SECRET + "\0")
        assert "s3cr3t" not in f"{raised.value!r} {raised.value}"


# --- bound to row and column ------------------------------------------------------------------

with_keys = pytest.mark.store_settings(encryption_keys=[KEY])
ENCRYPTED = ("credentials", "config_json")


async def raw(store: Store, sql: str, **values: object) -> None:
    """Change what is stored, as somebody would who can write to the database and has no key."""
    async with store.unit_of_work() as uow:
        await uow.session.execute(text(sql), values)


async def cell(store: Store, id: str, column: str) -> str:
    """What is stored there, as it is."""
    async with store.unit_of_work() as uow:
        found = await uow.session.execute(
            text(f"SELECT {column} FROM accounts WHERE id = :id"), {"id": id}
        )
        return found.scalar_one()


async def two(store: Store) -> tuple[Account, Account]:
    return (
        await add_account(store, id="ada", credentials="ada's token", config_json="ada's"),
        await add_account(store, id="bea", credentials="bea's token", config_json="bea's"),
    )


@with_keys
async def test_what_is_encrypted_begins_with_its_mark_and_differs_each_time(store: Store) -> None:
    await two(store)
    before = await cell(store, "ada", "credentials")
    assert before.startswith("cw-store:bound:")
    await store.accounts.update("ada", credentials="ada's token")
    assert await cell(store, "ada", "credentials") != before


@with_keys
@pytest.mark.parametrize("mark", ["cw-store:bound:", "cw-store:fernet:"])
@pytest.mark.parametrize("column", ENCRYPTED)
@pytest.mark.parametrize(
    ("source", "other"), [("bea", "credentials"), ("bea", "config_json"), ("ada", None)]
)
async def test_an_encrypted_text_in_another_cell_is_not_read(
    store: Store, mark: str, column: str, source: str, other: str | None
) -> None:
    _, bea = await two(store)
    other = other or next(name for name in ENCRYPTED if name != column)
    taken = (await cell(store, source, other)).removeprefix("cw-store:bound:")
    await raw(store, f"UPDATE accounts SET {column} = :text WHERE id = 'ada'", text=mark + taken)
    with pytest.raises(UnreadableError) as raised:
        await store.accounts.find_by_id("ada")
    error = raised.value
    assert (error.table, error.id, error.column) == ("accounts", "ada", column)
    assert "token" not in f"{error!r} {error}" and taken not in f"{error!r} {error}"
    assert await store.accounts.find_by_id("bea") == bea
    listed, _ = await store.accounts.find_all()
    with pytest.raises(UnreadableError):
        getattr(listed, column)


@with_keys
async def test_a_row_that_takes_another_ones_id_is_not_read(store: Store) -> None:
    await two(store)
    await raw(store, "DELETE FROM accounts WHERE id = 'bea'")
    await raw(store, "UPDATE accounts SET id = 'bea' WHERE id = 'ada'")
    with pytest.raises(UnreadableError, match="another row"):
        await store.accounts.find_by_id("bea")


@with_keys
async def test_every_way_to_an_account_knows_whose_secrets_they_are(store: Store) -> None:
    ada, bea = await two(store)
    assert await store.accounts.find_all() == [ada, bea]
    assert await store.accounts.find_by_email(ada.email) == [ada, bea]
    assert await store.accounts.find_by_provider(ada.provider) == [ada, bea]
    secrets: list[tuple[str | None, ...]] = []
    for _ in range(2):
        claimed = await store.accounts.find_next_available()
        assert claimed is not None
        secrets.append((claimed.id, claimed.credentials, claimed.config_json))
    assert sorted(secrets) == [
        ("ada", "ada's token", "ada's"),
        ("bea", "bea's token", "bea's"),
    ]
    marked = await store.accounts.mark_exhausted("ada")
    assert (marked.credentials, marked.config_json) == ("ada's token", "ada's")


@with_keys
@pytest.mark.parametrize("id", ["", "a\0b", "\ud800", 5])
async def test_an_id_that_is_refused_is_refused_with_secrets_too(store: Store, id: Any) -> None:
    with pytest.raises(StoreError, match="id") as raised:
        await add_account(store, id=id, credentials=SECRET)
    assert "s3cr3t" not in f"{raised.value!r} {raised.value}"
    with pytest.raises(StoreError) as raised:
        await store.accounts.update(id, credentials=SECRET)
    assert "s3cr3t" not in f"{raised.value!r} {raised.value}"


@with_keys
async def test_what_an_older_version_encrypted_is_read_and_bound_by_rekey(store: Store) -> None:
    ada, _ = await two(store)
    old = "cw-store:fernet:" + Fernet(KEY).encrypt(SECRET.encode()).decode()
    await raw(store, "UPDATE accounts SET credentials = :old WHERE id = 'ada'", old=old)
    found = await store.accounts.find_by_id("ada")
    assert found is not None and found.credentials == SECRET
    assert await store.rekey() == 2
    assert (await cell(store, "ada", "credentials")).startswith("cw-store:bound:")
    again = await store.accounts.find_by_id("ada")
    assert again == found, "the record is the same, updated_at included"
    assert found.config_json == ada.config_json


@with_keys
async def test_a_statement_of_the_applications_own_writes_what_rekey_binds(store: Store) -> None:
    bea = await add_account(store, id="bea", credentials=SECRET)
    own = {**{name: getattr(bea, name) for name in accounts.columns.keys() if hasattr(bea, name)}}
    async with store.unit_of_work() as uow:
        await uow.session.execute(insert(accounts).values(**{**own, "id": "ada"}))
        query = select(accounts.c.credentials).order_by(accounts.c.id)
        ada_read, bea_read = (await uow.session.scalars(query)).all()
        assert ada_read == SECRET
        assert str(bea_read).startswith("cw-store:bound:"), "as it is stored"
    assert SECRET not in await cell(store, "ada", "credentials")
    found = await store.accounts.find_by_id("ada")
    assert found is not None and found.credentials == SECRET
    await store.rekey()
    assert (await cell(store, "ada", "credentials")).startswith("cw-store:bound:")


@with_keys
async def test_rekey_encrypts_all_others_anew_before_it_names_what_it_cannot_read(
    store: Store,
) -> None:
    for number in range(6):
        await add_account(store, id=f"{number}", credentials=SECRET, config_json=SECRET)
    lost = "cw-store:bound:" + Fernet(OTHER).encrypt(b"lost").decode()
    await raw(store, "UPDATE accounts SET credentials = :lost WHERE id IN ('1', '4')", lost=lost)
    await raw(store, "UPDATE accounts SET config_json = :plain", plain=SECRET)
    with pytest.raises(UnreadableError) as raised:
        await store.rekey(batch_rows=2)
    assert (raised.value.id, raised.value.column) == ("1", "credentials")
    (note,) = raised.value.__notes__
    assert "row '4'" in note
    for number in range(6):
        assert (await cell(store, f"{number}", "config_json")).startswith("cw-store:bound:")
    assert await cell(store, "4", "credentials") == lost, "what cannot be read is left as it is"
    await store.accounts.delete("1")
    await store.accounts.delete("4")
    assert await store.rekey() == 4
