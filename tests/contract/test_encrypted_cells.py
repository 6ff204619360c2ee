"""Secrets that are encrypted, each bound to its row and its column."""

from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import insert, select, text

from builders import add_account
from cw_store import Account, Store, StoreError, UnreadableError
from cw_store.schema import accounts

SECRET = '{"token": "s3cr3t-\N{SNOWMAN}"}'
KEY, OTHER = Fernet.generate_key(), Fernet.generate_key().decode()
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
