"""Old changes and log chunks are deleted, and whoever has not read them is told so."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update

from builders import add_initiative, add_log_chunk, add_task, collected
from cw_store import InvalidValueError, Pruned, StaleCursorError, Store, StoreClosedError
from cw_store.schema import changes, tasks
from cw_store.testing import SteppableClock

HOUR = timedelta(hours=1)
SECONDS = 3600


async def kept(store: Store) -> list[str]:
    """Return the rows whose changes are kept, and what they are."""
    query = select(changes.c.entity_id, changes.c.action).where(changes.c.seq > 0)
    async with store.unit_of_work(read_only=True) as uow:
        found = await uow.session.execute(query.order_by(changes.c.seq))
        return [f"{action} {id}" for id, action in found.all()]


async def marker(store: Store) -> tuple[int, int]:
    """Return what the feed has noted of what was pruned, and the first that is kept."""
    async with store.unit_of_work(read_only=True) as uow:
        pruned = await uow.session.execute(select(changes.c.entity_id).where(changes.c.seq == 0))
        first = await uow.session.execute(text("SELECT min(seq) FROM changes WHERE seq > 0"))
        return int(pruned.scalar_one()), first.scalar_one()


async def add(store: Store, *ids: str) -> None:
    for id in ids:
        await add_task(store, id=id)


async def position(store: Store) -> str:
    async with store.unit_of_work(read_only=True) as uow:
        return await uow.changes.position()


async def read(store: Store, cursor: str | None) -> list[str]:
    async with store.unit_of_work(read_only=True) as uow:
        page = await uow.changes.read(cursor)
        return [f"{change.action} {change.entity_id}" for change in page.changes]


# Changes.


async def test_changes_that_are_older_are_deleted_from_the_first_on(
    store: Store, clock: SteppableClock
) -> None:
    await add(store, "a", "b")
    clock.advance(2 * SECONDS)
    await add(store, "c", "d")
    assert await store.prune(changes_kept=HOUR) == Pruned(changes=2, log_chunks=0)
    assert await kept(store) == ["create c", "create d"]
    pruned, first = await marker(store)
    assert pruned == first - 1
    assert await store.prune(changes_kept=HOUR) == Pruned(0, 0)


@pytest.mark.parametrize("batch_rows", [1, 2, 7, 1000])
async def test_batches_of_any_size_delete_the_same(
    store: Store, clock: SteppableClock, batch_rows: int
) -> None:
    await add(store, *(f"old-{n}" for n in range(7)))
    clock.advance(2 * SECONDS)
    await add(store, "new")
    pruned = await store.prune(changes_kept=HOUR, batch_rows=batch_rows)
    assert pruned == Pruned(7, 0)
    assert await kept(store) == ["create new"]


async def test_the_newest_change_and_the_marker_are_kept(
    store: Store, clock: SteppableClock
) -> None:
    assert await store.prune(changes_kept=timedelta()) == Pruned(0, 0)
    await add(store, "a", "b", "c")
    clock.advance(1)
    assert await store.prune(changes_kept=timedelta()) == Pruned(2, 0)
    assert await kept(store) == ["create c"]
    assert await store.prune(changes_kept=timedelta()) == Pruned(0, 0)


async def test_a_deletion_goes_with_what_comes_after_it(
    store: Store, clock: SteppableClock
) -> None:
    await add(store, "a", "b")
    await store.tasks.delete("a")
    clock.advance(2 * SECONDS)
    await add(store, "c")
    assert await store.prune(changes_kept=HOUR) == Pruned(2, 0)
    assert await kept(store) == ["delete a", "create c"], "nobody knows how old it is"
    clock.advance(2 * SECONDS)
    await add(store, "d")
    assert await store.prune(changes_kept=HOUR) == Pruned(2, 0)
    assert await kept(store) == ["create d"]


async def test_an_old_time_of_a_new_change_deletes_nothing_before_it(
    store: Store, clock: SteppableClock
) -> None:
    await add(store, "a", "b", "waits")
    clock.advance(2 * SECONDS)
    await store.tasks.update("b", name="new")
    await store.tasks.create_dependency("waits", "a")  # tells of "waits" as it was stored long ago
    await add(store, "c")
    assert await store.prune(changes_kept=HOUR) == Pruned(3, 0)
    assert await kept(store) == ["update b", "update waits", "create c"]


async def test_a_time_that_lies_ahead_keeps_nothing_for_ever(
    store: Store, clock: SteppableClock
) -> None:
    await add(store, "a")
    async with store.unit_of_work() as uow:
        ahead = clock.now + 10_000 * HOUR
        await uow.session.execute(update(tasks).values(name="b", updated_at=ahead))
    await add(store, "c")
    clock.advance(2 * SECONDS)
    await add(store, "d")
    assert await store.prune(changes_kept=HOUR) == Pruned(3, 0)
    assert await kept(store) == ["create d"]


async def test_who_is_behind_what_was_pruned_is_told_so(
    store: Store, clock: SteppableClock
) -> None:
    await add(store, "a")
    behind = await position(store)
    await add(store, "b")
    in_time = await position(store)
    clock.advance(2 * SECONDS)
    await add(store, "c")
    await store.prune(changes_kept=HOUR)
    with pytest.raises(StaleCursorError):
        await read(store, behind)
    assert await read(store, in_time) == ["create c"], "it has seen all that is gone"
    assert await read(store, None) == ["create c"]
    assert await read(store, await position(store)) == []


async def test_who_is_behind_what_was_pruned_since_the_very_first_is_told_so(
    store: Store, clock: SteppableClock
) -> None:
    behind = await position(store)
    await add(store, "a")
    clock.advance(2 * SECONDS)
    await add(store, "b")
    await store.prune(changes_kept=HOUR)
    with pytest.raises(StaleCursorError):
        await read(store, behind)


async def test_who_begins_with_the_oldest_that_is_kept_reads_on_page_by_page(
    store: Store, clock: SteppableClock
) -> None:
    await add(store, "a", "b")
    clock.advance(2 * SECONDS)
    tasks = [await store.tasks.create_many([{"name": "x"} for _ in range(400)]) for _ in range(5)]
    await store.prune(changes_kept=HOUR)
    cursor, found = None, list[str]()
    while True:
        async with store.unit_of_work(read_only=True) as uow:
            page = await uow.changes.read(cursor, limit=1)
        if not page.changes:
            break
        found += [change.entity_id for change in page.changes]
        cursor = page.cursor
    assert found == [task.id for batch in tasks for task in batch]


async def test_those_who_write_meanwhile_lose_nothing(store: Store, clock: SteppableClock) -> None:
    await add(store, *(f"old-{n}" for n in range(40)))
    clock.advance(2 * SECONDS)
    cursor = await position(store)
    pruning = asyncio.create_task(store.prune(changes_kept=HOUR, batch_rows=3))
    written = [f"new-{n}" for n in range(20)]
    for id in written:
        await add(store, id)
    pruned = await pruning
    assert pruned.changes in (39, 40)
    assert await read(store, cursor) == [f"create {id}" for id in written]


async def test_two_who_prune_at_once_delete_the_same_as_one(
    store: Store, clock: SteppableClock
) -> None:
    await add(store, *(f"old-{n}" for n in range(20)))
    clock.advance(2 * SECONDS)
    await add(store, "new")
    both = await asyncio.gather(
        *(store.prune(changes_kept=HOUR, batch_rows=3) for _ in range(2)), return_exceptions=True
    )
    assert sum(one.changes for one in both if isinstance(one, Pruned)) == 20
    assert await kept(store) == ["create new"]
    pruned, first = await marker(store)
    assert pruned == first - 1


# Log chunks.


async def test_log_chunks_stored_before_a_time_are_deleted(
    store: Store, clock: SteppableClock
) -> None:
    await add_log_chunk(store, agent_id="one", content="old")
    await add_log_chunk(store, agent_id="other", content="old")
    clock.advance(SECONDS)
    before = clock()
    last = await add_log_chunk(store, agent_id="one", content="new")
    assert await store.prune(log_chunks_before=before, batch_rows=1) == Pruned(0, 2)
    assert await collected(store.log_chunks.stream_by_agent_id("one")) == [last]
    assert await collected(store.log_chunks.stream_by_agent_id("other")) == []
    assert await store.prune(log_chunks_before=before) == Pruned(0, 0)


@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
async def test_both_are_pruned_in_one_call(
    store: Store, clock: SteppableClock, batch_rows: int
) -> None:
    initiative = await add_initiative(store)
    for _ in range(5):
        await add_log_chunk(store)
    clock.advance(2 * SECONDS)
    await add(store, "new")
    pruned = await store.prune(
        changes_kept=HOUR, log_chunks_before=clock() - HOUR, batch_rows=batch_rows
    )
    assert pruned == Pruned(changes=1, log_chunks=5)
    assert await store.initiatives.find_all() == [initiative], "nothing else is"


async def test_who_prunes_is_told_how_far_it_is(store: Store, clock: SteppableClock) -> None:
    for _ in range(3):
        await add_log_chunk(store)
    await add(store, "old")
    clock.advance(2 * SECONDS)
    await add(store, "new")
    await add_log_chunk(store)
    told: list[tuple[str, int, int]] = []
    await store.prune(
        changes_kept=HOUR,
        log_chunks_before=clock() - HOUR,
        batch_rows=2,
        on_progress=lambda what, done, total: told.append((what, done, total)),
    )
    assert told == [
        *[("changes", done, 1) for done in (0, 1)],
        *[("agent_log_chunks", done, 4) for done in (0, 2, 4)],
        *[("room", done, 1) for done in (0, 1)],
    ]


# What breaks off, and what is refused.


async def test_what_broke_off_can_be_begun_again(store: Store, clock: SteppableClock) -> None:
    await add(store, *(f"old-{n}" for n in range(30)))
    clock.advance(2 * SECONDS)
    await add(store, "new")
    pruning = asyncio.create_task(store.prune(changes_kept=HOUR, batch_rows=1))
    while len(await kept(store)) > 25:  # noqa: ASYNC110 -- the pruning goes on beside it
        await asyncio.sleep(0)
    pruning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pruning
    left = len(await kept(store))
    pruned, first = await marker(store)
    assert pruned == first - 1, "the feed knows of every batch that was deleted"
    assert await store.prune(changes_kept=HOUR) == Pruned(left - 1, 0)
    assert await kept(store) == ["create new"]


BAD: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"changes_kept": 3600}, InvalidValueError),
    ({"changes_kept": timedelta(microseconds=-1)}, InvalidValueError),
    ({"log_chunks_before": "2026-01-01"}, InvalidValueError),
    ({"log_chunks_before": datetime(2026, 1, 1)}, InvalidValueError),
    ({"batch_rows": 0}, ValueError),
    ({"batch_rows": True}, TypeError),
    ({"batch_rows": 10.5}, TypeError),
]


@pytest.mark.parametrize(("bad", "error"), BAD)
async def test_bad_arguments_are_refused_before_anything_is_deleted(
    store: Store, clock: SteppableClock, bad: dict[str, Any], error: type[Exception]
) -> None:
    await add(store, "a", "b")
    await add_log_chunk(store)
    clock.advance(2 * SECONDS)
    before = await kept(store)
    good: dict[str, Any] = {"changes_kept": HOUR, "log_chunks_before": clock()}
    with pytest.raises(error):
        await store.prune(**{**good, **bad})
    assert await kept(store) == before
    assert len(await store.log_chunks.find_by_agent_id("a1")) == 1


async def test_a_length_beyond_all_time_keeps_everything(
    store: Store, clock: SteppableClock
) -> None:
    await add(store, "a", "b")
    clock.advance(SECONDS)
    assert await store.prune(changes_kept=timedelta.max) == Pruned(0, 0)


async def test_a_closed_store_prunes_nothing(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreClosedError):
        await store.prune(changes_kept=HOUR)


async def test_what_pruning_does_is_itself_no_change(store: Store, clock: SteppableClock) -> None:
    await add(store, "a", "b")
    async with store.unit_of_work() as uow:
        await uow.session.execute(update(tasks).values(name="x").where(tasks.c.id == "a"))
    clock.advance(2 * SECONDS)
    cursor = await position(store)
    await store.prune(changes_kept=timedelta())
    assert await read(store, cursor) == []
