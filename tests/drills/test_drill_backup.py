"""What keeps a store, cancelled at any await, early and late, once and twice."""

import io
import os
from pathlib import Path

import pytest
from drill import Drill, rows_by_key

from cw_store import Store, ensure_schema, import_store, restore_store
from cw_store.testing.cancellation import CANCELLATIONS, Cancellation, cancelled_at
from fillings import fill_log


@pytest.mark.parametrize("how", CANCELLATIONS, ids=str)
async def test_a_backup_cancelled_at_any_await_leaves_what_was_or_all_of_it(
    url: str, tmp_path: Path, drill: Drill, how: Cancellation
) -> None:
    path = tmp_path / "backups" / "backup.db"
    path.parent.mkdir()
    ended, points = 0, 1
    async with Store(url) as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, drill.amount(200, 2_000))
        reached = True
        while reached:
            path.write_text("the old one")
            reached, finished = await cancelled_at(points, how, store.backup(path, force=True))
            assert os.listdir(path.parent) == ["backup.db"]
            if finished or path.stat().st_size > 20:
                ended += 1
                async with Store(path, read_only=True) as copy:
                    rows = await rows_by_key(copy)
                    assert sum(rows.values()) == drill.amount(200, 2_000)
            else:
                assert path.read_text() == "the old one"
            points += drill.amount(1 + points // 2, 1)
        assert store.connections_in_use == 0
    assert ended and points > 3
    drill.held(f"{points} awaits; {ended} times all of it was there")


@pytest.mark.parametrize("how", CANCELLATIONS, ids=str)
async def test_a_restore_cancelled_at_any_await_leaves_what_was_or_all_of_it(
    file: str, tmp_path: Path, drill: Drill, how: Cancellation
) -> None:
    backup, ended, point, reached = tmp_path / "backup.db", 0, 0, True
    async with Store(":memory:") as store:
        await store.initiatives.create(name="then")
        await store.backup(backup)
    async with Store(file) as store:
        await store.initiatives.create(name="now")
    while reached:
        point += 1
        reached, finished = await cancelled_at(point, how, restore_store(backup, file, force=True))
        assert not [name for name in os.listdir(tmp_path) if "partial" in name]
        async with Store(file) as store:
            [initiative] = await store.initiatives.find_all()
            assert initiative.name == "then" or (ended == 0 and not finished)
            ended += initiative.name == "then"
    assert ended and point > 3
    drill.held(f"{point} awaits; {ended} times all of it was there")


@pytest.mark.parametrize("how", CANCELLATIONS, ids=str)
async def test_an_import_cancelled_at_any_await_leaves_nothing_or_all_of_it(
    url: str, tmp_path: Path, drill: Drill, how: Cancellation
) -> None:
    export, chunks, points, reached = tmp_path / "export.jsonl", 50, 1, True
    rows: dict[str, int] = {}
    async with Store(":memory:") as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, chunks)
        await store.export(export)
    await ensure_schema(url)
    while reached:
        reached, finished = await cancelled_at(points, how, import_store(export, url))
        async with Store(url) as store:
            rows = await rows_by_key(store)
            assert sum(rows.values()) in ((chunks,) if finished else (0, chunks))
            if rows:
                break
        points += drill.amount(1 + points // 2, 1)
    assert rows and points > 3
    drill.held(f"{points} awaits, then all of it was there")


@pytest.mark.parametrize("how", CANCELLATIONS, ids=str)
async def test_an_export_cancelled_at_any_await_leaves_no_file_or_all_of_it(
    url: str, tmp_path: Path, drill: Drill, how: Cancellation
) -> None:
    path = tmp_path / "exports" / "export.jsonl"
    path.parent.mkdir()
    ended, points, reached = 0, 1, True
    async with Store(url) as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, 50)
        whole = io.BytesIO()
        await store.export(whole)
        while reached:
            reached, finished = await cancelled_at(points, how, store.export(path))
            assert os.listdir(path.parent) in ([], ["export.jsonl"])
            if path.exists():
                assert path.read_bytes() == whole.getvalue()
                path.unlink()
                ended += 1
            else:
                assert not finished
            points += drill.amount(1 + points // 4, 1)
        assert store.connections_in_use == 0
    assert ended and points > 3
    drill.held(f"{points} awaits; {ended} times all of it was there")
