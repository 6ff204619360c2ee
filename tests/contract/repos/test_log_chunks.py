"""The log: chunks by agent and session, in the order they were written, in pages and streams."""

import asyncio

import pytest

from builders import add_log_chunk, collected
from cw_store import InvalidValueError, LogChunk, NewLogChunk, NotFoundError, Store


def row(agent_id: str, session_number: int, content: str) -> NewLogChunk:
    return {
        "agent_id": agent_id,
        "agent_name": "brave-otter",
        "session_number": session_number,
        "content": content,
    }


async def test_a_chunk_needs_no_agent(store: Store) -> None:
    async with store.unit_of_work() as uow:
        chunk = await uow.log_chunks.insert_chunk("a1", "brave-otter", 2, '{"n":1}\n')
    assert (chunk.agent_id, chunk.agent_name, chunk.session_number) == ("a1", "brave-otter", 2)
    assert chunk.content == '{"n":1}\n'
    assert await store.log_chunks.find_by_id(chunk.id) == chunk


async def test_a_chunk_is_inserted_with_its_four_values_by_name_or_in_line(store: Store) -> None:
    one = await store.log_chunks.insert_chunk("a1", "brave-otter", 1, "x")
    two = await store.log_chunks.insert_chunk(
        agent_id="a1", agent_name="brave-otter", session_number=1, content="y"
    )
    assert await store.log_chunks.find_by_agent_id("a1") == [one, two]


async def test_content_is_kept_as_it_is(store: Store) -> None:
    async with store.unit_of_work() as uow:
        for content in (
            "",
            "\n",
            "\r\n\t",
            "{not json",
            "ä\u0308\U0001f600",
            "\x01\x7f",
            "x" * 999,
        ):
            chunk = await add_log_chunk(uow, content=content)
            found = await uow.log_chunks.find_by_id(chunk.id)
            assert found is not None
            assert found.content == content


async def test_a_chunk_of_16_mebibytes_is_kept_and_a_longer_one_refused(store: Store) -> None:
    limit = 16 * 1024 * 1024
    chunk = await add_log_chunk(store, content="x" * limit)
    found = await store.log_chunks.find_by_id(chunk.id)
    assert found is not None
    assert len(found.content) == limit
    with pytest.raises(InvalidValueError) as caught:
        await add_log_chunk(store, content="x" * (limit + 1))
    assert (caught.value.table, caught.value.column) == ("agent_log_chunks", "content")


async def test_the_log_of_an_agent_is_in_the_order_it_was_written(store: Store) -> None:
    async with store.unit_of_work() as uow:
        log = [
            await add_log_chunk(uow, id=id, session_number=number)
            for id, number in (("z", 2), ("a", 1), ("m", 2))
        ]
        await add_log_chunk(uow, agent_id="other")
        assert await uow.log_chunks.find_by_agent_id("a1") == log
        assert await uow.log_chunks.find_by_agent_id("a1", 2) == [log[0], log[2]]
        assert await uow.log_chunks.find_by_agent_id("a1", session_number=1) == [log[1]]
        assert await uow.log_chunks.find_by_agent_id("a1", 3) == []
        assert await uow.log_chunks.find_by_agent_id("unknown") == []


async def test_the_log_is_read_page_by_page(store: Store) -> None:
    rows = [row("a1", 1 + number % 2, str(number)) for number in range(10)]
    async with store.unit_of_work() as uow:
        log = await uow.log_chunks.insert_chunks(rows)
        find = uow.log_chunks.find_by_agent_id
        assert await find("a1", limit=4) == log[:4]
        assert await find("a1", after=log[3].id, limit=4) == log[4:8]
        assert await find("a1", after=log[7].id, limit=4) == log[8:]
        assert await find("a1", after=log[9].id) == []
        assert await find("a1", after=log[5].id) == log[6:]
        assert await find("a1", limit=1_000_000) == log
        odd = log[1::2]
        assert await find("a1", 2, limit=2) == odd[:2]
        assert await find("a1", 2, odd[1].id, 2) == odd[2:4]
        # The last chunk seen may be one of another session.
        assert await find("a1", 2, after=log[4].id) == odd[2:]
    with pytest.raises(NotFoundError) as caught:
        await store.log_chunks.find_by_agent_id("a1", after="unknown")
    assert (caught.value.table, caught.value.id) == ("agent_log_chunks", "unknown")
    with pytest.raises(NotFoundError):
        await store.log_chunks.find_by_agent_id("a1", 1, after="unknown", limit=1)


