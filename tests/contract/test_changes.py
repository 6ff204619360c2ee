"""Whoever reads the feed page by page sees each change once, whole transactions, in their order."""

import asyncio
import random
import shutil
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy import text

from builders import add_account, add_initiative, add_phase, add_task
from cw_store import Change, InvalidValueError, StaleCursorError, Store, UnitOfWork
from cw_store.repos.sql import feed_by_snapshots
from cw_store.store import backend_of


@pytest.fixture
async def side_by_side(store: Store) -> None:
    """Where transactions write side by side, and become visible in any order."""
    if not backend_of(store).capabilities.has_concurrent_writers:
        pytest.skip("one writer at a time, whose transactions are in the order of their commits")


@pytest.fixture(params=["in one part", "in many parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows are looked at, at a time."""
    if request.param == "in many parts":
        monkeypatch.setattr(feed_by_snapshots, "LEAST_AT_ONCE", 1)


def names(changes: list[Change]) -> list[str]:
    return [change.entity_id for change in changes]


async def rest(store: Store, cursor: str | None, limit: int = 1) -> tuple[list[str], str]:
    """Read page by page to the end; return the ids, and the cursor behind them."""
    found: list[str] = []
    while True:
        page = await store.changes.read(cursor, limit=limit)
        cursor = page.cursor
        if not page.changes:
            return found, cursor
        found += names(page.changes)


async def add(repos: Store | UnitOfWork, *ids: str) -> None:
    for id in ids:
        await add_initiative(repos, id=id)


# Pages.


async def test_an_empty_feed_has_an_empty_page_and_a_cursor_to_go_on_from(store: Store) -> None:
    page = await store.changes.read(None)
    assert page.changes == []
    position = await store.changes.position()
    await add(store, "a")
    for cursor in (None, page.cursor, position):
        assert names((await store.changes.read(cursor)).changes) == ["a"]


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
@pytest.mark.usefixtures("parts")
async def test_each_change_is_read_once_in_the_order_of_the_commits(
    store: Store, limit: int
) -> None:
    written: list[str] = []
    for number in range(12):
        ids = [f"{number} {place}" for place in range(1 + number % 3)]
        async with store.unit_of_work() as uow:
            await add(uow, *ids)
        written += ids
    found, cursor = await rest(store, None, limit)
    assert found == written
    await add(store, "then")
    assert (await rest(store, cursor, limit))[0] == ["then"]


@pytest.mark.usefixtures("parts")
async def test_a_page_never_ends_inside_of_a_transaction(store: Store) -> None:
    for number in range(5):
        async with store.unit_of_work() as uow:
            await add(uow, *(f"{number} {place}" for place in range(3)))
    cursor, found = None, list[str]()
    while (page := await store.changes.read(cursor, limit=1)).changes:
        assert len(page.changes) % 3 == 0
        found += names(page.changes)
        cursor = page.cursor
    assert len(found) == len({*found}) == 15


async def test_a_page_has_at_least_as_many_as_are_asked_for_unless_it_is_the_last(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_by_snapshots, "LEAST_AT_ONCE", 1)
    await add(store, *(f"{number}" for number in range(9)))
    first = await store.changes.read(None, limit=4)
    assert len(first.changes) >= 4
    assert names(first.changes) == [f"{number}" for number in range(len(first.changes))]


async def test_what_a_change_says(store: Store) -> None:
    initiative = await add_initiative(store)
    phase = await add_phase(store, initiative_id=initiative.id)
    start = await store.changes.position()
    task = await add_task(store, phase_id=phase.id)
    task = await store.tasks.update(task.id, name="another")
    await store.tasks.delete(task.id)
    created, updated, deleted = (await store.changes.read(start)).changes
    assert created == Change("tasks", task.id, "create", initiative.id, task.created_at)
    assert updated == Change("tasks", task.id, "update", initiative.id, task.updated_at)
    assert (deleted.entity_id, deleted.action, deleted.at) == (task.id, "delete", None)


@pytest.mark.usefixtures("parts")
async def test_a_filter_passes_what_is_not_asked_for_and_its_cursor_too(store: Store) -> None:
    await add(store, "i", "j")
    for number in range(6):
        await add_account(store, id=f"a{number}")
        await add_task(store, id=f"t{number}", initiative_id="ij"[number % 2])
    read = store.changes.read
    tasks = await read(None, entities=["tasks"])
    assert names(tasks.changes) == [f"t{number}" for number in range(6)]
    of_j = await read(None, initiative_id="j", entities=("tasks", "accounts"))
    assert names(of_j.changes) == ["t1", "t3", "t5"]
    assert names((await read(None, initiative_id="j")).changes) == ["j", "t1", "t3", "t5"]
    both = await read(None, entities={"accounts", "initiatives"})
    assert names(both.changes) == ["i", "j", *(f"a{number}" for number in range(6))]
    none = await read(None, entities=[])
    assert none.changes == []
    for page in (tasks, of_j, both, none):
        assert (await read(page.cursor)).changes == [], "the cursor has passed all of it"


async def test_a_filter_finds_the_one_change_behind_many_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_by_snapshots, "LEAST_AT_ONCE", 2)
    for number in range(20):
        await add(store, f"{number}")
    task = await add_task(store)
    page = await store.changes.read(None, limit=1, entities=["tasks"])
    assert names(page.changes) == [task.id]


@pytest.mark.parametrize(
    "wrong", ["", "nonsense", "1", "1/2/", "-1/2", "1/2/3", "1/2\n", "9" * 30 + "/1", 7, b"1/2"]
)
async def test_what_is_no_cursor_is_refused(store: Store, wrong: str) -> None:
    with pytest.raises(InvalidValueError, match="cursor"):
        await store.changes.read(wrong)


async def test_what_cannot_be_asked_for_is_refused(store: Store) -> None:
    for limit in (0, -1):
        with pytest.raises(InvalidValueError, match="limit"):
            await store.changes.read(None, limit=limit)
    for entities in ("tasks", ["agent_log_chunks"], ["Tasks"]):
        with pytest.raises(InvalidValueError, match="entities"):
            await store.changes.read(None, entities=entities)  # pyright: ignore[reportArgumentType] -- that is what is tested


# Snapshots.


async def test_a_position_is_where_the_state_of_the_same_unit_ends(
    store: Store, lasting_database: str
) -> None:
    await add(store, "before")
    async with Store(lasting_database) as other, store.unit_of_work(read_only=True) as uow:
        state = await uow.initiatives.find_all()
        await add(other, "after")
        position = await uow.changes.position()
        again = await uow.initiatives.find_all()
        assert (await uow.changes.read(position)).changes == []
    assert [one.id for one in state] == [one.id for one in again] == ["before"]
    assert (await rest(store, position))[0] == ["after"]


async def test_what_a_unit_has_changed_itself_is_told_once(store: Store) -> None:
    start = await store.changes.position()
    async with store.unit_of_work() as uow:
        await add(uow, "a")
        inside = await uow.changes.read(start)
        position = await uow.changes.position()
        await add(uow, "b")
        further = await uow.changes.read(inside.cursor)
    found = names(inside.changes) + names(further.changes) + (await rest(store, further.cursor))[0]
    assert sorted(found) == ["a", "b"]
    behind = (await rest(store, position))[0]
    assert "b" in behind
    assert (await rest(store, start))[0] == ["a", "b"]


async def test_what_a_unit_has_changed_is_told_of_when_it_was_undone_by_nobody(
    store: Store,
) -> None:
    start = await store.changes.position()
    async with store.unit_of_work() as uow:
        await add(uow, "a")
        inside = await uow.changes.position()
        await uow.rollback()
        await add(uow, "b")
    assert (await rest(store, start))[0] == ["b"]
    if backend_of(store).capabilities.has_concurrent_writers:
        assert (await rest(store, inside))[0] == ["b"]


# Side by side.


class Writer:
    """A unit of work that this task is not inside of, so that it may write beside it."""

    def __init__(self, store: Store) -> None:
        self._uow = store.unit_of_work()
        self.ids: list[str] = []

    async def begin(self, *ids: str) -> Self:
        await asyncio.create_task(self._uow.__aenter__())
        await self.add(*ids)
        return self

    async def add(self, *ids: str) -> None:
        await asyncio.create_task(add(self._uow, *ids))
        self.ids += ids

    async def sees(self, id: str) -> bool:
        return await self._uow.initiatives.find_by_id(id) is not None

    async def roll_back(self) -> None:
        await asyncio.create_task(self._uow.rollback())
        await self.end()

    async def end(self) -> None:
        await asyncio.create_task(self._uow.__aexit__(None, None, None))


@pytest.mark.usefixtures("side_by_side", "parts")
async def test_one_that_begins_early_and_commits_late_is_told_once_and_keeps_nobody_waiting(
    store: Store,
) -> None:
    early = await Writer(store).begin("early")
    found, cursor = await rest(store, None)
    assert found == []
    for number in range(3):
        await add(store, f"{number}")
        found, cursor = await rest(store, cursor)
        assert found == [f"{number}"], "nobody waits for the slowest"
    await early.end()
    found, cursor = await rest(store, cursor)
    assert found == ["early"]
    assert (await rest(store, cursor))[0] == []


@pytest.mark.usefixtures("side_by_side", "parts")
async def test_two_that_write_in_turns_are_told_one_after_the_other(store: Store) -> None:
    start = await store.changes.position()
    a, b = await Writer(store).begin("a1"), await Writer(store).begin("b1")
    await a.add("a2")
    await b.add("b2")
    await a.add("a3")
    early = (await store.changes.read(start)).cursor
    await b.end()
    found, cursor = await rest(store, early)
    assert found == ["b1", "b2"]
    await a.end()
    assert (await rest(store, cursor))[0] == ["a1", "a2", "a3"]
    assert (await rest(store, start))[0] == ["b1", "b2", "a1", "a2", "a3"]


@pytest.mark.usefixtures("side_by_side", "parts")
async def test_what_a_savepoint_undid_is_not_told_and_what_is_around_it_is(store: Store) -> None:
    start = await store.changes.position()
    async with store.unit_of_work() as uow:
        await add(uow, "before")
        with pytest.raises(LookupError):
            async with uow.savepoint():
                await add(uow, "undone")
                raise LookupError
        async with uow.savepoint():
            await add(uow, "kept")
        await add(uow, "after")
    assert (await rest(store, start))[0] == ["before", "kept", "after"]


@pytest.mark.usefixtures("side_by_side")
async def test_a_cause_comes_before_its_effect(store: Store) -> None:
    early = await Writer(store).begin("early")
    await add(store, "seen")
    assert await early.sees("seen")
    await early.add("effect")
    await early.end()
    assert (await rest(store, None))[0] == ["seen", "early", "effect"]


@pytest.mark.usefixtures("side_by_side", "parts")
@pytest.mark.parametrize("seed", range(8))
async def test_whoever_commits_when_a_reader_sees_each_whole_transaction_once(
    store: Store, seed: int
) -> None:
    """Random numbers of units, open side by side, and a reader that reads in between."""
    chance = random.Random(seed)
    cursors: dict[int, str | None] = {1: None, 3: None, 500: None}
    found: dict[int, list[list[str]]] = {limit: [] for limit in cursors}
    writers: list[Writer] = []
    committed: list[list[str]] = []

    async def read(limit: int) -> None:
        page = await store.changes.read(cursors[limit], limit=limit)
        cursors[limit] = page.cursor
        found[limit].append(names(page.changes))

    async def end(writer: Writer) -> None:
        writers.remove(writer)
        if chance.random() < 0.25:
            await writer.roll_back()
            return
        await writer.end()
        committed.append(writer.ids)

    for step in range(60):
        what = chance.choice(("begin", "write", "write", "end", "read", "read"))
        if what == "begin" and len(writers) < 4:
            writers.append(await Writer(store).begin())
        elif what == "read":
            await read(chance.choice([*cursors]))
        elif writers and what == "write":
            await chance.choice(writers).add(f"{step}")
        elif writers and what == "end":
            await end(chance.choice(writers))
    for writer in [*writers]:
        await end(writer)
    written = sorted(id for ids in committed for id in ids)
    for limit, pages in found.items():
        for _ in range(70):
            await read(limit)
        told = [id for page in pages for id in page]
        assert sorted(told) == written, f"limit {limit}"
        for page in pages:
            for ids in committed:
                of_it = [id for id in page if id in ids]
                assert of_it in ([], ids), "a transaction is told in one page, in its order"


@pytest.mark.usefixtures("side_by_side")
async def test_a_window_that_is_read_in_parts_leaves_nothing_out_that_is_committed_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_by_snapshots, "LEAST_AT_ONCE", 2)
    early = await Writer(store).begin("early")
    await add(store, *(f"{number}" for number in range(6)))
    first = await store.changes.read(None, limit=1)
    await add(store, "meanwhile")
    await early.end()
    found, _ = await rest(store, first.cursor)
    everything = names(first.changes) + found
    assert sorted(everything) == sorted([*map(str, range(6)), "early", "meanwhile"])
    assert len(everything) == len({*everything})


