"""`cw-store import`: a store made of a file of another program, and an exit code that says how."""

import json
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from command_line import CommandLine
from stores import BOTH, FILE, prepared

from builders import add_initiative
from hostile import harmful
from odd_originals import hostile_original
from originals import add, small_original


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "original").mkdir()
    return small_original(tmp_path / "original" / "cw.db")


def change(source: Path, work: Callable[[sqlite3.Connection], object]) -> None:
    with closing(sqlite3.connect(source)) as original:
        work(original)
        original.commit()


@BOTH
def test_what_needs_no_repair_is_0(typed: CommandLine, source: Path) -> None:
    done = typed("import", str(source))
    assert done.code == 0
    assert "read\t61\nwritten\t61\nrepaired\t0\nleft out\t0\n" in done.out
    assert "agent_log_chunks\t50\t50\t0\t0\n" in done.out
    assert len(typed("ls", "tasks", "--json").data) == 1


@BOTH
def test_what_is_repaired_is_3_and_is_named(typed: CommandLine, source: Path) -> None:
    change(source, lambda original: original.execute("UPDATE tasks SET status = 'failed'"))
    done = typed("import", str(source))
    assert done.code == 3
    assert (
        "repair\ttasks\tstatus\tt\tan unknown value; it is at rest now\tfailed\tblocked\t1\n"
        in (done.out)
    )
    assert [task["status"] for task in typed("ls", "tasks", "--json").data] == ["blocked"]


@BOTH
def test_what_is_left_out_is_4_and_is_in_a_file(typed: CommandLine, source: Path) -> None:
    change(source, lambda original: add(original, "phases", id="x", initiative_id="gone"))
    done = typed("import", str(source))
    assert done.code == 4
    _, _, path = done.err.splitlines()[-1].partition("left out are in ")
    assert '"id": "x"' in Path(path).read_text()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@BOTH
def test_what_is_refused_is_2_and_nothing_is_written(typed: CommandLine, source: Path) -> None:
    prepared(typed.url, add_initiative)
    before = typed("status", "--json").data
    for words, told in (
        ((str(source),), "not empty"),
        ((str(source), "--dry-run"), "not empty"),
        (("nothing.db",), "No such file"),
        ((str(source.parent),), "it is no file"),
        ((str(source), "--map", "tasks.status=x"), "--map takes"),
        ((str(source), "--map", "tasks.mood:a=b"), "no enumerated column"),
        ((str(source), "--no-logs", "--logs-only"), "contradict"),
        ((str(source), "--report", "no/such/folder"), "cannot write the report"),
        ((typed.url,), ""),
    ):
        done = typed("import", *words)
        assert (done.code, done.out) == (2, ""), words
        assert done.err.splitlines()[-1].startswith("cw-store: ") and told in done.err
    assert typed("status", "--json").data.keys() == before.keys()
    assert len(typed("ls", "initiatives", "--json").data) == 1


@BOTH
def test_strict_refuses_what_needs_repair(typed: CommandLine, source: Path) -> None:
    change(source, lambda original: original.execute("UPDATE tasks SET status = 'failed'"))
    done = typed("import", str(source), "--strict", "--json")
    assert done.code == 2
    assert (done.error["code"], done.error["exit_code"]) == ("refused", 2)
    assert "tasks.status of 't'" in done.error["message"]
    assert typed("ls", "tasks", "--json").data == []


@BOTH
def test_a_map_says_what_becomes_of_a_value(typed: CommandLine, source: Path) -> None:
    change(source, lambda original: original.execute("UPDATE tasks SET status = 'a:b=c'"))
    words = ("--map", "tasks.status:a:b=c=completed", "--map", "agents.status:idle=stopped")
    assert typed("import", str(source), *words).code == 3
    assert [task["status"] for task in typed("ls", "tasks", "--json").data] == ["completed"]


@BOTH
def test_a_dry_run_writes_nothing_and_ends_as_the_import_would(
    typed: CommandLine, source: Path
) -> None:
    change(source, lambda original: add(original, "phases", id="x", initiative_id="gone"))
    tried = typed("import", str(source), "--dry-run", "--json")
    assert tried.code == 4 and tried.data["left_out_file"] is None
    assert typed("ls", "tasks", "--json").data == []
    done = typed("import", str(source), "--json")
    assert done.code == 4
    assert (done.data["tables"], done.data["findings"]) == (
        tried.data["tables"],
        tried.data["findings"],
    )


@BOTH
def test_the_report_goes_to_a_file_as_well(typed: CommandLine, source: Path) -> None:
    done = typed("import", str(source), "--report", "report.json", "--json")
    report = json.loads(Path("report.json").read_text())
    assert report == done.data and report["totals"]["written"] == 61
    assert stat.S_IMODE(os.stat("report.json").st_mode) == 0o600


@BOTH
def test_logs_may_follow_later(typed: CommandLine, source: Path) -> None:
    assert typed("import", str(source), "--no-logs").code == 0
    assert typed("logs", "a").out == ""
    first = typed("import", str(source), "--logs-only", "--json").data
    again = typed("import", str(source), "--logs-only", "--json").data
    assert [each["tables"][0]["written"] for each in (first, again)] == [50, 0]
    assert len(typed("logs", "a").out.splitlines()) == 50


@FILE
def test_hostile_text_is_harmless_and_many_findings_are_not_all_shown(
    typed: CommandLine, tmp_path: Path
) -> None:
    url = str(tmp_path / "new.db")
    typed = CommandLine(url)
    source = hostile_original(tmp_path / "hostile.db", chunks=10)
    change(source, lambda original: original.execute("UPDATE agents SET status = '\x1b[31m'"))
    shown = typed.on_terminal("import", str(source), "--dry-run", "-q")  # without a bar
    assert shown.code == 4
    assert not harmful(shown.out + shown.err)
    done = typed("import", str(source))
    assert done.code == 4
    assert not harmful(done.out + done.err, lets="\n\t")
    assert "more findings of these kinds: --report FILE or --json" in done.err
    assert "secret" not in done.out + done.err
