"""An import that is cancelled at any await leaves an empty target, or all of it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from drill import Drill

from cw_store import import_original
from cw_store.testing.cancellation import CANCELLATIONS, cancelled_at
from cw_store.testing.postgres_server import PostgresServer
from originals import add, create_tables, stored_rows


def smallest_original(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as original:
        create_tables(original)
        add(original, "initiatives", id="i")
        add(original, "phases", id="x", initiative_id="gone")
        add(original, "agent_log_chunks", id="chunk")
        original.commit()
    return path


@pytest.mark.parametrize("kind", ["a file", "a server"])
async def test_an_import_cancelled_at_any_await_leaves_all_or_nothing(
    kind: str,
    tmp_path: Path,
    postgres_server: PostgresServer,
    drill: Drill,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    source = smallest_original(tmp_path / "original.db")
    before = source.read_bytes()
    whole = tried = 0
    step = drill.amount(67, 1) if kind == "a file" else drill.amount(211, 5)
    for how in CANCELLATIONS:
        point = 1 + CANCELLATIONS.index(how)
        while True:
            url = (
                str(tmp_path / f"{how.late}{how.twice}{point}.db")
                if kind == "a file"
                else postgres_server.create_database()
            )
            reached, finished = await cancelled_at(point, how, import_original(source, url))
            rows = await stored_rows(url)
            found = {name: len(each) for name, each in rows.items() if each}
            assert found in ({}, {"initiatives": 1, "agent_log_chunks": 1})
            assert not finished or found
            if kind != "a file":
                postgres_server.drop_database(url)
            whole += bool(found)
            tried += 1
            if not reached:
                break
            point += step
    assert source.read_bytes() == before
    drill.held(f"{tried} imports cancelled, {whole} of them whole, the others left nothing")
