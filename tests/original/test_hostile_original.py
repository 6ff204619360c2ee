"""A database with everything in it that no store takes as it is: each is handled as it is said."""

import asyncio
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from cw_store import ImportReport, copy_store, import_original
from cw_store.testing.postgres_server import PostgresServer
from odd_originals import ANY, MAP, ODDITIES, Gone, Oddity, hostile_original
from originals import Rows, stored_rows


class Imported(NamedTuple):
    """A hostile database that was brought over."""

    url: str
    report: ImportReport
    rows: Rows
    left_out: list[dict[str, object]]
    mode: int


@pytest.fixture(scope="module", params=["to a file", "to a server"])
def imported(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
) -> Iterator[Imported]:
    folder = tmp_path_factory.mktemp("hostile")
    before = Path.cwd()
    os.chdir(folder)
    is_file = request.param == "to a file"
    url = str(folder / "cw.db") if is_file else postgres_server.create_database()
    with ThreadPoolExecutor(1) as executor:
        yield executor.submit(asyncio.run, _imported(folder, url)).result()
    os.chdir(before)
    if not is_file:
        postgres_server.drop_database(url)


async def _imported(folder: Path, url: str) -> Imported:
    source = await asyncio.to_thread(hostile_original, folder / "source.db")
    report = await import_original(source, url, map=MAP)
    assert report.left_out_file is not None
    file = Path(report.left_out_file)
    lines = [json.loads(line) for line in file.read_text().splitlines()]  # noqa: ASYNC240 -- nobody else is on the loop
    mode = stat.S_IMODE(file.stat().st_mode)  # noqa: ASYNC240 -- as above
    return Imported(url, report, await stored_rows(url), lines, mode)


def test_there_are_many_kinds_of_oddities() -> None:
    assert len(ODDITIES) >= 105
    assert len({oddity.name for oddity in ODDITIES}) == len(ODDITIES)


@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: oddity.name)
def test_an_oddity_is_handled_as_it_is_said(imported: Imported, oddity: Oddity) -> None:
    codes: dict[tuple[str | None, str | None], set[str]] = {}
    for finding in imported.report.findings:
        if finding.level != "note":
            codes.setdefault((finding.table, finding.id), set()).add(finding.code)
    for end in oddity.ends:
        found = codes.get((end.table, end.id), set())
        if isinstance(end, Gone):
            assert end.id not in imported.rows[end.table]
            assert end.code in found
            continue
        row = imported.rows[end.table][end.id]
        for column, value in end.values.items():
            if value is ANY:
                assert row[column] is not None
            else:
                assert row[column] == value and type(row[column]) is type(value)
        if end.code is None:
            assert not found
        else:
            assert end.code in found


def test_every_row_of_the_source_is_written_or_left_out(imported: Imported) -> None:
    for table in imported.report.tables:
        assert table.read == table.written + table.left_out, table
        assert table.written == len(imported.rows[table.name])


def test_every_row_that_is_left_out_is_in_a_file_for_its_owner_alone(imported: Imported) -> None:
    assert len(imported.left_out) == imported.report.left_out > 10
    assert imported.mode == 0o600
    by_table = Counter(line["table"] for line in imported.left_out)
    for table in imported.report.tables:
        assert by_table[table.name] == table.left_out
    galaxies = [line for line in imported.left_out if "galaxy" in json.dumps(line["row"])]
    assert len(galaxies) == 4


def test_rows_without_an_id_get_one(imported: Imported) -> None:
    ids = [id for id, row in imported.rows["errands"].items() if row["description"] == "nameless"]
    assert len(ids) == 1 and len(ids[0]) == 21
    second = [id for id, row in imported.rows["errands"].items() if row["description"] == "second"]
    assert len(second) == 1 and len(second[0]) == 21
    contents = [row["content"] for row in imported.rows["agent_log_chunks"].values()]
    assert {"chunk without id", "one", "two", "three"} <= set(contents)


def test_references_follow_to_the_id_that_a_row_gets(imported: Imported) -> None:
    rows = imported.rows
    phase_id = rows["tasks"]["of the phase without id"]["phase_id"]
    assert len(phase_id) == 21 and phase_id in rows["phases"]
    assert rows["review_comments"]["on the phase without id"]["phase_id"] == phase_id
    assert rows["proposals"]["for the phase without id"]["target_id"] == phase_id
    agent_id = rows["agent_log_chunks"]["of the agent without id"]["agent_id"]
    assert rows["agents"][agent_id]["name"] == "nobody"
    below = rows["tasks"]["below bad"]["parent_task_id"]
    assert below in rows["tasks"] and below != "bad\ufffd"


def test_log_chunks_keep_the_order_in_which_they_were_stored(imported: Imported) -> None:
    ids = [id for id in imported.rows["agent_log_chunks"] if id.startswith("chunk ")]
    plain = [id for id in ids if id[6:].isdigit()]
    assert plain == [f"chunk {number}" for number in range(1_000)]


def test_findings_name_what_was_and_what_is_cut_short(imported: Imported) -> None:
    found = [finding for finding in imported.report.findings if finding.code == "json_as_text"]
    assert found
    assert all(len(finding.old or "") <= 80 for finding in imported.report.findings)
    assert all(len(finding.new or "") <= 80 for finding in imported.report.findings)


def test_no_secret_is_told(imported: Imported, caplog: pytest.LogCaptureFixture) -> None:
    told = (
        json.dumps(imported.report.as_json())
        + str(imported.report)
        + json.dumps(imported.left_out)
        + caplog.text
    )
    assert "secret" not in told and "cw-store:fernet" not in told


def test_the_page_of_text_obeys_no_stored_text(imported: Imported) -> None:
    assert all(line.isprintable() for line in str(imported.report).split("\n"))


def test_active_chats_and_tasks_that_nobody_is_at_are_named(imported: Imported) -> None:
    notes = {(finding.code, finding.id) for finding in imported.report.findings}
    assert ("active_chats", "older chat") in notes
    assert ("task_without_agent", "at work") in notes
    assert ("task_without_agent", "asked about") not in notes
    assert ("agent_crashed", "running") in notes


async def test_what_was_imported_can_be_copied(imported: Imported, tmp_path: Path) -> None:
    report = await copy_store(imported.url, tmp_path / "copy.db")
    assert report.rows == imported.report.written
    digests = {table.name: table.digest for table in report.tables}
    assert all(name in digests for name in imported.rows)


async def test_the_same_source_gives_the_same_store(imported: Imported, tmp_path: Path) -> None:
    source = hostile_original(tmp_path / "source.db")
    report = await import_original(source, tmp_path / "cw.db", map=MAP, dry_run=True)
    ids = [(finding.table, finding.id, finding.code) for finding in report.findings]
    assert ids == [
        (finding.table, finding.id, finding.code) for finding in imported.report.findings
    ]
