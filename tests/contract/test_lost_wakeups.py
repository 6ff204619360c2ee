"""Whatever the order in which tasks go on, no commit is slept through: looked for by chance."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import Context
from typing import Any

import pytest

from builders import add_agent, add_conversation, add_initiative, add_log_chunk, add_task
from cw_store import Store, UnitOfWork

SEEDS = 60


class Shuffling:
    """Delays what a loop is to run next by a few rounds, as chance has it."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._call_soon = self._loop.call_soon

    def __enter__(self) -> None:
        self._loop.call_soon = self._later  # pyright: ignore[reportAttributeAccessIssue] -- for the test

    def __exit__(self, *_: object) -> None:
        del self._loop.call_soon  # pyright: ignore[reportAttributeAccessIssue] -- that of the class again

    def _later(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        rounds = self._chance.choice((0, 0, 0, 1, 2, 5))
        if rounds == 0:
            return self._call_soon(callback, *args, context=context)
        return self._loop.call_later(0.0001 * rounds, callback, *args, context=context)


@pytest.fixture(params=range(SEEDS // 10))
def seeds(request: pytest.FixtureRequest) -> list[int]:
    return [request.param * 10 + number for number in range(10)]


async def first(stream: AsyncIterator[Any]) -> Any:
    return await anext(stream)


async def in_two_steps(uow: UnitOfWork) -> object:
    """Read a second table only if there is something in the first."""
    if await uow.initiatives.find_all():
        return await uow.accounts.find_all()
    return None


async def create_account(store: Store) -> None:
    await add_initiative(store)
    await store.accounts.create(email="ada@example.org")


Case = Callable[[Store, str], tuple[Coroutine[Any, Any, Any], Coroutine[Any, Any, Any]]]

CASES: dict[str, Case] = {
    "a query": lambda store, _: (store.wait_for(in_two_steps), create_account(store)),
    "a claim": lambda store, _: (
        store.wait_for_claim(holder="h", worktree_id="w", provider=None),
        add_task(store),
    ),
    "a question": lambda store, agent_id: (
        first(store.listen(agent_id)),
        add_conversation(store, to_agent_id=agent_id),
    ),
    "a chunk": lambda store, agent_id: (
        first(store.follow_log(agent_id)),
        add_log_chunk(store, agent_id=agent_id),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_in_whatever_order_tasks_go_on_one_who_waits_is_woken(
    store: Store, case: Case, seeds: list[int]
) -> None:
    for seed in seeds:
        agent = await add_agent(store)
        async with store.unit_of_work() as uow:
            for initiative in await uow.initiatives.find_all():
                await uow.initiatives.delete(initiative.id)
            for account in await uow.accounts.find_all():
                await uow.accounts.delete(account.id)
        with Shuffling(seed):
            wait, commit = case(store, agent.id)
            waiting = asyncio.create_task(wait)
            for _ in range(random.Random(seed).randrange(12)):
                await asyncio.sleep(0)
            committing = asyncio.create_task(commit)
            async with asyncio.timeout(10):
                await asyncio.gather(waiting, committing)
