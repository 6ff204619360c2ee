"""A page renews itself: one look for all who look, and each gets what changed since what it has."""

import asyncio
import re
import socket
from collections.abc import AsyncGenerator

import pytest
from browsing import Browser, Event

from builders import add_agent, add_message, add_task
from cw_store import Message, NotFoundError, Store, UnitOfWork
from cw_store.live import LivePageServer
from cw_store.live.pages import Page, Part, Region
from cw_store.live.renewing import LivePage, LivePages
from cw_store.live.stream import STUCK_SECONDS
from steppable_loop import SteppableLoop

BOTH = pytest.mark.parametrize("database", ["file", "postgres"], indirect=True)
FILE = pytest.mark.parametrize("database", ["file"], indirect=True)


def stream_in(html: str) -> str:
    found = re.search(r'data-stream="([^"]+)"', html)
    assert found is not None
    return found[1].replace("&amp;", "&")


async def tell(store: Store, text: str) -> Message:
    """Send the user a message, which waits for an answer."""
    return await add_message(
        store,
        sender_type="agent",
        sender_id=(await add_agent(store)).id,
        recipient_type="user",
        content=text,
    )


@BOTH
async def test_the_first_state_is_in_the_html_and_what_comes_then_is_streamed(
    store: Store, browser: Browser
) -> None:
    await tell(store, "15 or 30 minutes?")
    html = (await browser.get("/")).text
    assert "15 or 30 minutes?" in html
    async with browser.stream(stream_in(html)) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        message = await tell(store, "opaque or JWT?")
        event = await stream.changed()
        assert event.name == "changed"
        (new,) = [html for id, html in event.parts.items() if message.id in id]
        assert "opaque or JWT?" in new
        assert not [html for html in event.parts.values() if "15 or 30 minutes?" in html]
        await store.messages.respond(message.id, content="opaque")
        event = await stream.changed()
        assert not [id for order in event.order.values() for id in order if message.id in id]


@FILE
async def test_what_changed_between_the_html_and_the_stream_is_not_missed(
    store: Store, browser: Browser
) -> None:
    html = (await browser.get("/")).text
    await tell(store, "15 or 30 minutes?")
    async with browser.stream(stream_in(html)) as stream:
        assert "15 or 30 minutes?" in str((await stream.changed()).parts)


@FILE
async def test_a_stream_goes_on_from_the_last_event_that_came(
    store: Store, browser: Browser
) -> None:
    html = (await browser.get("/")).text
    async with browser.stream(stream_in(html)) as stream:
        await tell(store, "the first")
        first = await stream.changed()
    await tell(store, "the second")
    async with browser.stream(stream_in(html), last_event_id=first.id) as stream:
        event = await stream.changed()
        assert "the second" in str(event.parts) and "the first" not in str(event.parts)


@FILE
async def test_a_stream_from_a_state_that_nobody_knows_begins_with_all(
    store: Store, browser: Browser
) -> None:
    await tell(store, "the first")
    async with browser.stream("/?stream", last_event_id="of-another-server") as stream:
        event = await stream.changed()
        assert "the first" in str(event.parts) and event.data["title"]
    async with browser.stream("/?stream") as stream:
        assert "the first" in str((await stream.changed()).parts)


@BOTH
async def test_a_stream_ends_when_the_store_is_closed(store: Store, browser: Browser) -> None:
    async with browser.stream("/?stream") as stream:
        await stream.changed()
        await store.close()
        while await stream.next() is not None:
            pass
    assert (await browser.get("/")).status == 503


@FILE
async def test_an_unknown_initiative_has_no_page_and_no_stream(browser: Browser) -> None:
    for path in ("/initiative/x", "/initiative/x?stream"):
        assert (await browser.get(path)).status == 404


# One page for all who look at it.


class Counted:
    """Draws a page of all tasks, one part each, and counts how often."""

    def __init__(self) -> None:
        self.times: list[float] = []

    async def __call__(self, uow: UnitOfWork) -> Page:
        self.times.append(asyncio.get_running_loop().time())
        tasks = await uow.tasks.find_all()
        parts = (Part(f"task-{task.id}", f"<p>{task.name} {task.status}</p>") for task in tasks)
        return Page("tasks", "tasks", (Region("tasks", tuple(parts)),))


def page_of(store: Store, draw: Counted) -> LivePage:
    return LivePages(store).page("tasks", draw, "/tasks")


async def changed(events: AsyncGenerator[bytes]) -> str:
    """Return the next event that tells of a change."""
    async with asyncio.timeout(10):
        while True:
            event = await anext(events)
            if event.startswith(b"event: changed"):
                return event.decode()


