"""A database file that is removed or replaced under an open store."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import add_initiative
from cw_store import Store, StoreError
from cw_store.backends.sqlite.file_watch import LOOK_EVERY, FileWatch
from steppable_loop import SteppableLoop


@pytest.fixture
def path(tmp_path: Path, migrated_file: Path) -> Path:
    path = tmp_path / "folder" / "cw.db"
    path.parent.mkdir()
    shutil.copyfile(migrated_file, path)
    return path


def _remove_all(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def _replace(path: Path) -> None:
    other = path.with_name("other.db")
    shutil.copyfile(path, other)
    other.rename(path)


def _remove_log(path: Path) -> None:
    path.with_name("cw.db-wal").unlink()


def _remove_index(path: Path) -> None:
    path.with_name("cw.db-shm").unlink()


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


WHAT: dict[str, tuple[Callable[[Path], None], str]] = {
    "all is removed": (_remove_all, r"'cw\.db' was removed"),
    "it is replaced": (_replace, r"'cw\.db' was replaced"),
    "its log is removed": (_remove_log, r"'cw\.db-wal' was removed"),
    "its index is removed": (_remove_index, r"'cw\.db-shm' was removed"),
    "it is emptied": (_empty, r"'cw\.db' was emptied"),
    "its folder is moved": (_move_folder, r"'cw\.db' was removed"),
}


@pytest.mark.parametrize("what", WHAT)
async def test_nothing_is_stored_or_read_in_a_file_that_is_gone(
    path: Path, what: str, steppable_loop: SteppableLoop
) -> None:
    change, told = WHAT[what]
    async with Store(path) as store:
        initiative = await add_initiative(store)
        await store.initiatives.find_all()
        unit, reading = store.unit_of_work(), store.unit_of_work(read_only=True)
        await unit.__aenter__()
        await unit.initiatives.update(initiative.id, name="x")
        change(path)
        steppable_loop.advance(LOOK_EVERY)
        with pytest.raises(StoreError, match=told):
            await unit.__aexit__(None, None, None)
        assert unit.committed is False
        with pytest.raises(StoreError, match=told):
            await add_initiative(store)
        for outcome in await asyncio.gather(
            *(add_initiative(store) for _ in range(3)), return_exceptions=True
        ):
            assert isinstance(outcome, StoreError)
        with pytest.raises(StoreError, match=told):
            await store.initiatives.find_all()
        with pytest.raises(StoreError, match=told):
            async with reading as uow:
                await uow.initiatives.find_all()
        with pytest.raises(StoreError, match=told):
            async with store.unit_of_work() as uow:
                await uow.initiatives.create(name="x")
        assert store.connections_in_use == 0


async def test_a_file_that_comes_back_is_good_again(
    path: Path, steppable_loop: SteppableLoop
) -> None:
    elsewhere = path.parent.with_name("elsewhere")
    async with Store(path) as store:
        path.parent.rename(elsewhere)
        steppable_loop.advance(LOOK_EVERY)
        with pytest.raises(StoreError):
            await add_initiative(store)
        elsewhere.rename(path.parent)
        await add_initiative(store)
        assert len(await store.initiatives.find_all()) == 1


async def test_who_only_reads_is_told_as_well(path: Path, steppable_loop: SteppableLoop) -> None:
    async with Store(path, read_only=True) as store:
        assert await store.initiatives.find_all() == []
        _replace(path)
        steppable_loop.advance(LOOK_EVERY)
        with pytest.raises(StoreError, match="was replaced"):
            await store.initiatives.find_all()
        with pytest.raises(StoreError, match="was replaced"):
            async with store.unit_of_work() as uow:
                await uow.initiatives.find_all()


def test_the_file_system_is_asked_once_in_a_while(path: Path) -> None:
    watch = FileWatch()
    assert watch.refusal(10**9) is None  # nothing is watched yet
    watch.begin(path, 100.0)
    path.unlink()
    assert watch.refusal(100.0 + LOOK_EVERY / 2) is None
    for _ in range(2):
        assert isinstance(watch.refusal(100.0 + LOOK_EVERY), StoreError)
    assert LOOK_EVERY < 1
