"""Search: one text in everything that has text, within bounds, and what was not looked at."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest

from builders import (
    add_account,
    add_agent,
    add_chat_message,
    add_conversation,
    add_errand,
    add_initiative,
    add_log_chunk,
    add_message,
    add_page,
    add_phase,
    add_project,
    add_proposal,
    add_review_comment,
    add_task,
)
from cw_store import InvalidValueError, Store, views
from cw_store.views import SearchGroup, SearchHit, SearchResult

WORD = "Zebra"

search = partial(views.search, time_limit=60.0)
"""With time enough to look at all of it, however busy the machine is."""


def group(found: SearchResult, kind: str) -> SearchGroup:
    (one,) = [each for each in found.groups if each.kind == kind]
    return one


def hits(found: SearchResult) -> list[SearchHit]:
    return [hit for each in found.groups for hit in each.hits]


async def test_nothing_is_found_in_an_empty_store(store: Store) -> None:
    found = await search(store, WORD)
    assert hits(found) == []
    assert not found.is_cut
    assert all(each.rows_looked_at == 0 for each in found.groups)


async def fill(store: Store, text: str) -> dict[str, str]:
    """Add a row of each kind that has the text; return their ids."""
    initiative = await add_initiative(store, name=text)
    phase = await add_phase(store, initiative_id=initiative.id, name=text)
    agent = await add_agent(store, name=f"{text}-agent")
    page = {"type": "doc", "content": [{"type": "text", "text": f"a {text}"}]}
    of_agent = {"agent_id": agent.id, "initiative_id": initiative.id}
    added: dict[str, Any] = {
        "initiative": initiative,
        "phase": phase,
        "task": await add_task(store, phase_id=phase.id, description=text),
        "agent": agent,
        "account": await add_account(store, email=f"{text}@example.com"),
        "project": await add_project(store, name=text),
        "errand": await add_errand(store, description=text),
        "proposal": await add_proposal(store, **of_agent, content=text),
        "page": await add_page(store, initiative_id=initiative.id, content=page),
        "message": await add_message(store, content=text),
        "conversation": await add_conversation(store, question=text),
        "comment": await add_review_comment(store, phase_id=phase.id, body=text),
        "chat": await add_chat_message(store, content=text),
        "log": await add_log_chunk(store, content=f'{{"text":"a {text}"}}\n'),
    }
    return {kind: row.id for kind, row in added.items()}


@pytest.mark.parametrize("wanted", ["Zebra", "zEBRA", "ebr"])
async def test_a_text_is_found_wherever_there_is_any(store: Store, wanted: str) -> None:
    ids = await fill(store, WORD)
    found = await search(store, wanted)
    assert {hit.kind: hit.id for hit in hits(found)} == ids
    assert [each.kind for each in found.groups] == list(ids)
    assert not found.is_cut
    assert all(WORD in hit.excerpt for hit in hits(found))


@pytest.mark.parametrize(
    "text",
    ["100%", "a_b", "50! off", "it's", 'say "so"', "back\\slash", "[/bold]", "ünï", "\u202e"],
)
async def test_each_character_stands_for_itself(store: Store, text: str) -> None:
    await add_task(store, name="100 a-b 50 off its say so backslash bold uni")
    page = {"type": "doc", "content": [{"type": "text", "text": f"x {text} y"}]}
    expected = {
        (await add_task(store, name=f"x {text} y")).id,
        (await add_page(store, content=page)).id,
        (await add_log_chunk(store, content=f"x {text} y")).id,
    }
    assert {hit.id for hit in hits(await search(store, text))} == expected


async def test_of_a_page_the_text_is_looked_at_and_not_how_it_is_kept(store: Store) -> None:
    await add_page(store, content={"type": "doc", "content": [{"type": "text", "text": "Hello"}]})
    assert hits(await search(store, "type")) == []
    (hit,) = hits(await search(store, "hello"))
    assert (hit.column, hit.excerpt) == ("content", "Hello")


async def test_a_row_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    one = await add_task(store, id="Q7xyz-1")
    await add_task(store, id="Q7abc-1")
    (hit,) = hits(await search(store, "Q7xy"))
    assert (hit.kind, hit.id, hit.column, hit.excerpt) == ("task", one.id, "id", one.id)
    assert hits(await search(store, "Q7")) == []
    await add_task(store, id="Q7")
    assert [hit.id for hit in hits(await search(store, "Q7"))] == ["Q7"]


async def test_a_row_is_there_once_whatever_matches(store: Store) -> None:
    await add_task(store, id="zebra-1", name="zebra", description="zebra")
    assert len(hits(await search(store, "zebra"))) == 1


async def test_a_hit_says_how_to_see_more(store: Store) -> None:
    await add_log_chunk(store, agent_name="cosmic-jackal", session_number=2, content="it's a zebra")
    (hit,) = hits(await search(store, "it's"))
    assert hit.command == "cw-store logs --session 2 '--grep=it'\"'\"'s' cosmic-jackal"
    assert (hit.title, hit.agent_name) == ("cosmic-jackal", "cosmic-jackal")
    task = await add_task(store, id="t1", name="zebra crossing")
    found = await search(store, "crossing")
    assert hits(found)[0].command == f"cw-store show {task.id}"


async def test_an_excerpt_is_a_line_around_what_was_found(store: Store) -> None:
    await add_task(store, name="x", description="a " * 500 + "\n\tthe  zebra\n" + "b " * 500)
    (hit,) = hits(await search(store, "zebra"))
    assert "the zebra b" in hit.excerpt and "\n" not in hit.excerpt
    assert hit.excerpt.startswith("…") and hit.excerpt.endswith("…")
    assert len(hit.excerpt) < 140


async def test_what_is_far_behind_in_a_long_text_is_found_all_the_same(store: Store) -> None:
    one = await add_task(store, description="a" * 150_000 + "zebra")
    (hit,) = hits(await search(store, "zebra"))
    assert (hit.id, hit.column) == (one.id, "description")


async def test_the_newest_hits_are_there_and_that_there_may_be_more_is_said(store: Store) -> None:
    tasks = [await add_task(store, name=f"zebra {n}") for n in range(5)]
    found = group(await search(store, "zebra", limit=3), "task")
    assert [hit.id for hit in found.hits] == [task.id for task in reversed(tasks[2:])]
    assert found.cut == "hits"
    found = group(await search(store, "zebra", limit=6), "task")
    assert (len(found.hits), found.cut) == (5, None)


async def test_no_more_rows_are_looked_at_than_may_be(store: Store) -> None:
    await store.tasks.create_many([{"name": f"zebra {n}"} for n in range(30)])
    await store.tasks.create_many([{"name": "horse"} for _ in range(10)])
    found = group(await search(store, "zebra", row_limit=12), "task")
    assert (found.rows_looked_at, found.cut) == (12, "rows")
    assert [hit.title for hit in found.hits] == ["zebra 29", "zebra 28"]
    assert group(await search(store, "zebra", row_limit=10), "task").hits == ()
    found = group(await search(store, "zebra", row_limit=40, limit=50), "task")
    assert (found.rows_looked_at, len(found.hits), found.cut) == (40, 30, None)


async def test_a_search_goes_over_many_rows_in_parts(store: Store) -> None:
    rows = [
        {"agent_id": "a", "agent_name": "n", "session_number": 1, "content": f"line {n}"}
        for n in range(3_000)
    ]
    await store.log_chunks.insert_chunks(rows)  # pyright: ignore[reportArgumentType] -- as they are
    found = group(await search(store, "line 7", time_limit=60, limit=2_000), "log")
    assert (found.rows_looked_at, found.cut) == (3_000, None)
    numbers = [int(hit.excerpt.split()[1]) for hit in found.hits]
    assert numbers == [n for n in reversed(range(3_000)) if str(n).startswith("7")]


async def test_when_the_time_is_over_what_was_found_until_then_is_returned(store: Store) -> None:
    await add_initiative(store, name="zebra")
    found = await search(store, "zebra", time_limit=1e-9)
    assert found.is_cut
    assert {each.cut for each in found.groups} == {"time"}
    assert (await add_task(store)).name  # the store goes on


async def test_a_search_in_a_unit_of_work_leaves_it_usable(store: Store) -> None:
    await add_task(store, name="zebra")
    async with store.unit_of_work() as uow:
        await search(uow, "zebra", time_limit=1e-9)
        assert len(hits(await search(uow, "zebra"))) == 1
        await uow.tasks.create(name="zebra two")
        assert len(hits(await search(uow, "zebra"))) == 2


async def test_a_search_that_is_given_up_is_given_up(store: Store) -> None:
    await add_task(store, name="zebra")
    searching = asyncio.ensure_future(search(store, "zebra"))
    await asyncio.sleep(0)
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching


async def test_the_longest_text_is_found(store: Store) -> None:
    longest = "%_!" * 333 + "%"
    task = await add_task(store, description=f"x{longest}x")
    assert [hit.id for hit in hits(await search(store, longest))] == [task.id]


@pytest.mark.parametrize("text", ["", "a\0b", "\ud800", None, 5, "a" * 1_001])
async def test_a_text_that_cannot_be_looked_for_is_refused(store: Store, text: Any) -> None:
    with pytest.raises(InvalidValueError):
        await search(store, text)


@pytest.mark.parametrize(
    "wrong",
    [{"limit": 0}, {"row_limit": 0}, {"limit": True}, {"time_limit": 0}, {"time_limit": "2"}],
    ids=json.dumps,
)
async def test_a_limit_that_is_none_is_refused(store: Store, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        await search(store, "zebra", **wrong)
