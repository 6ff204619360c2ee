"""Graphs and timelines as SVG: what is drawn, told and linked, and that text stays text."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from drawn_plans import (
    a_bar,
    a_graph,
    a_task,
    a_timeline,
    an_account,
    any_graph,
    any_timeline,
)
from svg import Svg, bar_of
from test_colours import VARIABLES, contrast

import cw_store.live
from cw_store import views
from cw_store.live.drawings import graph_file, graph_svg, timeline_file, timeline_svg
from cw_store.live.drawings.marks import MARKS
from cw_store.live.drawings.text_widths import width_of
from cw_store.safe_text import safe
from hostile import HOSTILE

STATIC = Path(cw_store.live.__file__).parent

ELEMENTS = {"svg", "desc", "title", "g", "a", "rect", "path", "text", "style"}
MARKUP = HOSTILE + "<script>alert(1)</script>]]>&amp;\"'\x00\x1b\ud800\ufffe --> </svg>"


def one_of_each() -> views.Graph:
    tasks = [a_task(number, "p0", lane) for number, lane in enumerate(views.LANES)]
    return a_graph(tasks, [("t3", "t2"), ("t3", "t4")], ["p0"], [])


# What is told.


def test_a_state_is_told_by_a_shape_and_not_by_a_colour_alone() -> None:
    svg = Svg(graph_file(one_of_each()))
    shapes = {
        path.get("d")
        for lane in views.LANES
        for path in svg.task(f"t{views.LANES.index(lane)}").iter()
        if path.get("class", "").startswith("mark")
    }
    assert shapes == {mark.path for mark in MARKS.values()}
    assert len(shapes) == len(views.LANES)


def test_a_box_says_its_name_in_full_and_why_it_waits() -> None:
    name = "A task whose name is longer than any box that is drawn of one"
    task = replace(a_task(0, "p0"), name=name, why="waits for the end of the world, as we all do")
    box = Svg(graph_file(a_graph([task], [], ["p0"], []))).task("t0")
    told = ["".join(each.itertext()) for each in box if each.tag.endswith("title")]
    assert told == [f"{name}\nwaiting\n{task.why}"]
    shown = [each for each in box.iter() if each.get("class") in ("name", "why")]
    assert [str(each.text)[-1] for each in shown] == ["…", "…"]
    [hint] = [each for each in box.iter() if each.get("class") == "hint"]
    assert [each.text for each in hint if each.text] == [name, task.why], "on focus, all of it"


@pytest.mark.parametrize(
    ("why", "shown"),
    [
        ("not before 2026-01-15 12:14:00 UTC", "from 01-15 12:14 UTC"),
        ("its phase is pending_review", "phase is pending review"),
        ("its phase waits for Core", "phase waits for Core"),
        ("its initiative has as many agents at work as it may, 3", "initiative is full: 3"),
        ("the lease of peppy-quail ran out", "lease ran out: peppy-quail"),
        ("blocked after 3 failed tries", "blocked, 3 failed tries"),
        ("waits for snake_case", "waits for snake_case"),
    ],
)
def test_a_reason_that_is_long_is_said_in_fewer_words(why: str, shown: str) -> None:
    task = replace(a_task(0, "p0"), why=why)
    box = Svg(graph_file(a_graph([task], [], ["p0"], []))).task("t0")
    assert [each.text for each in box.iter() if each.get("class") == "why"] == [shown]
    assert any(why in (each.text or "") for each in box if each.tag.endswith("title"))


def test_labels_end_within_their_boxes() -> None:
    svg = Svg(graph_file(any_graph(150, 7)))
    boxes = [each for each in svg.root.iter() if each.get("data-task")]
    assert len(boxes) == 150
    for box in boxes:
        [rect, *_] = [each for each in box if each.get("class") == "box"]
        room = float(rect.attrib["width"]) - 28
        texts = [each for each in box if each.get("class") in ("name", "why")]
        assert texts and all(width_of(each.text or "", 12) < room for each in texts)


def test_the_critical_path_is_drawn_heavier_and_what_is_met_lighter() -> None:
    graph = one_of_each()
    edges = tuple(replace(edge, is_critical=not edge.is_met) for edge in graph.task_edges)
    svg = Svg(graph_file(replace(graph, task_edges=edges)))
    kinds = {each.get("data-from"): each.get("class") for each in svg.each("path", "edge")}
    assert kinds == {"t2": "edge is-critical", "t4": "edge is-met"}


def test_tasks_around_a_circle_say_that_none_can_begin() -> None:
    tasks = [a_task(0, "p0"), a_task(1, "p1")]
    graph = a_graph(tasks, [("t0", "t1")], ["p0", "p1"], [("p1", "p0")])
    assert graph.circles
    told = [each for each in Svg(graph_file(graph)).titles() if "circle" in each]
    assert len(told) == 2


def test_a_phase_that_is_done_is_folded_in_a_large_plan_alone() -> None:
    def drawn(size: int) -> Svg:
        tasks = [
            a_task(number, f"p{number * 4 // size}", "done" if number * 4 < size else "ready")
            for number in range(size)
        ]
        edges = [(f"t{size - 1}", "t0"), ("t1", "t0")]
        return Svg(graph_file(a_graph(tasks, edges, ["p0", "p1", "p2", "p3"], [])))

    small, large = drawn(40), drawn(44)
    assert len([each for each in small.root.iter() if each.get("data-task")]) == 40
    assert len([each for each in large.root.iter() if each.get("data-task")]) == 33
    assert (len(small.each("path", "edge")), len(large.each("path", "edge"))) == (2, 0)
    assert "11 of 11 done" in large.texts()


def test_tasks_of_no_phase_have_a_lane_below_the_phases() -> None:
    texts = Svg(graph_file(a_graph([a_task(0, None), a_task(1, "p0")], [], ["p0"], []))).texts()
    assert texts.index("Phase p0") < texts.index("without a phase")


def test_nothing_is_drawn_of_nothing_and_said_so() -> None:
    svg = Svg(graph_file(a_graph([], [], [], [])))
    assert svg.titles() == ["User auth: 0 of 0 done"]
    assert "No agent was at work." in timeline_file(a_timeline([]))
    assert Svg(graph_file()).titles() == ["nothing to draw"]


# The timeline.


def test_tries_of_a_task_stand_side_by_side_in_its_row() -> None:
    tries = [
        a_bar(0, 300, 200, "crashed", 1),
        a_bar(1, 150, 100, exit_code=1, attempt=2),
        a_bar(2, 50, None, "running", 3),
    ]
    svg = Svg(timeline_file(a_timeline([tries, [a_bar(3, 20, 10)]])))
    first, second, third, other = (bar_of(svg.agent(f"a{number}")) for number in range(4))
    assert first[1] == second[1] == third[1] < other[1]
    assert first[2] < second[0] < second[2] < third[0]
    assert "3 · cosmic-jackal-2" in svg.texts()
    assert len(svg.each("path", "again")) == 1


def test_tries_at_the_same_time_do_not_hide_each_other() -> None:
    tries = [a_bar(number, 60 - number, None, "running", number + 1) for number in range(9)]
    svg = Svg(timeline_file(a_timeline([tries, [a_bar(9, 20, 10)]])))
    tops = [bar_of(svg.agent(f"a{number}"))[1] for number in range(9)]
    assert len(set(tops[:4])) == len(set(tops)) == 4
    assert max(tops) < bar_of(svg.agent("a9"))[1], "and no row is of any height"


@pytest.mark.parametrize(
    ("outcome", "exit_code", "name", "is_hatched"),
    [
        ("running", None, "run-running", False),
        ("waiting_for_input", None, "run-waits", False),
        ("idle", None, "run-idle", False),
        ("crashed", None, "run-crashed", True),
        ("stopped", 1, "run-failed", True),
        ("stopped", 0, "run-ended", False),
    ],
)
def test_how_it_ended_is_told_by_a_pattern_and_in_words(
    outcome: str, exit_code: int | None, name: str, is_hatched: bool
) -> None:
    end = 5.0 if outcome in ("crashed", "stopped") else None
    bar = replace(a_bar(0, 90, end), outcome=outcome, exit_code=exit_code)
    drawn = Svg(timeline_file(a_timeline([[bar]]))).agent("a0")
    assert name in drawn.get("class", "")
    assert any(each.get("class") == "hatch" for each in drawn) == is_hatched
    title = "".join(next(each for each in drawn if each.tag.endswith("title")).itertext())
    assert "2026-01-15 10:30:00 UTC" in title and "under amber@example.com" in title


def test_what_lasts_reaches_to_now_and_an_account_rests_from_then_on() -> None:
    bars = [[a_bar(0, 60, None, "running")]]
    svg = Svg(timeline_file(a_timeline(bars, an_account("exhausted_until", 500))))
    [now] = svg.each("path", "now")
    x = float(re.findall(r"[\d.]+", now.attrib["d"])[0])
    [rest] = svg.each("rect", "rest")
    assert bar_of(svg.agent("a0"))[2] == float(rest.attrib["x"]) == x
    assert x + float(rest.attrib["width"]) == pytest.approx(1160 - 14, abs=0.2)
    assert "until 20:20" in svg.texts()
    without = Svg(timeline_file(a_timeline(bars, an_account("available"))))
    assert not without.each("rect", "rest")


def test_a_run_that_is_over_shows_no_time_after_it() -> None:
    svg = Svg(timeline_file(a_timeline([[a_bar(0, 600, 500)]], an_account("available"))))
    assert not svg.each("path", "now")
    assert bar_of(svg.agent("a0"))[2] == pytest.approx(1160 - 14, abs=0.2)


def test_of_very_many_tasks_those_that_were_begun_last_are_drawn() -> None:
    svg = Svg(timeline_file(any_timeline(900)))
    assert len(svg.each("g", "row")) == 300
    assert "older ones are left out" in svg.texts()
    assert svg.agent("a899") is not None
    assert int(svg.root.attrib["height"]) < 300 * 60 + 500


def test_a_name_before_a_bar_leaves_room_for_the_one_behind_the_last() -> None:
    tries = [
        a_bar(0, 3000, 2980, attempt=1),
        a_bar(1, 2280, 2270, attempt=2),
        a_bar(2, 2265, 2255, attempt=3),
    ]
    svg = Svg(timeline_file(a_timeline([tries, [a_bar(3, 5000, 1)]])))
    names = [f"{number + 1} · cosmic-jackal-{number}" for number in range(3)]
    assert [name in svg.texts() for name in names] == [True, False, True]


@pytest.mark.parametrize("size", [12, 60, 200])
def test_names_are_written_where_they_hide_nothing(size: int) -> None:
    tries = [a_bar(900 + at, 40 - at, 39.5 - at, "crashed", at + 1) for at in range(4)]
    timeline = any_timeline(size)
    timeline = replace(timeline, rows=(*timeline.rows, *a_timeline([tries]).rows))
    svg = Svg(timeline_file(timeline))
    letters = 10 if len(timeline.rows) > 48 else 11
    rows: dict[float, list[tuple[float, float]]] = {}
    beside = 0
    for element in svg.root.iter():
        if element.get("data-agent"):
            left, top, right, _ = bar_of(element)
            rows.setdefault(top, []).append((left, right))
            for text in element:
                if text.get("class", "").startswith("soft"):
                    x, wide = float(text.attrib["x"]), width_of(text.text or "", letters)
                    is_before = " end" in text.attrib["class"]
                    rows[top].append((x - wide, x) if is_before else (x, x + wide))
                    beside += 1
    assert beside
    for spans in rows.values():
        for (_, right), (left, _) in pairwise(sorted(spans)):
            assert right <= left + 3, "a bar is no narrower than that"


# Text stays text, links lead where they are told to.


def with_hostile_text() -> tuple[views.Graph, views.Timeline]:
    graph = one_of_each()
    graph = replace(
        graph,
        initiative_name=MARKUP,
        phases=tuple(replace(each, name=MARKUP) for each in graph.phases),
        tasks=tuple(
            replace(each, name=MARKUP, why=MARKUP, agent_name=MARKUP) for each in graph.tasks
        ),
    )
    bar = replace(a_bar(0, 90, 5), agent_id=MARKUP, agent_name=MARKUP, account_email=MARKUP)
    timeline = a_timeline([[bar, a_bar(1, 4, None, "running", 2)]])
    account = replace(an_account("exhausted"), email=MARKUP)
    return graph, replace(
        timeline,
        initiative_name=MARKUP,
        rows=tuple(replace(each, task_name=MARKUP, phase_name=MARKUP) for each in timeline.rows),
        accounts=(views.AccountBand(account=account, bars=(bar,)),),
    )


def test_text_that_is_stored_is_text_in_a_drawing() -> None:
    graph, timeline = with_hostile_text()
    for drawn in (
        graph_file(graph),
        graph_svg(graph, href=lambda id: f"/task/{id}"),
        timeline_file(timeline),
        timeline_svg(timeline, href=lambda _: "/agent/x?a=1&b=2"),
    ):
        svg = Svg(drawn)
        assert svg.tags() <= ELEMENTS
        for name, value in svg.attributes():
            assert not name.startswith("on") and name != "style"
            assert "javascript:" not in value
        assert any(safe(MARKUP) in title for title in svg.titles())


def test_there_is_no_character_that_xml_forbids_or_that_is_not_seen() -> None:
    graph, timeline = with_hostile_text()
    for drawn in (graph_file(graph), timeline_file(timeline)):
        assert {each for each in drawn if not each.isprintable()} == {"\n"}


def test_links_lead_where_the_caller_says_and_nowhere_else() -> None:
    def href(id: str) -> str | None:
        return None if id == "t1" else f"/task?id={id}&x=1"

    svg = Svg(graph_svg(one_of_each(), href=href))
    assert {each.get("href") for each in svg.each("a")} == {
        f"/task?id=t{number}&x=1" for number in (0, 2, 3, 4)
    }
    assert svg.root.get("role") == "group", "there is something in it to go to"
    picture = Svg(graph_svg(one_of_each()))
    assert picture.root.get("role") == "img" and not picture.each("a")


@pytest.mark.parametrize("drawn", [graph_svg(any_graph(50, 4)), timeline_svg(any_timeline(30))])
def test_a_drawing_for_a_page_has_no_style_and_ids_that_nothing_else_has(drawn: str) -> None:
    svg = Svg(drawn)
    assert not svg.each("style")
    assert "style" not in {name for name, _ in svg.attributes()}
    ids = [value for name, value in svg.attributes() if name == "id"]
    assert len(set(ids)) == len(ids) and all(id.startswith("drawn-") for id in ids)
    assert "url(" not in drawn


def test_a_file_asks_nobody_for_anything() -> None:
    for drawn in (graph_file(one_of_each()), timeline_file(any_timeline(5))):
        assert "href" not in drawn and "url(" not in drawn and "@import" not in drawn
        assert re.findall(r"https?://[^\"]+", drawn) == ["http://www.w3.org/2000/svg"]


def test_several_are_one_below_the_other_in_one_file() -> None:
    one, two = one_of_each(), replace(one_of_each(), initiative_name="Billing")
    svg = Svg(graph_file(one, two))
    assert svg.each("text", "heading")[1].text == "Billing: 1 of 5 done"
    alone = Svg(graph_file(one))
    assert int(svg.root.attrib["height"]) > 1.8 * int(alone.root.attrib["height"])


def mixed(one: str, other: str, share: float) -> str:
    """Return a colour that is laid over another one."""
    parts = [(int(one[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in parts)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_names_on_bars_can_be_read(theme: int) -> None:
    css = (STATIC / "static/drawings.css").read_text()
    [opacity] = re.findall(r"\.run-ended \.bar \{[^}]*opacity: (\S+);", css)
    ink, surface, ground, done, running = (
        VARIABLES[name][theme] for name in ("ink", "surface", "ground", "done", "running")
    )
    assert contrast(surface, running) >= 4.5
    for behind in (surface, ground):
        assert contrast(ink, mixed(done, behind, float(opacity))) >= 4.5


# The same text each time, in the page's colours.


def test_the_same_is_drawn_in_every_process() -> None:
    program = (
        "from drawn_plans import any_graph, any_timeline\n"
        "from cw_store.live.drawings import graph_file, timeline_file\n"
        "print(graph_file(any_graph(150, 7)), timeline_file(any_timeline(60)))"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    drawn = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(drawn) == 1


def test_files_have_the_colours_of_the_page() -> None:
    page = {
        name: [light, dark]
        for name, light, dark in re.findall(
            r"--([a-z-]+): light-dark\((#\w+), (#\w+)\);", (STATIC / "static/live.css").read_text()
        )
    }
    own: dict[str, list[str]] = {}
    css = (STATIC / "drawings/colours.css").read_text()
    for name, value in re.findall(r"--([a-z-]+): (#\w+);", css):
        own.setdefault(name, []).append(value)
    assert own == {name: page[name] for name in own}
    used = re.findall(r"var\(--([a-z-]+)", (STATIC / "static/drawings.css").read_text())
    assert {*used} - {"state", "state-soft"} <= set(own)
