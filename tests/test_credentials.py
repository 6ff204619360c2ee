"""Credentials at rest."""

import base64
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from builders import add_account
from cw_store import Store, StoreError, UnreadableError
from cw_store.credentials import KEYS_VARIABLE

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
