"""Whatever is in the cells: it is stored, repaired or left out, and all of it is counted."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cw_store import Store, copy_store, import_original
from originals import COLUMNS, add, create_tables, stored_rows

SEEDS = range(12)

VALUES: tuple[object, ...] = (
    None,
    "",
    b"",
    0,
    1,
    -1,
    2**31,
    2**63 - 1,
    -(2**63),
    1.5,
    -0.0,
    1e308,
    float("inf"),
    "0",
    "1",
    " pending ",
    "COMPLETED",
    "in-progress",
    "running",
    "task",
    "null",
    "{}",
    "[1e400]",
    '{"a": {"b": [1, 2.5, "\\ud800\\u0000"]}}',
    "[" * 150,
    "a\0b",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "\x1b[31m",
    "cw-store:fernet:x",
    "cw-store:plain:",
    "2026-03-01T10:06:30Z",
    "2026-03-01 10:06:30",
    "0001-01-01",
    "9999-12-31T23:59:59.999999+14:00",
    1_772_359_590,
    1_772_359_590_123,
    1_772_359_590_123_456,
    10**17,
    "x" * 1_500,
    "é\u202e🦊",
)
IDS: tuple[object, ...] = (
    *(f"r{number}" for number in range(8)),
    "",
    None,
    b"r1",
    b"\xff",
    7,
    "\0",
)


def random_original(path: Path, seed: int) -> int:
    """Make a database in which half of the cells hold anything; return how many rows it has."""
    chance = random.Random(seed)
    rows = 0
    with closing(sqlite3.connect(path)) as original:
        create_tables(original)
        for table, described in COLUMNS.items():
            columns = [column.rstrip("!") for column in described.split(", ")]
            for number in range(chance.randrange(2, 14)):
                row: dict[str, object] = {"id": f"r{number}"}
                for column in columns:
                    if column == "id":
                        if chance.random() < 0.2:
                            row[column] = chance.choice(IDS)
                    elif column.endswith("_id"):
                        row[column] = chance.choice(IDS)
                    elif chance.random() < 0.5:
                        row[column] = chance.choice(VALUES)
                add(original, table, **row)
                rows += 1
        original.commit()
    return rows


@pytest.mark.parametrize("seed", SEEDS)
async def test_anything_in_any_cell_comes_over_or_is_told(tmp_path: Path, seed: int) -> None:
    source = tmp_path / "original.db"
    rows = random_original(source, seed)
    before = source.read_bytes()
    report = await import_original(source, tmp_path / "cw.db")
    assert source.read_bytes() == before
    assert report.read == rows == report.written + report.left_out
    stored = await stored_rows(str(tmp_path / "cw.db"))
    assert {table.name: table.written for table in report.tables} == {
        name: len(found) for name, found in stored.items()
    }
    assert str(report) and report.as_json()
    left_out = [finding for finding in report.findings if finding.level == "left_out"]
    assert sum(finding.count for finding in left_out) == report.left_out
    assert (await copy_store(tmp_path / "cw.db", tmp_path / "copy.db")).rows == report.written
    await no_rule_of_the_store_is_broken(tmp_path / "cw.db")


async def no_rule_of_the_store_is_broken(path: Path) -> None:
    """Look at what the store's own methods keep, and the database does not."""
    async with Store(path) as store:
        for initiative in await store.initiatives.find_all():
            pages = await store.pages.find_by_initiative_id(initiative.id)
            assert len([page for page in pages if page.parent_page_id is None]) == min(
                1, len(pages)
            )
            phases = {each.id for each in await store.phases.find_by_initiative_id(initiative.id)}
            for task in await store.tasks.find_by_initiative_id(initiative.id):
                assert task.phase_id is None or task.phase_id in phases
        tasks = {task.id: task for task in await store.tasks.find_all()}
        for task in tasks.values():
            if task.parent_task_id is not None:
                assert tasks[task.parent_task_id].initiative_id in (None, task.initiative_id)
                above, steps = task, 0
                while above.parent_task_id is not None:
                    above, steps = tasks[above.parent_task_id], steps + 1
                    assert steps <= len(tasks)
        await no_circle_and_right_numbers(store)
        assert not await store.agents.find_by_status("running")
        await store.claims.find_ready()
        await store.claims.next(holder="here", worktree_id="tree", provider=None)
        for account in await store.accounts.find_all():
            assert account.credentials is None or isinstance(account.credentials, str)


async def no_circle_and_right_numbers(store: Store) -> None:
    for rows, dependencies in (
        (await store.tasks.find_all(), store.tasks.get_dependencies),
        (await store.phases.find_all(), store.phases.get_dependencies),
    ):
        waits_for = {row.id: await dependencies(row.id) for row in rows}
        for row in rows:
            still = [each for each in waits_for[row.id] if each.status != "completed"]
            assert row.open_dependencies == (0 if row.status == "completed" else len(still))
        left = {id: {each.id for each in found} for id, found in waits_for.items()}
        while free := [id for id, found in left.items() if not found & left.keys()]:
            for id in free:
                del left[id]
        assert not left, "what is left waits for itself"
