"""The accounts: rotation, exhaustion, and secrets that stay secret."""

import asyncio
import traceback
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from builders import add_account, add_agent
from cw_store import (
    Account,
    AlreadyExistsError,
    InvalidValueError,
    NotFoundError,
    Store,
)
from cw_store.testing import SteppableClock


async def claim(store: Store, provider: str = "claude") -> str | None:
    """Claim the next account in a unit of work of its own; its id."""
    async with store.unit_of_work() as uow:
        account = await uow.accounts.find_next_available(provider)
    return None if account is None else account.id


async def test_a_new_account_is_for_claude_unused_and_available(store: Store) -> None:
    async with store.unit_of_work() as uow:
        account = await uow.accounts.create(email="ada@example.org")
    assert (account.email, account.provider) == ("ada@example.org", "claude")
    assert (account.config_json, account.credentials) == (None, None)
    assert account.is_exhausted is False
    assert (account.exhausted_until, account.last_used_at) == (None, None)
    assert account.sort_order == 0


async def test_accounts_are_found_by_address_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        last = await add_account(uow, id="z", email="ada@example.org")
        first = await add_account(uow, id="a", email="ada@example.org", provider="codex")
        await add_account(uow, email="Ada@example.org")
        assert await uow.accounts.find_by_email("ada@example.org") == [last, first]
        for other in ("ada@example", "ada%", "a_a@example.org", ""):
            assert await uow.accounts.find_by_email(other) == []


async def test_accounts_are_found_by_provider_exhausted_ones_included(store: Store) -> None:
    async with store.unit_of_work() as uow:
        last = await add_account(uow, id="z")
        await add_account(uow, id="m", provider="codex")
        await add_account(uow, id="a")
        first = await uow.accounts.mark_exhausted("a")
        assert await uow.accounts.find_by_provider("claude") == [last, first]
        assert await uow.accounts.find_by_provider("Claude") == []
        assert await uow.accounts.find_by_provider("") == []


async def test_an_account_outlives_its_agents(store: Store) -> None:
    async with store.unit_of_work() as uow:
        account = await add_account(uow)
        agent = await add_agent(uow, account_id=account.id)
        await uow.agents.delete(agent.id)
        assert await uow.accounts.find_by_id(account.id) == account


# --- rotation ---------------------------------------------------------------------------------


async def test_a_claim_stamps_the_account_and_returns_it(
    store: Store, clock: SteppableClock
) -> None:
    account = await add_account(store)
    clock.advance(60)
    async with store.unit_of_work() as uow:
        claimed = await uow.accounts.find_next_available()
    assert claimed is not None
    assert claimed.id == account.id
    assert claimed.last_used_at is not None
    assert abs(claimed.last_used_at - clock.now) < timedelta(seconds=1)
    assert await store.accounts.find_by_id(account.id) == claimed


async def test_accounts_that_were_never_used_come_first_by_sort_order_then_id(
    store: Store, clock: SteppableClock
) -> None:
    async with store.unit_of_work() as uow:
        await add_account(uow, id="used", last_used_at=clock.after(-1e9), sort_order=-9)
        await add_account(uow, id="b", sort_order=1)
        await add_account(uow, id="c")
        await add_account(uow, id="B", sort_order=1)
        await add_account(uow, id="a", sort_order=1)
    assert [await claim(store) for _ in range(6)] == ["c", "B", "a", "b", "used", "c"]


async def test_the_least_recently_used_account_comes_next(
    store: Store, clock: SteppableClock
) -> None:
    async with store.unit_of_work() as uow:
        await add_account(uow, id="recent", last_used_at=clock.after(-10), sort_order=-1)
        await add_account(uow, id="tie-b", last_used_at=clock.after(-50), sort_order=1)
        await add_account(uow, id="tie-a", last_used_at=clock.after(-50), sort_order=1)
        await add_account(uow, id="tie-0", last_used_at=clock.after(-50), sort_order=0)
        await add_account(uow, id="oldest", last_used_at=clock.after(-99), sort_order=5)
    expected = ["oldest", "tie-0", "tie-a", "tie-b", "recent"]
    assert [await claim(store) for _ in range(10)] == expected * 2