# Other lives of the database.


async def test_a_cursor_of_a_file_that_was_put_back_is_stale(
    migrated_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cw.db"
    shutil.copyfile(migrated_file, path)
    async with Store(path) as store:
        await add(store, "kept")
        kept = await store.changes.position()
    backup = shutil.copyfile(path, tmp_path / "backup.db")
    async with Store(path) as store:
        await add(store, "lost")
        lost = await store.changes.position()
    shutil.copyfile(backup, path)
    async with Store(path) as store:
        with pytest.raises(StaleCursorError, match="another life"):
            await store.changes.read(lost)
        assert (await store.changes.read(kept)).changes == []
        await add(store, "another", "and more")
        with pytest.raises(StaleCursorError, match="another life"):
            await store.changes.read(lost)
        assert names((await store.changes.read(kept)).changes) == ["another", "and more"]
        assert (await store.changes.read(await store.changes.position())).changes == []


async def test_a_cursor_of_what_is_no_more_there_is_stale(store: Store) -> None:
    await add(store, "a")
    start = await store.changes.position()
    await add(store, "b")
    async with store.unit_of_work() as uow:
        await uow.session.execute(text("UPDATE changes SET mark = mark + 1 WHERE seq > 0"))
    with pytest.raises(StaleCursorError):
        await store.changes.read(start)


async def test_a_cursor_of_another_kind_of_database_is_stale(
    store: Store, migrated_file: Path, migrated_server: str, tmp_path: Path
) -> None:
    is_server = backend_of(store).capabilities.has_concurrent_writers
    path = shutil.copyfile(migrated_file, tmp_path / "other.db")
    async with Store(path if is_server else migrated_server) as other:
        cursor = await other.changes.position()
    await add(store, "a")
    with pytest.raises(StaleCursorError):
        await store.changes.read(cursor)


async def test_a_cursor_of_another_database_of_the_same_server_is_stale(
    store: Store, migrated_server: str, side_by_side: None
) -> None:
    cursor = await store.changes.position()
    parts = cursor.split("/")
    parts[2] = "1-00000001"
    with pytest.raises(StaleCursorError, match="another life"):
        await store.changes.read("/".join(parts))


async def test_a_cursor_of_transactions_that_the_server_has_not_had_is_stale(
    store: Store, side_by_side: None
) -> None:
    """As after a dump is restored on another server while a store is open."""
    await add(store, "a")
    cursor = await store.changes.position()
    async with store.unit_of_work() as uow:
        await uow.session.execute(text("UPDATE changes SET xid = xid + 1000000 WHERE seq > 0"))
    with pytest.raises(StaleCursorError, match="another life"):
        await store.changes.read(cursor)


async def test_a_restored_feed_is_taken_for_what_was_before_all_else(
    store: Store, lasting_database: str, side_by_side: None
) -> None:
    await add(store, "restored")
    async with store.unit_of_work() as uow:
        await uow.session.execute(text("UPDATE changes SET xid = xid + 1000000 WHERE seq > 0"))
    async with Store(lasting_database) as opened:
        position = await opened.changes.position()
        await add(opened, "new")
        assert (await rest(opened, None))[0] == ["restored", "new"]
        assert (await rest(opened, position))[0] == ["new"]