async def test_a_limit_of_the_log_is_at_least_one(store: Store) -> None:
    chunk = await add_log_chunk(store)
    for limit in (0, -1):
        with pytest.raises(InvalidValueError) as caught:
            await store.log_chunks.find_by_agent_id("a1", limit=limit)
        assert (caught.value.table, caught.value.column) == ("agent_log_chunks", "limit")
        with pytest.raises(InvalidValueError):
            await store.log_chunks.find_by_agent_id("a1", 1, after=chunk.id, limit=limit)
    assert await store.log_chunks.find_by_agent_id("a1", limit=1) == [chunk]


# --- streams ----------------------------------------------------------------------------------


async def test_a_log_longer_than_a_page_is_streamed_whole(store: Store) -> None:
    rows = [row("a1", 1 + number % 3 // 2, str(number)) for number in range(3_456)]
    log = await store.log_chunks.insert_chunks(rows)
    await add_log_chunk(store, agent_id="other")
    async with store.unit_of_work(read_only=True) as uow:
        assert await collected(uow.log_chunks.stream_by_agent_id("a1")) == log
        second = [chunk for chunk in log if chunk.session_number == 2]
        assert await collected(uow.log_chunks.stream_by_agent_id("a1", 2)) == second
    assert await collected(store.log_chunks.stream_by_agent_id("a1")) == log
    assert await collected(store.log_chunks.stream_by_agent_id("a1", session_number=2)) == second


@pytest.mark.parametrize("length", [0, 1, 99, 100, 128, 200, 256, 500, 512, 1_000, 1_024])
async def test_a_log_of_any_length_is_streamed_whole(store: Store, length: int) -> None:
    rows = [row("a1", 1, str(number)) for number in range(length)]
    log = await store.log_chunks.create_many(rows)
    assert await collected(store.log_chunks.stream_by_agent_id("a1")) == log


async def test_an_unknown_agent_has_an_empty_stream(store: Store) -> None:
    async with store.unit_of_work() as uow:
        assert await collected(uow.log_chunks.stream_by_agent_id("unknown")) == []
        assert await collected(uow.log_chunks.stream_by_agent_id("unknown", 1)) == []


async def test_a_stream_that_is_left_early_holds_nothing(store: Store) -> None:
    await store.log_chunks.insert_chunks([row("a1", 1, str(n)) for n in range(2_000)])
    seen: list[LogChunk] = []
    async for chunk in store.log_chunks.stream_by_agent_id("a1"):
        seen.append(chunk)
        if len(seen) == 3:
            break
    assert store.connections_in_use == 0
    async with store.unit_of_work() as uow:
        async for chunk in uow.log_chunks.stream_by_agent_id("a1"):
            seen.append(chunk)
            break
        # The unit of work goes on, and may write.
        await uow.log_chunks.delete(seen[0].id)
    assert [chunk.content for chunk in seen] == ["0", "1", "2", "0"]
    assert len(await store.log_chunks.find_by_agent_id("a1")) == 1_999


async def test_a_reader_of_a_stream_may_use_its_unit_of_work_meanwhile(store: Store) -> None:
    await store.log_chunks.insert_chunks([row("a1", 1, str(n)) for n in range(1_500)])
    async with store.unit_of_work() as uow:
        seen = 0
        async for chunk in uow.log_chunks.stream_by_agent_id("a1"):
            if seen % 100 == 0:
                await uow.log_chunks.insert_chunk("copy", chunk.agent_name, 1, chunk.content)
            seen += 1
        assert seen == 1_500
    copies = await store.log_chunks.find_by_agent_id("copy")
    assert [chunk.content for chunk in copies] == [str(n) for n in range(0, 1_500, 100)]


# --- sessions and deleting --------------------------------------------------------------------


async def test_the_session_count_is_the_highest_session_number(store: Store) -> None:
    async with store.unit_of_work() as uow:
        assert await uow.log_chunks.get_session_count("a1") == 0
        await add_log_chunk(uow, session_number=1)
        assert await uow.log_chunks.get_session_count("a1") == 1
        await add_log_chunk(uow, session_number=3)
        await add_log_chunk(uow, session_number=2)
        await add_log_chunk(uow, agent_id="other", session_number=9)
        assert await uow.log_chunks.get_session_count("a1") == 3
        assert await uow.log_chunks.get_session_count("unknown") == 0


async def test_the_log_of_an_agent_is_deleted_and_counted(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.log_chunks.insert_chunks([row("a1", n % 2, "x") for n in range(5)])
        kept = await add_log_chunk(uow, agent_id="other")
        assert await uow.log_chunks.delete_by_agent_id("a1") == 5
        assert await uow.log_chunks.delete_by_agent_id("a1") == 0
        assert await uow.log_chunks.delete_by_agent_id("unknown") == 0
        assert await uow.log_chunks.find_by_agent_id("a1") == []
        assert await uow.log_chunks.get_session_count("a1") == 0
        assert await uow.log_chunks.find_by_agent_id("other") == [kept]


async def test_a_deleted_chunk_is_missing_from_the_log(store: Store) -> None:
    log = await store.log_chunks.insert_chunks([row("a1", 1, str(n)) for n in range(3)])
    await store.log_chunks.delete(log[1].id)
    assert await store.log_chunks.find_by_agent_id("a1") == [log[0], log[2]]


async def test_concurrent_writers_lose_no_chunk(store: Store) -> None:
    async def write(session: int) -> None:
        for number in range(10):
            await store.log_chunks.insert_chunk("a1", "brave-otter", session, str(number))

    await asyncio.gather(*(write(session) for session in range(1, 9)))
    for session in range(1, 9):
        log = await store.log_chunks.find_by_agent_id("a1", session)
        assert [chunk.content for chunk in log] == [str(number) for number in range(10)]


async def test_who_waited_for_a_log_is_behind_all_that_it_waited_for(store: Store) -> None:
    async with store.unit_of_work() as uow:
        first = await uow.log_chunks.insert_chunk("a1", "brave-otter", 1, "first")
        call = asyncio.ensure_future(store.log_chunks.create(**row("a1", 1, "call")))
        batch = asyncio.ensure_future(store.log_chunks.insert_chunks([row("a1", 1, "batch")]))
        for _ in range(20):  # each has reached the database, and would have drawn its place
            await uow.log_chunks.get_session_count("a1")
        last = await uow.log_chunks.insert_chunk("a1", "brave-otter", 1, "last")
        assert not call.done() and not batch.done()
    await asyncio.gather(call, batch)
    found = [chunk.content for chunk in await store.log_chunks.find_by_agent_id("a1")]
    assert found[:2] == [first.content, last.content]
    assert sorted(found[2:]) == ["batch", "call"]


async def test_chunks_of_several_logs_are_returned_in_the_order_given(store: Store) -> None:
    given = [row(agent, 1, f"{number}") for number, agent in enumerate("bacab")]
    chunks = await store.log_chunks.insert_chunks(given)
    assert [chunk.content for chunk in chunks] == ["0", "1", "2", "3", "4"]
    assert await store.log_chunks.find_by_agent_id("b") == [chunks[0], chunks[4]]
    assert await store.log_chunks.find_by_agent_id("a") == [chunks[1], chunks[3]]


@pytest.mark.parametrize("how_many", [1, 3, 250])
async def test_a_stream_goes_on_when_its_last_chunks_are_deleted_and_new_ones_come(
    store: Store, how_many: int
) -> None:
    async with store.unit_of_work() as uow:
        old = await uow.log_chunks.insert_chunks([row("a1", 1, f"{n}") for n in range(500)])
    read: list[LogChunk] = []
    new: list[LogChunk] = []
    async for chunk in store.log_chunks.stream_by_agent_id("a1"):
        read.append(chunk)
        if len(read) == len(old):
            for last in old[-how_many:]:
                await store.log_chunks.delete(last.id)
            new = await store.log_chunks.insert_chunks([row("a1", 1, "new")] * 300)
    assert read == [*old, *new]