async def test_each_provider_rotates_on_its_own(store: Store) -> None:
    async with store.unit_of_work() as uow:
        for id in ("a", "b"):
            await add_account(uow, id=id)
        await add_account(uow, id="x", provider="codex")
    assert [await claim(store) for _ in range(3)] == ["a", "b", "a"]
    assert [await claim(store, "codex") for _ in range(2)] == ["x", "x"]
    assert await claim(store) == "b"
    assert await claim(store, "unknown") is None


async def test_there_is_no_account_to_claim_when_there_is_none(store: Store) -> None:
    assert await claim(store) is None
    assert await store.accounts.find_next_available() is None


async def test_claims_within_one_unit_of_work_rotate(store: Store) -> None:
    async with store.unit_of_work() as uow:
        for id in "abc":
            await add_account(uow, id=id)
        claims = [await uow.accounts.find_next_available() for _ in range(6)]
    assert [account and account.id for account in claims] == list("abcabc")


async def test_a_claim_that_is_rolled_back_was_none(store: Store) -> None:
    for id in "ab":
        await add_account(store, id=id)
    async with store.unit_of_work() as uow:
        claimed = await uow.accounts.find_next_available()
        assert claimed is not None and claimed.id == "a"
        await uow.rollback()
    assert await claim(store) == "a"


@pytest.mark.parametrize("step", [0, -1, -86_400, 60], ids=["still", "back", "day", "on"])
async def test_claims_rotate_whatever_the_clock_does(
    store: Store, clock: SteppableClock, step: float
) -> None:
    for id in "abc":
        await add_account(store, id=id)
    claims: list[str | None] = []
    for _ in range(12):
        claims.append(await claim(store))
        clock.advance(step)
    assert claims == list("abc") * 4


async def test_an_account_that_was_used_in_the_future_does_not_stop_the_rotation(
    store: Store, clock: SteppableClock
) -> None:
    await add_account(store, id="ahead", last_used_at=clock.after(86_400))
    await add_account(store, id="other")
    claims = [await claim(store) for _ in range(7)]
    assert claims == ["other", "ahead"] * 3 + ["other"]


async def test_two_claimants_never_share_an_account(store: Store) -> None:
    for _ in range(8):
        await add_account(store)
    for _ in range(5):
        claims = await asyncio.gather(*(claim(store) for _ in range(8)))
        assert len(set(claims)) == 8


async def test_concurrent_claims_rotate_evenly(store: Store) -> None:
    for _ in range(3):
        await add_account(store)
    calls = [claim(store) for _ in range(10)]
    accounts = await asyncio.gather(*(store.accounts.find_next_available() for _ in range(10)))
    claims = Counter(await asyncio.gather(*calls))
    claims.update(account.id for account in accounts if account)
    assert claims.total() == 20
    assert sorted(claims.values()) == [6, 7, 7]


# --- exhaustion -------------------------------------------------------------------------------


async def test_an_exhausted_account_is_not_claimed_until_its_time_has_passed(
    store: Store, clock: SteppableClock
) -> None:
    for id in "ab":
        await add_account(store, id=id)
    until = clock.after(60)
    async with store.unit_of_work() as uow:
        account = await uow.accounts.mark_exhausted("a", until)
    assert (account.is_exhausted, account.exhausted_until) == (True, until)
    assert await store.accounts.find_by_id("a") == account
    assert [await claim(store) for _ in range(3)] == ["b", "b", "b"]
    clock.advance(59)
    assert await claim(store) == "b"
    clock.advance(2)
    assert [await claim(store) for _ in range(4)] == ["a", "b", "a", "b"]


async def test_an_account_exhausted_without_a_time_waits_for_mark_available(
    store: Store, clock: SteppableClock
) -> None:
    await add_account(store, id="a")
    account = await store.accounts.mark_exhausted("a")
    assert (account.is_exhausted, account.exhausted_until) == (True, None)
    assert await claim(store) is None
    clock.advance(10 * 365 * 86_400)
    assert await claim(store) is None
    async with store.unit_of_work() as uow:
        assert await uow.accounts.clear_expired_exhaustion() == 0
        account = await uow.accounts.mark_available("a")
    assert (account.is_exhausted, account.exhausted_until) == (False, None)
    assert await store.accounts.find_by_id("a") == account
    assert await claim(store) == "a"


