"""The callers of the concurrency oracle: what one process does, and writes down, in its tasks."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from histories import Operation

from cw_store import (
    AlreadyExistsError,
    DependencyCycleError,
    NotFoundError,
    StaleStateError,
    Store,
    UnitOfWork,
)

Repos: TypeAlias = Store | UnitOfWork

PROVIDER = "claude"


@dataclass(frozen=True)
class Objects:
    """What the callers fight about."""

    accounts: tuple[str, ...]
    conversations: tuple[str, ...]
    graphs: tuple[tuple[str, tuple[str, ...]], ...]
    """Each the name of a repository, and the ids of its rows."""
    counters: tuple[tuple[str, ...], ...]
    initiatives: tuple[str, ...]


class Caller:
    """One task: makes one random call after another and notes what it saw."""

    def __init__(self, store: Store, objects: Objects, name: str, seed: int) -> None:
        self.store = store
        self.objects = objects
        self.name = name
        self.random = random.Random(seed)
        self.history: list[Operation] = []
        self.stamped: int | None = None  # of the call under way, in time.monotonic_ns()

    async def call(self, number: int) -> None:
        """Make the call with this number; all callers are at about the same one."""
        kinds = (self.claim, self.answer, self.edge, self.count, self.root)
        kind = self.random.choices(kinds, weights=(4, 3, 5, 4, 1))[0]
        await kind(number)

    async def note(
        self, object: str, name: str, arguments: tuple[Any, ...], call: Callable[[], Awaitable[Any]]
    ) -> None:
        asked = time.monotonic_ns()
        answer = await call()
        answered = time.monotonic_ns()
        self.history.append(
            Operation(object, name, arguments, answer, asked, answered, self.name, self.stamped)
        )
        self.stamped = None

    async def alone_or_in_a_unit(self, call: Callable[[Repos], Awaitable[Any]]) -> Any:
        """Make a call a transaction by itself, on the store or in a unit of work."""
        if self.random.random() < 0.5:
            return await call(self.store)
        async with self.store.unit_of_work(label=self.name) as uow:
            return await call(uow)

    # --- accounts -----------------------------------------------------------------------------

    async def claim(self, number: int) -> None:
        async def one(repos: Repos) -> str | None:
            account = await repos.accounts.find_next_available(PROVIDER)
            if account is None or account.last_used_at is None:
                return None
            since = datetime.now(UTC) - account.last_used_at
            self.stamped = time.monotonic_ns() - since // timedelta(microseconds=1) * 1000
            return account.id

        async def pair() -> tuple[str | None, str | None]:
            async with self.store.unit_of_work(label=self.name) as uow:
                return await one(uow), await one(uow)

        async def exhaust() -> None:
            await self.store.accounts.mark_exhausted(id)

        async def restore() -> None:
            await self.store.accounts.mark_available(id)

        # Most of the accounts are never taken out, so there is always one to be had.
        id = self.random.choice(self.objects.accounts[:2])
        match self.random.randrange(10):
            # Only one does this: it is told nothing by which the order of two could be known.
            case 0 | 1 | 2 if self.name == "0.0":
                await self.note(PROVIDER, "exhaust", (id,), exhaust)
            case 3 | 4 | 5 if self.name == "0.0":
                await self.note(PROVIDER, "restore", (id,), restore)
            case 0 | 1:
                await self.note(PROVIDER, "claim two", (), pair)
            case _:
                await self.note(PROVIDER, "claim", (), lambda: self.alone_or_in_a_unit(one))

    # --- answers ------------------------------------------------------------------------------

    async def answer(self, number: int) -> None:
        id = self.objects.conversations[number % len(self.objects.conversations)]
        text = f"{self.name}/{number}"

        async def answer(repos: Repos) -> str:
            try:
                await repos.conversations.answer(id, text)
            except StaleStateError:
                return "too late"
            return "answered"

        async def look() -> str | None:
            conversation = await self.store.conversations.find_by_id(id)
            assert conversation is not None
            return conversation.answer

        if self.random.random() < 0.7:
            await self.note(id, "answer", (text,), lambda: self.alone_or_in_a_unit(answer))
        else:
            await self.note(id, "look", (), look)

    # --- edges --------------------------------------------------------------------------------

    async def edge(self, number: int) -> None:
        kind, ids = self.random.choice(self.objects.graphs)
        one, other = self.random.sample(ids, 2)

        async def add(repos: Repos) -> str:
            repository = repos.tasks if kind == "tasks" else repos.phases
            try:
                await repository.create_dependency(one, other)
            except DependencyCycleError:
                return "cycle"
            return "added"

        async def add_or_find() -> str:
            try:
                return await self.alone_or_in_a_unit(add)
            except AlreadyExistsError:
                return "there already"

        async def remove(repos: Repos) -> str:
            repository = repos.tasks if kind == "tasks" else repos.phases
            try:
                await repository.delete_dependency(one, other)
            except NotFoundError:
                return "not there"
            return "removed"

        async def look() -> tuple[str, ...]:
            repository = self.store.tasks if kind == "tasks" else self.store.phases
            return tuple(sorted(row.id for row in await repository.get_dependencies(one)))

        match self.random.randrange(10):
            case 0 | 1 | 2 | 3 | 4:
                await self.note(ids[0], "add", (one, other), add_or_find)
            case 5 | 6 | 7:
                gone = partial(self.alone_or_in_a_unit, remove)
                await self.note(ids[0], "remove", (one, other), gone)
            case _:
                await self.note(ids[0], "look", (one,), look)

    # --- counters -----------------------------------------------------------------------------

    async def count(self, number: int) -> None:
        ids = self.random.choice(self.objects.counters)
        # Always in the same order: two that lock in different orders would wait for each other.
        pair = tuple(sorted(self.random.sample(range(len(ids)), 2)))

        async def increment(repos: Repos) -> int:
            return (await repos.tasks.increment_retry_count(ids[pair[0]])).retry_count

        async def increment_two() -> tuple[int, ...]:
            async with self.store.unit_of_work(label=self.name) as uow:
                tasks = [await uow.tasks.increment_retry_count(ids[place]) for place in pair]
            return tuple(task.retry_count for task in tasks)

        async def reset(repos: Repos) -> int:
            return (await repos.tasks.reset_retry_count(ids[pair[0]])).retry_count

        async def snapshot() -> tuple[int, ...]:
            async with self.store.unit_of_work(read_only=True) as uow:
                tasks = [await uow.tasks.find_by_id(id) for id in ids]
            return tuple(task.retry_count for task in tasks if task is not None)

        match self.random.randrange(8):
            case 0:
                back = partial(self.alone_or_in_a_unit, reset)
                await self.note(ids[0], "reset", pair[:1], back)
            case 1 | 2:
                await self.note(ids[0], "snapshot", (), snapshot)
            case 3:
                await self.note(ids[0], "increment two", pair, increment_two)
            case _:
                up = partial(self.alone_or_in_a_unit, increment)
                await self.note(ids[0], "increment", pair[:1], up)

    # --- root pages ---------------------------------------------------------------------------

    async def root(self, number: int) -> None:
        id = self.objects.initiatives[number % len(self.objects.initiatives)]

        async def root(repos: Repos) -> str:
            return (await repos.pages.get_or_create_root_page(id)).id

        await self.note(id, "root", (), lambda: self.alone_or_in_a_unit(root))


def call_concurrently(
    pipe: Connection, url: str, objects: Objects, process: int, tasks: int, calls: int
) -> None:
    """Let tasks call at the same time, when told to; send the history of all of them."""

    async def run() -> None:
        async with Store(url) as store:
            callers = [
                Caller(store, objects, f"{process}.{task}", 1_000 * process + task)
                for task in range(tasks)
            ]

            async def make_calls(caller: Caller) -> None:
                for number in range(calls):
                    await caller.call(number)

            await store.initiatives.find_all(limit=1)
            pipe.send("ready")
            pipe.recv()
            await asyncio.gather(*map(make_calls, callers))
        pipe.send([operation for caller in callers for operation in caller.history])

    asyncio.run(run())
