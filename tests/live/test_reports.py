"""Pages in one file: all that is to be seen is in them, and nothing that asks or runs anything."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from drawn_plans import a_graph, a_task, a_timeline, any_graph, any_timeline
from markup import Markup

from builders import add_account, add_agent, add_phase, add_task
from cw_store import NotFoundError, Store
from cw_store.live import graph_page, read_report, report_page, timeline_page
from cw_store.live.drawings.marks import WORDS
from cw_store.safe_text import safe
from cw_store.testing import SteppableClock
from hostile import HOSTILE, fill_with

NEVER = {"script", "link", "img", "iframe", "object", "embed", "form", "base", "use"}


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    async with Store(database, clock=SteppableClock()) as store:
        yield store


def read(page: str) -> Markup:
    """Read a page, and see that it is one that asks nobody for anything."""
    markup = Markup(page)
    assert not NEVER & set(markup.tags)
    for _, name, value in markup.attributes:
        assert name not in ("src", "href", "style", "srcset", "action"), value
        assert not name.startswith("on")
    assert "url(" not in page and "@import" not in page
    assert set(re.findall(r"https?://[^\"\s]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert any("default-src 'none'" in value for value in markup.values("content"))
    return markup


async def test_a_report_has_all_that_is_to_be_seen(store: Store) -> None:
    initiative = await store.initiatives.create(name="User auth")
    phase = await add_phase(store, initiative_id=initiative.id, name="Core")
    task = await add_task(store, phase_id=phase.id, name="Session store", status="in_progress")
    await add_task(store, phase_id=phase.id, name="Unit tests", status="blocked")
    account = await add_account(store, email="amber@example.com")
    asking = await add_agent(
        store, name="brave-otter", initiative_id=initiative.id, task_id=task.id,
        account_id=account.id, status="running",
    )  # fmt: skip
    asked = await add_agent(store, name="calm-otter", initiative_id=initiative.id)
    await store.conversations.create(
        from_agent_id=asking.id, to_agent_id=asked.id, question="Opaque, or a JWT?"
    )
    page = report_page(await read_report(store, initiative.id))
    markup = read(page)
    for told in (
        "Waits for a person", "cw-store retry", "Core", "Session store", "Unit tests",
        "brave-otter → calm-otter", "Opaque, or a JWT?", "amber@example.com",
        "Graph as a table", "Timeline as a table",
    ):  # fmt: skip
        assert told in markup.text
    assert markup.values("role").count("img") == 2, "both drawings"


async def test_a_report_of_all_has_each_initiative_that_is_not_archived(store: Store) -> None:
    for name in ("One", "Two"):
        await store.initiatives.create(name=name)
    await store.initiatives.create(name="Gone", status="archived")
    text = read(report_page(await read_report(store))).text
    assert "One" in text and "Two" in text and "Gone" not in text
    with pytest.raises(NotFoundError):
        await read_report(store, "nobody")


async def test_a_report_of_nothing_says_so(store: Store) -> None:
    text = read(report_page(await read_report(store))).text
    assert "Nothing waits for anybody." in text and "No question is open." in text


async def test_text_that_is_stored_is_text_in_a_report(store: Store) -> None:
    text = f"{HOSTILE}<script>alert(1)</script></style><img src=x onerror=alert(1)>'\"&amp;"
    await fill_with(store, text)
    page = report_page(await read_report(store))
    markup = read(page)
    assert safe(text.partition("\n")[0]) in markup.text
    assert not [each for each in page if not each.isprintable() and each != "\n"]


async def test_no_secret_is_in_a_report(store: Store) -> None:
    account = await store.accounts.create(
        email="amber@example.com", credentials="the-credentials", config_json="the-configuration"
    )
    initiative = await store.initiatives.create(name="User auth")
    await add_agent(store, initiative_id=initiative.id, account_id=account.id)
    page = report_page(await read_report(store))
    assert "amber@example.com" in page
    assert "the-credentials" not in page and "the-configuration" not in page


def test_what_is_drawn_is_there_as_text_too() -> None:
    graph, timeline = any_graph(30, 3), any_timeline(20)
    text = read(graph_page([graph])).text
    assert all(f"{task.name}{WORDS[task.lane]}" in text for task in graph.tasks)
    text = read(timeline_page([timeline])).text
    assert all(bar.agent_name in text for row in timeline.rows for bar in row.bars)


def test_pages_of_several_have_all_of_them() -> None:
    graph = a_graph([a_task(0, "p0")], [], ["p0"], [])
    other = replace(graph, initiative_name="Billing")
    text = read(graph_page([graph, other])).text
    assert "All initiatives" in text and "Billing" in text
    timelines = [a_timeline([]), replace(a_timeline([]), initiative_name="Billing")]
    assert "Billing" in read(timeline_page(timelines)).text
    assert "There is no initiative." in read(graph_page([])).text


async def test_lanes_of_a_board_say_how_many_more_there_are(store: Store) -> None:
    for number in range(27):
        await add_task(store, name=f"task {number}")
    assert "and 2 more" in read(report_page(await read_report(store))).text