async def test_none_is_claimed_when_all_are_exhausted(store: Store, clock: SteppableClock) -> None:
    for id in "ab":
        await add_account(store, id=id)
        await store.accounts.mark_exhausted(id, clock.after(60))
    assert await claim(store) is None
    assert [account.last_used_at for account in await store.accounts.find_all()] == [None, None]


async def test_a_mark_never_shortens_an_earlier_one(store: Store, clock: SteppableClock) -> None:
    async with store.unit_of_work() as uow:
        created = await add_account(uow, id="a")
        for seconds, kept in ((60, 60), (30, 60), (90, 90), (None, None), (5, None), (None, None)):
            until = None if seconds is None else clock.after(seconds)
            account = await uow.accounts.mark_exhausted("a", until)
            expected = None if kept is None else clock.after(kept)
            assert (account.is_exhausted, account.exhausted_until) == (True, expected)
        assert account.updated_at > created.updated_at
        available = await uow.accounts.mark_available("a")
        assert available.updated_at > account.updated_at
        assert (available.is_exhausted, available.exhausted_until) == (False, None)
        account = await uow.accounts.mark_exhausted("a", clock.after(5))
        assert account.exhausted_until == clock.after(5)
    assert await store.accounts.find_by_id("a") == account


async def test_a_mark_that_is_over_is_no_stronger_than_a_new_one(
    store: Store, clock: SteppableClock
) -> None:
    await add_account(store, id="a", exhausted_until=clock.after(900))
    account = await store.accounts.mark_exhausted("a", clock.after(60))
    assert account.exhausted_until == clock.after(60)
    clock.advance(60)
    account = await store.accounts.mark_exhausted("a", clock.after(-5))
    assert account.exhausted_until == clock.after(-5)
    assert await claim(store) == "a"


async def test_marks_that_come_at_once_leave_the_strongest(
    store: Store, clock: SteppableClock
) -> None:
    times = [clock.after(60 * number) for number in range(1, 9)]
    for marks, strongest in ((times, times[-1]), ([*times, None], None)):
        account = await add_account(store)
        calls = [store.accounts.mark_exhausted(account.id, until) for until in marks]
        await asyncio.gather(*calls[4:], *calls[:4])
        found = await store.accounts.find_by_id(account.id)
        assert found is not None and found.exhausted_until == strongest


async def test_a_claimed_account_whose_rest_is_over_is_not_exhausted(
    store: Store, clock: SteppableClock
) -> None:
    await add_account(store, id="a")
    await store.accounts.mark_exhausted("a", clock.after(60))
    clock.advance(61)
    claimed = await store.accounts.find_next_available()
    assert claimed is not None and claimed.is_exhausted is False
    assert await store.accounts.find_by_id("a") == claimed
    # The time stays until it is cleared, and means nothing any more.
    assert claimed.exhausted_until == clock.after(-1)
    assert await store.accounts.clear_expired_exhaustion() == 1


async def test_an_account_exhausted_until_a_past_time_can_be_claimed(
    store: Store, clock: SteppableClock
) -> None:
    await add_account(store, id="a")
    await store.accounts.mark_exhausted("a", clock.after(-1))
    assert await claim(store) == "a"


async def test_an_account_may_be_created_exhausted(store: Store, clock: SteppableClock) -> None:
    await add_account(store, id="a", is_exhausted=True, exhausted_until=clock.after(60))
    assert await claim(store) is None
    clock.advance(61)
    assert await claim(store) == "a"


async def test_expired_exhaustion_is_cleared_and_counted(
    store: Store, clock: SteppableClock
) -> None:
    async with store.unit_of_work() as uow:
        for id in ("soon", "later", "never", "codex", "free"):
            await add_account(uow, id=id, provider="codex" if id == "codex" else "claude")
        for id, seconds in (("soon", 10), ("later", 1_000), ("codex", 20)):
            await uow.accounts.mark_exhausted(id, clock.after(seconds))
        await uow.accounts.mark_exhausted("never")
        free = await uow.accounts.find_by_id("free")
        assert await uow.accounts.clear_expired_exhaustion() == 0
    clock.advance(100)
    async with store.unit_of_work() as uow:
        assert await uow.accounts.clear_expired_exhaustion() == 2
        found = {account.id: account for account in await uow.accounts.find_all()}
        for id in ("soon", "codex", "free"):
            assert (found[id].is_exhausted, found[id].exhausted_until) == (False, None)
        for id in ("later", "never"):
            assert found[id].is_exhausted is True
        assert found["free"] == free
        assert await uow.accounts.clear_expired_exhaustion() == 0


