"""Who follows a log reads every chunk once and in order, whoever writes and when."""

import asyncio

from drill import Drill
from processes import Workers
from workers import append

from builders import collected
from cw_store import Store

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