@BOTH
async def test_a_change_is_looked_at_once_for_all_viewers(store: Store) -> None:
    task = await add_task(store)
    draw = Counted()
    page = page_of(store, draw)
    viewers = [page.events(None) for _ in range(20)]
    firsts = await asyncio.gather(*map(changed, viewers))
    assert len(set(firsts)) == 1
    looks = len(draw.times)
    assert looks <= 2
    await store.tasks.update(task.id, status="blocked")
    events = await asyncio.gather(*map(changed, viewers))
    assert len(set(events)) == 1 and "blocked" in events[0]
    assert len(draw.times) <= looks + 2, "one for the change, and one where the time is asked for"
    for viewer in viewers:
        await viewer.aclose()


@FILE
async def test_nothing_runs_while_nobody_looks(store: Store) -> None:
    draw = Counted()
    page = page_of(store, draw)
    viewer = page.events(None)
    await changed(viewer)
    assert "cw_store renews /tasks" in names_of_tasks()
    await viewer.aclose()
    await asyncio.sleep(0)
    assert "cw_store renews /tasks" not in names_of_tasks()
    looks = len(draw.times)
    await add_task(store)
    assert len(draw.times) == looks


def names_of_tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


@FILE
async def test_however_often_it_changes_a_viewer_gets_at_most_four_events_a_second(
    store: Store, browser: Browser
) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def write() -> None:
        for _ in range(200):
            await tell(store, "again")
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    async with browser.stream("/?stream") as stream:
        while not writing.done():
            await stream.changed()
            times.append(loop.time())
    await writing
    assert len(times) > 4
    # A look, and the way to the reader, are not always as long as the last time.
    assert all(later - time > 0.85 for time, later in zip(times, times[4:], strict=False))
    assert len(times) <= 4 * (times[-1] - times[0]) + 2


@FILE
async def test_it_is_looked_at_four_times_a_second_at_most(store: Store) -> None:
    draw = Counted()
    viewer = page_of(store, draw).events(None)
    for _ in range(6):
        await add_task(store)
        await changed(viewer)
    await viewer.aclose()
    pauses = [later - time for time, later in zip(draw.times, draw.times[1:], strict=False)]
    assert min(pauses) > 0.245


@FILE
async def test_who_asks_meanwhile_shares_a_look_that_began_after(store: Store) -> None:
    draw = Counted()
    page = page_of(store, draw)
    states = await asyncio.gather(*(page.now() for _ in range(10)))
    assert len(set(states)) == 1 and len(draw.times) <= 2
    await add_task(store)
    assert (await page.now()) != states[0], "what is committed is seen by who asks then"


@FILE
async def test_a_viewer_that_was_slow_gets_one_event_for_all_that_it_missed(store: Store) -> None:
    draw = Counted()
    page = page_of(store, draw)
    viewer = page.events(None)
    await changed(viewer)
    for name in ("a", "b", "c", "d"):
        await add_task(store, name=name)
        await page.now()
    event = await changed(viewer)
    assert all(f"<p>{name} pending</p>" in event for name in "abcd")
    last = (await page.now()).id
    assert f"id: {last}\n" in event
    await viewer.aclose()


@FILE
async def test_a_stream_says_that_it_is_alive(store: Store, steppable_loop: SteppableLoop) -> None:
    viewer = page_of(store, Counted()).events(None)
    await changed(viewer)
    waiting = asyncio.ensure_future(anext(viewer))
    while not waiting.done():
        steppable_loop.advance(1.0)
        await asyncio.sleep(0.001)
    assert waiting.result().startswith(b"event: alive\n")
    await viewer.aclose()


@FILE
async def test_what_was_deleted_is_told_as_gone(store: Store) -> None:
    task = await add_task(store)

    async def draw(uow: UnitOfWork) -> Page:
        found = await uow.tasks.find_by_id(task.id)
        if found is None:
            raise NotFoundError("tasks", task.id)
        return Page(found.name, "task", ())

    viewer = LivePages(store).page("task", draw, "/task").events(None)
    await changed(viewer)
    await store.tasks.delete(task.id)
    assert [event async for event in viewer][-1].startswith(b"event: gone\n")


