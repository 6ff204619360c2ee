"""Who follows a log reads every chunk once and in order, whoever writes and when."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

from drill import Drill, driver, randomness
from processes import Workers
from workers import append, write_logs

from builders import collected
from cw_store import LogChunk, Store

YEAR = 365.0 * 24
CLOCKS = (0.0, -2 * YEAR, 3 * YEAR)


async def test_a_follower_reads_every_chunk_once_and_in_order(
    url: str, drill: Drill, workers: Workers
) -> None:
    units = drill.amount(15, 300)
    async with Store(url) as store:
        writers = [
            workers.start(append, url, f"writer {number}", hours, units)
            for number, hours in enumerate(CLOCKS)
        ]
        for writer in writers:
            assert await asyncio.to_thread(writer.receive) == "ready"
        for writer in writers:
            writer.tell()
        ends = asyncio.gather(*(asyncio.to_thread(writer.receive) for writer in writers))
        seen: list[str] = []
        after: str | None = None
        pages = 0
        while True:
            done = ends.done()  # what is stored before this is in the next page
            page = await store.log_chunks.find_by_agent_id("followed", after=after, limit=25)
            pages += 1
            seen += [chunk.content for chunk in page]
            after = page[-1].id if page else after
            if done and not page:
                break
        stored = [chunk async for chunk in store.log_chunks.stream_by_agent_id("followed")]
        others = [
            chunk.content
            for agent in ("another", "a third")
            for chunk in await collected(store.log_chunks.stream_by_agent_id(agent))
        ]
    written = [content for end in await ends for content in end]
    assert seen == [chunk.content for chunk in stored], "or the follower lost one, or saw it late"
    assert sorted([*seen, *others]) == sorted(written)
    drill.held(f"{len(seen)} chunks of {len(CLOCKS)} processes, years apart, in {pages} pages")


class Follower:
    """Follows the logs of some agents, leaves now and then, and comes back with another store."""

    def __init__(self, url: str, agents: Sequence[str], number: int) -> None:
        self.url = url
        self.agents = agents
        self.chance = randomness(number)
        self.read: dict[str, list[LogChunk]] = {agent: [] for agent in agents}
        self.stays = 0

    async def follow(self, agent: str, store: Store) -> None:
        read = self.read[agent]
        async for chunk in store.follow_log(agent, after=read[-1].id if read else None):
            read.append(chunk)

    async def run(self) -> None:
        while True:
            self.stays += 1
            async with Store(self.url) as store, asyncio.TaskGroup() as following:
                tasks = [following.create_task(self.follow(one, store)) for one in self.agents]
                await asyncio.sleep(self.chance.uniform(0.05, 1.0))
                for task in tasks:
                    task.cancel()

    def has_read(self, stored: Mapping[str, list[LogChunk]]) -> bool:
        return all(len(self.read[agent]) >= len(stored[agent]) for agent in self.agents)


async def cut_off_listeners(url: str) -> None:
    """Have the server end, now and then, whatever listens to it."""
    connection = await driver.connect(url)
    try:
        while True:
            await asyncio.sleep(0.3)
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND (query ILIKE 'LISTEN%' OR query LIKE '%pg_current_snapshot()::text END%')"
            )
    finally:
        await connection.close()


@asynccontextmanager
async def running(*followers: Follower, cutting: str) -> AsyncGenerator[None]:
    """Have them follow while the block lasts; what one of them raises ends it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(follower.run()) for follower in followers]
        if cutting.startswith("postgresql"):
            tasks.append(group.create_task(cut_off_listeners(cutting)))
        yield
        for task in tasks:
            task.cancel()


async def test_followers_that_come_and_go_read_every_line_of_many_agents_once_and_in_order(
    url: str, drill: Drill, workers: Workers
) -> None:
    lines, number = drill.amount(250, 25_000), drill.amount(8, 20)
    agents = [f"agent {one}" for one in range(number)]
    names = ["first", "second", "third", "fourth"]
    writers = [
        workers.start(write_logs, url, name, hours, number, lines)
        for name, hours in zip(names, (*CLOCKS, 1.0), strict=True)
    ]
    for writer in writers:
        assert await asyncio.to_thread(writer.receive) == "ready"
    followers = [Follower(url, agents[one::4] if one < 4 else agents, one) for one in range(5)]
    async with running(*followers, cutting=url):
        for writer in writers:
            writer.tell()
        for writer in writers:
            assert await asyncio.to_thread(writer.receive, 600.0) == "done"
        async with Store(url) as store:
            stored = {
                agent: await collected(store.log_chunks.stream_by_agent_id(agent))
                for agent in agents
            }
        async with asyncio.timeout(60):
            while not all(follower.has_read(stored) for follower in followers):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    for follower in followers:
        assert follower.read == {agent: stored[agent] for agent in follower.agents}
    written = [chunk.content for chunks in stored.values() for chunk in chunks]
    assert sorted(written) == sorted(f"{name}:{one}" for name in names for one in range(lines))
    drill.held(
        f"{len(written)} lines of {number} agents by {len(names)} processes, "
        f"{sum(follower.stays for follower in followers)} stays of {len(followers)} followers"
    )
