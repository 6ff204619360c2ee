"""What the screens show: what the views say, each text as text, parts that can be replaced."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from markup import Markup
from screens import ACTS, READS, Screen, parts_of, screens, written

from builders import add_agent, add_initiative, add_phase, add_task
from cw_store import NewTask, NotFoundError, Store, views
from cw_store.cli.demo import tell
from cw_store.cli.demo_story import DemoClock
from cw_store.live.pages import Page, Viewer
from cw_store.live.screens.agent import CHUNKS, STEP
from cw_store.live.screens.timeline import in_steps
from cw_store.safe_text import lines_of, safe
from cw_store.testing import START
from hostile import HOSTILE, fill_with, harmful

BOTH = pytest.mark.parametrize("database", ["file", "postgres"], indirect=True)
FILE = pytest.mark.parametrize("database", ["file"], indirect=True)

MARKUP = (
    "\"'><img src=x onerror=alert(1)></textarea></title></script><script>alert(1)</script>"
    f"&amp;<!-- {HOSTILE}"
)

NOW = screens("", "", "")["now"]


@pytest.fixture
def clock() -> DemoClock:
    return DemoClock(START)


@pytest.fixture
async def store(database: str, clock: DemoClock) -> AsyncIterator[Store]:
    async with Store(database, clock=clock) as store:
        yield store


@pytest.fixture
async def demo(store: Store, clock: DemoClock) -> Store:
    await tell(store, clock)
    return store


async def drawn(store: Store, screen: Screen, viewer: Viewer = READS) -> Page:
    async with store.unit_of_work(read_only=True) as uow:
        return await screen(uow, viewer)


async def screens_of_demo(demo: Store) -> dict[str, Screen]:
    [initiative, *_] = await demo.initiatives.find_all()
    [agent, *_] = await demo.agents.find_by_status("running")
    return screens(initiative.id, agent.id, "session")


@BOTH
@pytest.mark.parametrize("viewer", [READS, ACTS], ids=["reads", "acts"])
async def test_text_that_is_markup_is_shown_as_text(store: Store, viewer: Viewer) -> None:
    ids = await fill_with(store, MARKUP)
    shown = "\n".join(map(safe, lines_of(MARKUP)))
    for name, screen in screens(ids["initiative"], ids["agent"], "alert(1)").items():
        html = written(await drawn(store, screen, viewer), viewer)
        markup = Markup(html)
        assert markup.tags["script"] == 1, f"{name} has its own script"
        assert not markup.tags["img"], name
        assert not [each for each in markup.attributes if each[1].startswith("on")], name
        assert not markup.values("style"), name
        assert not [each for each in markup.values("href") if "script:" in each], name
        assert not harmful(html), name
        if name in ("now", "now of one", "agent"):
            assert shown in markup.text, name


@BOTH
async def test_no_secret_is_on_any_screen(store: Store) -> None:
    ids = await fill_with(store, "x")
    await store.accounts.create(
        email="ada@example.org", provider="claude", credentials="S3cret", config_json="S3cret"
    )
    for name, screen in screens(ids["initiative"], ids["agent"], "3cre").items():
        html = written(await drawn(store, screen, ACTS), ACTS)
        assert "S3cret" not in html, name


@BOTH
async def test_parts_are_one_element_each_with_an_id_of_their_own(demo: Store) -> None:
    for name, screen in (await screens_of_demo(demo)).items():
        page = await drawn(demo, screen, ACTS)
        ids = [region.id for region in page.regions]
        for region in page.regions:
            assert region.parts, f"{name}: {region.id} says that it is empty"
            for part in region.parts:
                ids.append(part.id)
                assert Markup(part.html).ids[0] == part.id, name
                assert part.html.startswith("<") and part.html.endswith(">")
        document = Markup(written(page, ACTS))
        assert set(ids) <= set(document.ids), name
        assert len(document.ids) == len(set(document.ids)), name


@BOTH
async def test_the_first_screen_agrees_with_the_views(demo: Store) -> None:
    page = await drawn(demo, NOW)
    inbox, board = await views.inbox(demo), await views.board(demo)
    regions = {region.id: region.parts for region in page.regions}
    assert page.title == f"({inbox.total}) All initiatives"
    assert [part.id for part in regions["inbox"]] == [
        f"inbox-{item.kind}-{item.id}" for item in inbox.items
    ]
    cells = {part.id: part.html for part in regions["board"]}
    lanes = [
        lane for each in board.initiatives for phase in each.phases for lane in phase.lanes[:-1]
    ]
    cards = [(lane.lane, card) for lane in lanes for card in lane.cards]
    assert len(cards) > 20
    for lane, card in cards:
        [cell] = [id for id, html in cells.items() if f'id="task-{card.id}"' in html]
        assert cell.endswith(f"-{lane}")
    counts = Markup(regions["counts"][0].html).text
    assert f"{board.counts.done} of {board.counts.total} done" in counts
    assert {part.id for part in regions["agents"]} == {f"agent-{one.id}" for one in board.agents}
    assert len(regions["accounts"]) == len(board.accounts)


@BOTH
async def test_who_may_act_gets_forms_and_others_the_command(demo: Store) -> None:
    reads = Markup(written(await drawn(demo, NOW), READS))
    assert reads.tags["form"] == 1, "which searches"
    for item in (await views.inbox(demo)).items:
        assert item.command in reads.text
    acts = Markup(written(await drawn(demo, NOW, ACTS), ACTS))
    assert all(value.startswith("/agents/") for value in acts.values("action"))
    assert {value.split("/")[3] for value in acts.values("action") if "/act/" in value} == {
        "answer-message",
        "answer-question",
        "retry",
        "accept",
        "dismiss",
        "resolve",
        "account-available",
        "account-exhausted",
    }


@BOTH
async def test_a_crashed_agent_can_be_dismissed_once(store: Store, clock: DemoClock) -> None:
    agent = await add_agent(store, status="crashed")
    screen = screens("", agent.id, "")["agent"]
    button = f"/agents/act/dismiss-agent/{agent.id}"
    assert button in Markup(written(await drawn(store, screen, ACTS), ACTS)).values("action")
    await store.agents.update(agent.id, user_dismissed_at=clock.now)
    assert button not in Markup(written(await drawn(store, screen, ACTS), ACTS)).values("action")


@BOTH
async def test_a_task_that_moves_changes_no_card_of_others(store: Store) -> None:
    initiative = await add_initiative(store)
    phase = await add_phase(store, initiative_id=initiative.id, status="in_progress")
    tasks = [await add_task(store, phase_id=phase.id, name=f"task {n}") for n in range(3)]
    before = parts_of(await drawn(store, NOW))
    await store.tasks.update(tasks[0].id, status="in_progress")
    after = parts_of(await drawn(store, NOW))
    assert {id for id in before.keys() | after.keys() if before.get(id) != after.get(id)} == {
        "board-lanes",
        "counts-all",
        f"cell-{phase.id}-ready",
        f"cell-{phase.id}-running",
    }


@BOTH
async def test_nothing_is_another_part_because_time_passes(demo: Store, clock: DemoClock) -> None:
    for name, screen in (await screens_of_demo(demo)).items():
        if "timeline" in name:
            continue  # its bars grow
        before = await drawn(demo, screen)
        clock.now += timedelta(seconds=1)
        assert await drawn(demo, screen) == before, name


@FILE
async def test_what_an_agent_writes_changes_its_line_alone(demo: Store, clock: DemoClock) -> None:
    [agent, *_] = await demo.agents.find_by_status("running")
    before = parts_of(await drawn(demo, NOW))
    clock.now += timedelta(seconds=1)
    await demo.log_chunks.insert_chunk(agent.id, agent.name, 1, '{"text": "hello"}\n')
    after = parts_of(await drawn(demo, NOW))
    assert [id for id in after if before.get(id) != after[id]] == [f"agent-{agent.id}"]


@BOTH
async def test_a_log_is_decoded_and_as_it_is_when_that_is_asked_for(store: Store) -> None:
    agent = await add_agent(store)
    # A line that is cut in two by chunks, and a second session.
    for session, content in (
        (1, '{"type": "text", "te'),
        (1, 'xt": "hel\\nlo"}\n'),
        (2, "plain\n"),
    ):
        await store.log_chunks.insert_chunk(agent.id, agent.name, session, content)
    of = screens("", agent.id, "")
    [first, second, third] = [
        " ".join(Markup(part.html).texts).split()
        for region in (await drawn(store, of["agent"])).regions
        if region.id == "log"
        for part in region.parts
    ]
    assert first[:3] == ["session", "1,", "begun"]
    assert second[-3:] == ["says", "hel", "lo"]
    assert third[-2:] == ["writes", "plain"]
    raw = Markup(written(await drawn(store, of["agent, raw"]), READS)).text
    assert '{"type": "text", "te' in raw and 'xt": "hel\\nlo"}' in raw


@BOTH
async def test_a_line_that_nobody_ends_any_more_is_shown_as_it_was_left(store: Store) -> None:
    agent = await add_agent(store)
    for session in (1, 2):
        await store.log_chunks.insert_chunk(agent.id, agent.name, session, f'{{"half of {session}')
    screen = screens("", agent.id, "")["agent"]
    assert '{"half of 1' in Markup(written(await drawn(store, screen), READS)).text
    assert '{"half of 2' not in Markup(written(await drawn(store, screen), READS)).text
    await store.agents.update(agent.id, status="crashed")
    assert '{"half of 2' in Markup(written(await drawn(store, screen), READS)).text


@FILE
async def test_the_oldest_chunks_of_a_long_log_go_many_at_once(store: Store) -> None:
    agent = await add_agent(store)
    screen = screens("", agent.id, "")["agent"]
    firsts: list[str] = []
    for number in range(CHUNKS + 2 * STEP):
        await store.log_chunks.insert_chunk(agent.id, agent.name, 1, f"line {number}\n")
        if number >= CHUNKS - 1:
            page = await drawn(store, screen)
            [log] = [region.parts for region in page.regions if region.id == "log"]
            assert CHUNKS <= len(log) < CHUNKS + STEP
            firsts.append(log[0].id)
    assert len(set(firsts)) == 3, "it began at another chunk twice"


@BOTH
async def test_a_timeline_is_drawn_anew_a_few_hundred_times_at_most(demo: Store) -> None:
    [initiative, *_] = await demo.initiatives.find_all()
    seen = await views.timeline(demo, initiative.id)
    moments = [replace(seen, now=seen.now + timedelta(seconds=n)) for n in range(3600)]
    steps = {in_steps(each).now for each in moments}
    assert 50 < len(steps) < 300
    assert all(in_steps(each).now >= each.now for each in moments), "no bar ends in the future"
    assert in_steps(seen).end == in_steps(seen).now, "what lasts reaches to the end"


@BOTH
@pytest.mark.parametrize("name", ["now of one", "graph of one", "timeline of one", "agent"])
async def test_what_is_not_there_is_not_found(store: Store, name: str) -> None:
    with pytest.raises(NotFoundError):
        await drawn(store, screens("none", "none", "")[name])


@BOTH
async def test_a_chunk_that_is_very_long_is_cut_and_says_so(store: Store) -> None:
    agent = await add_agent(store)
    await store.log_chunks.insert_chunk(agent.id, agent.name, 1, "long line\n" * 100_000)
    await store.log_chunks.insert_chunk(agent.id, agent.name, 1, "next\n")
    for screen in ("agent", "agent, raw"):
        html = written(await drawn(store, screens("", agent.id, "")[screen]), READS)
        assert len(html) < 1_000_000
        assert "and more, which cw-store logs shows" in html
        assert Markup(html).text.rstrip().count("next") == 1


@FILE
async def test_of_many_tasks_few_that_only_wait_are_shown(store: Store) -> None:
    phase = await add_phase(store, status="in_progress")
    rows: list[NewTask] = [{"phase_id": phase.id, "name": f"task {n}"} for n in range(201)]
    tasks = await store.tasks.create_many(rows)
    for task in tasks[:15]:
        await store.tasks.update(task.id, status="in_progress")
    parts = parts_of(await drawn(store, NOW))
    running, ready = (parts[f"cell-{phase.id}-{lane}"] for lane in ("running", "ready"))
    assert running.count('class="card"') == 15
    assert ready.count('class="card"') == 10 and "and 176 more" in ready


@BOTH
async def test_what_is_completed_is_a_line_below_what_is_not(store: Store) -> None:
    for name, status in (("old", "completed"), ("new", "active"), ("gone", "archived")):
        initiative = await add_initiative(store, name=name, status=status)
        phase = await add_phase(store, initiative_id=initiative.id, name=f"phase of {name}")
        await add_task(store, phase_id=phase.id, name=f"task of {name}")
    page = await drawn(store, NOW)
    [board] = [
        Markup("".join(part.html for part in region.parts)).text
        for region in page.regions
        if region.id == "board"
    ]
    assert board.index("task of new") < board.index("old")
    assert "phase of old" not in board and "gone" not in board
    for name in ("graph", "timeline"):
        page = await drawn(store, screens("", "", "")[name])
        [drawings] = [region.parts for region in page.regions if region.id == f"{name}s"]
        assert len(drawings) == 1


@BOTH
async def test_what_is_found_leads_to_where_it_is_seen(demo: Store) -> None:
    [initiative, *_] = await demo.initiatives.find_all()
    [task] = [each for each in await demo.tasks.find_all() if each.name == "Session store"]
    [phase] = [each for each in await demo.phases.find_all() if each.name == "Recovery"]
    [agent] = [each for each in await demo.agents.find_all() if each.name == "humble-jackal"]
    board = f"/agents/initiative/{initiative.id}"
    for text, link in (
        ("Session st", f"{board}#task-{task.id}"),
        ("Recovery", f"{board}#phase-{phase.id}"),
        ("User auth", board),
        ("humble-ja", f"/agents/agent/{agent.id}"),
        ("begin with: Session store", "/agents/agent/humble-jackal"),
    ):
        page = await drawn(demo, screens("", "", text)["search"], ACTS)
        assert link in Markup(written(page, ACTS)).values("href"), text


@BOTH
async def test_an_empty_store_says_so_on_every_screen(store: Store) -> None:
    for name, told in (
        ("now", "Nothing waits for you."),
        ("now", "No task yet."),
        ("graph", "No initiative is at work."),
        ("timeline", "No initiative is at work."),
        ("search", "Nothing found"),
        ("search of nothing", "Type a name"),
    ):
        page = await drawn(store, screens("", "", "nowhere")[name])
        assert told in Markup(written(page, READS)).text
