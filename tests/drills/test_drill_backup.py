"""Backups that are cancelled, at any await, early and late, once and twice."""

import os
from pathlib import Path

import pytest
from drill import CANCELLATIONS, Cancellation, Drill, cancelled_at, rows_by_key

from cw_store import Store
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
