"""`store.run`: a unit of work that is repeated as a whole where that can help."""

import asyncio
from typing import Any

import pytest
from cryptography.fernet import Fernet

from cw_store import AlreadyExistsError, Initiative, Store, StoreBusyError, StoreError, UnitOfWork


async def test_run_returns_what_the_work_returns_and_commits_it(store: Store) -> None:
    async def work(uow: UnitOfWork) -> Initiative:
        return await uow.initiatives.create(name="kept")

    stored = await store.run(work)
    assert await store.initiatives.find_by_id(stored.id) == stored


async def test_what_gave_way_to_others_is_repeated_as_a_whole(store: Store) -> None:
    calls = 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal calls
        calls += 1
        await uow.initiatives.create(name=f"call {calls}")
        if calls < 3:
            raise StoreBusyError("another was in the way")

    await store.run(work)
    assert [one.name for one in await store.initiatives.find_all()] == ["call 3"]


async def test_after_the_last_attempt_the_error_is_raised(store: Store) -> None:
    calls = 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal calls
        calls += 1
        raise StoreBusyError("another was in the way")

    with pytest.raises(StoreBusyError, match="in the way"):
        await store.run(work, attempts=2)
    assert calls == 2
    with pytest.raises(ValueError, match="attempts"):
        await store.run(work, attempts=0)


async def test_run_takes_the_function_and_not_its_coroutine(store: Store) -> None:
    async def work(uow: UnitOfWork) -> None:
        raise AssertionError("it is not to be called")

    async with store.unit_of_work() as uow:
        coroutine: Any = work(uow)
        with pytest.raises(TypeError, match=r"takes the function .* not coroutine"):
            await store.run(coroutine)
        coroutine.close()


async def test_what_no_repetition_can_help_is_raised_at_once(store: Store) -> None:
    calls = 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal calls
        calls += 1
        await uow.initiatives.create(id="one", name="a")
        await uow.initiatives.create(id="one", name="b")

    with pytest.raises(AlreadyExistsError):
        await store.run(work)
    assert calls == 1
    assert await store.initiatives.find_all() == []


async def test_rekey_encrypts_everything_under_the_first_key(lasting_database: str) -> None:
    old, new = Fernet.generate_key(), Fernet.generate_key()
    async with Store(lasting_database, encryption_keys=(old,)) as store:
        for number in range(5):
            await store.accounts.create(
                email=f"{number}@example.com", credentials=f"secret {number}", config_json=None
            )
    async with Store(lasting_database, encryption_keys=(new, old)) as store:
        assert await store.rekey(batch_rows=2) == 5
    async with Store(lasting_database, encryption_keys=(new,)) as store:
        found = await store.accounts.find_all()
        assert [one.credentials for one in found] == [f"secret {number}" for number in range(5)]
    async with Store(lasting_database, encryption_keys=(old,)) as store:
        (first, *_) = await store.accounts.find_all()
        with pytest.raises(StoreError, match="key"):
            await store.accounts.find_by_id(first.id)


async def test_rekey_goes_on_although_accounts_are_deleted_meanwhile(database: str) -> None:
    deleted = asyncio.Event()
    async with Store(database, encryption_keys=(Fernet.generate_key(),)) as store:
        for number in range(20):
            await store.accounts.create(id=f"{number:02}", email="a@x", credentials="secret")

        async def delete() -> None:
            for number in range(0, 20, 2):
                await store.accounts.delete(f"{number:02}")
            deleted.set()

        _, changed = await asyncio.gather(delete(), store.rekey(batch_rows=1))
        assert deleted.is_set() and 10 <= changed <= 20
        await store.accounts.create(email="b@x")
        assert await store.rekey() == 10, "an account without secrets has nothing to encrypt"
        with pytest.raises(ValueError, match="batch_rows"):
            await store.rekey(batch_rows=0)


async def test_rekey_without_keys_changes_nothing(store: Store) -> None:
    await store.accounts.create(email="a@example.com", credentials="plain")
    assert await store.rekey() == 0