@FILE
async def test_a_page_that_cannot_be_drawn_ends_its_streams_and_says_so(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    task = await add_task(store)

    async def draw(uow: UnitOfWork) -> Page:
        found = await uow.tasks.find_by_id(task.id)
        assert found is not None
        return Page(found.name, "task", ())

    page = LivePages(store).page("task", draw, "/task")
    known = (await page.now()).id
    viewer = page.events(None)
    await changed(viewer)
    await store.tasks.delete(task.id)
    assert [event async for event in viewer if event.startswith(b"event")] == []
    assert "/task is not renewed any more" in caplog.text
    with pytest.raises(AssertionError):
        await page.ready(known)
    await store.tasks.create(id=task.id, name="back")
    await page.ready(None)
    viewer = page.events(None)
    assert '"title":"back"' in await changed(viewer), "whoever comes again is served"
    await viewer.aclose()


# Viewers that do not take what they are sent.


@FILE
async def test_a_stuck_viewer_is_cut_off_and_keeps_nobody_waiting(
    store: Store, browser: Browser, served: LivePageServer, steppable_loop: SteppableLoop
) -> None:
    for _ in range(90):
        await tell(store, "€" * 4_000)
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    stuck.setblocking(False)
    await steppable_loop.sock_connect(stuck, ("127.0.0.1", served.port))
    lines = [f"{name}: {value}" for name, value in browser.headers().items()]
    head = "\r\n".join(["GET /?stream HTTP/1.1", *lines, "", ""])
    await steppable_loop.sock_sendall(stuck, head.encode())
    async with browser.stream("/?stream") as stream:
        await stream.changed()
        assert "cw_store sends events" in names_of_tasks()
        while await asyncio.sleep(0.01, sending()) == 2:
            steppable_loop.advance(STUCK_SECONDS / 10)
        await tell(store, "the others go on")
        while "the others go on" not in str((await stream.changed()).parts):
            pass
    got = bytearray()
    while part := await steppable_loop.sock_recv(stuck, 100_000):
        got += part
    stuck.close()
    assert got.startswith(b"HTTP/1.1 200") and b"\n\n0\r\n" not in got, "it ended in the middle"
    assert len(got) < 90 * 4_000 * 3


def sending() -> int:
    return sum(task.get_name() == "cw_store sends events" for task in asyncio.all_tasks())


@FILE
async def test_who_connects_and_asks_for_nothing_is_cut_off(
    served: LivePageServer, steppable_loop: SteppableLoop
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: ")
    reading = asyncio.ensure_future(reader.read())
    while not reading.done():
        steppable_loop.advance(1.0)
        await asyncio.sleep(0.01)
    assert reading.result() == b""
    writer.close()


@FILE
async def test_who_has_gone_is_sent_nothing(store: Store, browser: Browser) -> None:
    async with browser.stream("/?stream") as stream:
        await stream.changed()
        assert sending() == 1
    while sending():  # noqa: ASYNC110 -- nothing tells of it
        await asyncio.sleep(0)


def test_an_event_is_one_line_whatever_is_in_it() -> None:
    from cw_store.live.differences import changed_event

    text = "a\nb\rc\r\nd\u2028e\x85f\ndata: g\n\nevent: gone"
    page = Page(text, "tasks", (Region("tasks", (Part("a", text),)),))
    event = changed_event("1", None, page).decode()
    assert re.split(r"\r\n|\r|\n", event)[3:] == ["", ""]


def test_only_what_changed_is_told() -> None:
    from cw_store.live.differences import changes

    def page(title: str, *parts: Part) -> Page:
        return Page(title, "tasks", (Region("tasks", parts), Region("other", ())))

    a, b, changed_b, c = Part("a", "1"), Part("b", "2"), Part("b", "3"), Part("c", "4")
    assert changes(page("x", a, b), page("x", a, b)) == {}
    assert changes(page("x", a, b), page("y", a, b)) == {"title": "y"}
    assert changes(page("x", a, b), page("x", b, a)) == {
        "regions": {"tasks": {"order": ["b", "a"]}}
    }
    assert changes(page("x", a, b), page("x", a, changed_b)) == {
        "regions": {"tasks": {"parts": {"b": "3"}}}
    }
    assert changes(page("x", a, b), page("x", c, b)) == {
        "regions": {"tasks": {"order": ["c", "b"], "parts": {"c": "4"}}}
    }
    assert changes(None, page("x", a)) == {
        "title": "x",
        "regions": {"tasks": {"order": ["a"], "parts": {"a": "1"}}, "other": {"order": []}},
    }


def test_of_a_part_those_pieces_are_told_that_changed() -> None:
    from cw_store.live.differences import changes

    def page(*names: str, around: str = "", ids: str = "abc") -> Page:
        pieces = tuple(Part(id, f"<g>{name}</g>") for id, name in zip(ids, names, strict=False))
        html = f"<svg>{around}{'<g/>'.join(piece.html for piece in pieces)}</svg>"
        return Page("x", "graph", (Region("graphs", (Part("p", html, pieces),)),))

    before = page("1", "2", "2")
    for after, parts in (
        (page("1", "3", "2"), {"b": "<g>3</g>"}),
        (page("2", "2", "1"), {"a": "<g>2</g>", "c": "<g>1</g>"}),
    ):
        assert changes(before, after) == {"regions": {"graphs": {"parts": parts}}}
    for after in (
        page("1", "3", "2", around="<path/>"),
        page("1", "2", "2", ids="abd"),
        page("1", "2", "2", ids="acb"),
        page("1", "2"),
    ):
        [part] = after.regions[0].parts
        if part.html == before.regions[0].parts[0].html:
            assert changes(before, after) == {}
        else:
            told = {"regions": {"graphs": {"parts": {"p": part.html}}}}
            assert changes(before, after) == told


def test_an_event_has_what_tests_read_of_it() -> None:
    event = Event("changed", "1", {"regions": {"a": {"order": ["b"]}, "c": {"parts": {"d": "e"}}}})
    assert (event.order, event.parts) == ({"a": ["b"]}, {"d": "e"})
