"""Drawings and reports: written whole, to a file or to stdout, where what draws them is there."""

import sys
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from command_line import CommandLine
from demo_stores import copied, filled
from stores import prepared

from cw_store import Store

DRAWN = [
    ("graph", "User auth", "--format", "svg"),
    ("graph", "--format", "html"),
    ("timeline", "User auth", "--format", "svg"),
    ("timeline", "--format", "html"),
    ("report",),
    ("report", "Billing"),
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return filled(str(tmp_path_factory.mktemp("demo") / "cw.db"))


@pytest.mark.parametrize("words", DRAWN, ids=" ".join)
def test_it_goes_to_stdout_or_into_a_file_and_is_the_same(
    demo: CommandLine, words: tuple[str, ...]
) -> None:
    done = demo(*words)
    assert (done.code, done.err) == (0, "")
    assert demo(*words, "-o", "-").out == done.out
    file = Path("drawn")
    file.write_text("what was there")
    into = demo(*words, "-o", "drawn")
    assert (into.code, into.out, into.err) == (0, "", "cw-store: wrote drawn\n")
    assert file.read_text() == done.out
    assert [each.name for each in Path().iterdir()] == ["drawn"]


def test_a_drawing_is_a_whole_file_with_all_tasks(demo: CommandLine) -> None:
    svg = fromstring(demo("graph", "--format", "svg").out)
    ids = {each.get("data-task") for each in svg.iter()} - {None}
    assert ids == {task["id"] for task in demo("ls", "tasks", "--json").data}


def test_what_cannot_be_written_is_told_and_leaves_nothing(demo: CommandLine) -> None:
    done = demo("report", "-o", "none/run.html")
    assert (done.code, done.out) == (3, "")
    assert "No such file" in done.err


def test_as_json_it_is_the_record(demo: CommandLine) -> None:
    assert demo("graph", "Billing", "--format", "svg", "--json").data[0]["counts"]["done"] == 2
    assert demo("timeline", "Billing", "--json").data[0]["rows"][1]["bars"][0]["attempt"] == 1
    assert set(demo("report", "--json").data) == {"board", "inbox", "graphs", "timelines"}


def test_a_report_is_not_written_to_a_terminal(demo: CommandLine) -> None:
    done = demo.on_terminal("report")
    assert (done.code, done.out) == (2, "")
    assert "-o" in done.err
    assert demo.on_terminal("report", "-o", "-").code == 0


def test_of_nobody_nothing_is_drawn(demo: CommandLine) -> None:
    for words in (("timeline", "nobody"), ("report", "nobody", "-o", "run.html")):
        assert demo(*words).code == 1
    assert not Path("run.html").exists()


@pytest.mark.parametrize("missing", ["jinja2", "fast_sugiyama"])
@pytest.mark.parametrize("words", DRAWN, ids=" ".join)
def test_without_the_extra_it_says_what_to_install(
    demo: CommandLine, words: tuple[str, ...], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("cw_store.live")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    done = demo(*words, "-o", "drawn")
    assert (done.code, done.out) == (2, "")
    assert done.err == "cw-store: this needs the extra live: install cw-store[live]\n"
    assert not Path("drawn").exists()
    assert demo("timeline", "Billing").code == 0, "text needs none"


def test_bars_are_drawn_in_characters_on_a_terminal(demo: CommandLine) -> None:
    for width in (70, 100, 160):
        out = demo.on_terminal("timeline", "User auth", width=width).out
        lines = out.splitlines()
        [row] = [line for line in lines if line.startswith("Unit tests")]
        assert row.count("✗") == 3 and "━" in row and row.rstrip().endswith("stopped")
        assert any("█" in line and "running" in line for line in lines)
        assert all(len(line) <= width for line in lines[:-1])


def test_an_initiative_without_agents_has_none_at_work(demo: CommandLine, tmp_path: Path) -> None:
    typed = copied(Path(demo.url), tmp_path)

    async def add(store: Store) -> None:
        await store.initiatives.create(name="Later")

    prepared(typed.url, add)
    assert typed.on_terminal("timeline", "Later").out.split("\n  ")[1].startswith("no agent")
    assert typed("timeline", "Later").rows == []
    assert "No agent was at work." in typed("timeline", "Later", "--format", "svg").out
