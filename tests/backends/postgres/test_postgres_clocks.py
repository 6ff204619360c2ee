"""A machine whose clock is not the server's: when a rest is over, the server says."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from builders import add_account, add_task
from cw_store import NoAccount, Store

HOUR = 3600

WAITS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "account": lambda store: store.wait_for_account(),
    "claim": lambda store: store.wait_for_claim(holder="host-1/1", worktree_id="trees/1"),
}


def set_forward(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Have the clock of this machine show another time than the server's."""
    right = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: right() + seconds * 1_000_000_000)


async def test_a_rest_is_not_over_where_the_clock_is_ahead(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_forward(monkeypatch, 2 * HOUR)
    async with Store(url) as store:
        task, account = await add_task(store), await add_account(store)
        now = await store.claims.now()
        await store.accounts.mark_exhausted(account.id, until=now + timedelta(hours=1))
        assert await store.accounts.find_next_available() is None
        assert await store.claims.next(holder="host-1/1", worktree_id="trees/1") is None
        assert (await store.claims.explain(task.id)).reasons == (NoAccount("claude"),)
        assert await store.accounts.clear_expired_exhaustion() == 0
        shorter = now + timedelta(minutes=30)
        exhausted = await store.accounts.mark_exhausted(account.id, until=shorter)
        assert exhausted.exhausted_until == now + timedelta(hours=1)


@pytest.mark.parametrize("what", WAITS)
async def test_a_rest_is_over_in_time_where_the_clock_is_behind(
    url: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    set_forward(monkeypatch, -HOUR)
    async with Store(url) as store, asyncio.timeout(20):
        await add_task(store)
        account = await add_account(store)
        until = await store.claims.now() + timedelta(seconds=0.2)
        await store.accounts.mark_exhausted(account.id, until=until)
        assert await WAITS[what](store) is not None
        assert await store.claims.now() >= until