async def test_marks_on_an_unknown_account_are_not_found(store: Store) -> None:
    async with store.unit_of_work() as uow:
        for call in (uow.accounts.mark_exhausted, uow.accounts.mark_available):
            with pytest.raises(NotFoundError) as caught:
                await call("unknown")
            assert (caught.value.table, caught.value.id) == ("accounts", "unknown")


# --- secrets ----------------------------------------------------------------------------------

SECRET = '{"token": "sk-VERY-secret",\t"n": 1.0 }\r\n ä\u0308 \U0001f600 \\ \' "'
MARK = "sk-VERY-secret"


def told(error: BaseException) -> str:
    """Return all that a log would show of the error, causes included."""
    lines = traceback.format_exception(error)
    return "".join([*lines, repr(error), str(error), repr(error.args)])


async def test_secrets_are_returned_byte_for_byte(store: Store) -> None:
    async with store.unit_of_work() as uow:
        account = await add_account(uow, config_json=SECRET, credentials=f"  {SECRET}")
        for text in ("", "not json", "{}", "null", SECRET):
            account = await uow.accounts.update(account.id, config_json=text, credentials=text)
            assert (account.config_json, account.credentials) == (text, text)
    assert await store.accounts.find_by_id(account.id) == account
    cleared = await store.accounts.update(account.id, credentials=None)
    assert (cleared.config_json, cleared.credentials) == (SECRET, None)


async def test_secrets_are_never_shown_by_repr(store: Store) -> None:
    account = await add_account(store, config_json=SECRET, credentials=SECRET)
    found = await store.accounts.find_by_id(account.id)
    listed = await store.accounts.find_all()
    shown = f"{account!r} {account} {found!r} {listed}"
    assert MARK not in shown
    assert "credentials" not in repr(account)
    assert "ada@example.org" in repr(account)


async def test_secrets_are_never_told_by_errors(store: Store) -> None:
    first: Account = await add_account(store, id="a", config_json=SECRET, credentials=SECRET)
    with pytest.raises(AlreadyExistsError) as taken:
        async with store.unit_of_work() as uow:
            await add_account(uow, id=first.id, config_json=SECRET, credentials=SECRET)
    assert MARK not in told(taken.value)
    for column in ("credentials", "config_json"):
        for bad in (f"{SECRET}\0", f"{SECRET}\ud800", SECRET.encode(), [SECRET]):
            values: dict[str, Any] = {column: bad}
            with pytest.raises(InvalidValueError) as refused:
                await store.accounts.create(email="x", **values)
            assert MARK not in told(refused.value)
            assert column in str(refused.value)
            with pytest.raises(InvalidValueError) as refused:
                await store.accounts.update(first.id, **values)
            assert MARK not in told(refused.value)
    with pytest.raises(NotFoundError) as missing:
        await store.accounts.update("unknown", credentials=SECRET)
    assert MARK not in told(missing.value)
    with pytest.raises(TypeError) as unknown:
        await cast(Any, store.accounts).create(email="x", nonsense=1, credentials=SECRET)
    assert MARK not in told(unknown.value)


async def test_a_time_at_an_end_of_time_is_refused(store: Store) -> None:
    for moment in (datetime.max, datetime.min, datetime(9999, 12, 31)):
        with pytest.raises(InvalidValueError, match="9999-12-30"):
            await store.accounts.create(
                email="a@example.com", last_used_at=moment.replace(tzinfo=UTC)
            )
    latest = datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=UTC)
    await add_account(store, id="ahead", last_used_at=latest)
    await add_account(store, id="fresh")
    claimed = [await store.accounts.find_next_available() for _ in range(4)]
    assert [one and one.id for one in claimed] == ["fresh", "ahead", "fresh", "ahead"]
    exhausted = await store.accounts.mark_exhausted("ahead", until=latest)
    assert exhausted.exhausted_until == latest
