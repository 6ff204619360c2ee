"""The example that streams to browsers: a real server, and browsers that come and go."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from examples.events.__main__ import StreamingServer
from tests.waits import until

from cw_store import Agent, Store

ROOT = Path(__file__).resolve().parents[2]
SHARED = pytest.mark.parametrize("database", ["file", "postgres"], indirect=True)
HOSTILE = "</script><b>\n\ndata: forged\r\nid: 7\n\n\u2028é\x1b[2J"


@dataclass
class Event:
    """One event as a browser has it."""

    id: str | None = None
    name: str = "message"
    data: Any = None


@dataclass
class Browser:
    """Follows one stream; remembers the id of the last event, as EventSource does."""

    port: int
    path: str
    last_id: str | None = None
    seen: list[Event] = field(default_factory=list[Event])

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[AsyncIterator[Event]]:
        """Ask for the stream, behind the last event; leave without a word."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            last = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
            writer.write(f"GET {self.path} HTTP/1.0\r\nHost: localhost\r\n{last}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head.splitlines()[0]
            assert b"text/event-stream" in head
            yield self._events(reader)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _events(self, reader: asyncio.StreamReader) -> AsyncIterator[Event]:
        event = Event()
        while line := await reader.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                event.id = value
            elif name == "event":
                event.name = value
            elif name == "data":
                event.data = json.loads(value)
            elif not name and event.data is not None:
                self.last_id = event.id or self.last_id
                self.seen.append(event)
                yield event
                event = Event()

    async def come_and_go(self, until_data: object, stays: int) -> None:
        """Leave after some events, and come back, until the last one."""
        while not self.seen or self.seen[-1].data != until_data:
            async with self.connected() as events:
                for _ in range(stays):
                    event = await anext(events)
                    if event.data == until_data:
                        break


@asynccontextmanager
async def served(store_url: str) -> AsyncGenerator[tuple[Process, int]]:
    """Serve a store by a process of its own, as its users do; the process and its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.events", "--store", store_url, "--port", "0"),
        cwd=ROOT,
        stdout=PIPE,
        env={key: value for key, value in os.environ.items() if key != "CW_STORE_URL"},
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        yield process, int(line.rstrip("/\n").rpartition(":")[2])
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(20):
            await process.wait()


async def state_of(port: int) -> dict[str, Any]:
    """Ask for what a page shows at first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /state HTTP/1.0\r\nHost: localhost\r\n\r\n")
    _, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return json.loads(body)


async def agent_of(store: Store) -> Agent:
    return await store.agents.create(worktree_id="trees/one", name="writer")


@SHARED
async def test_browsers_that_come_and_go_see_every_line_once_and_in_order(
    store: Store, database: str
) -> None:
    agent = await agent_of(store)
    lines = [f"line {number}\n{HOSTILE}" for number in range(60)]

    async def write() -> None:
        for line in lines:
            await store.log_chunks.insert_chunk(agent.id, agent.name, 1, line)

    async with served(database) as (_, port):
        browsers = [Browser(port, f"/agents/{quote(agent.id)}/log") for _ in range(3)]
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(write())
            for stays, browser in zip((1, 7, 100), browsers, strict=True):
                group.create_task(browser.come_and_go(lines[-1], stays))
    for browser in browsers:
        assert [event.data for event in browser.seen] == lines


@SHARED
async def test_what_the_state_does_not_show_comes_as_changes_once_and_in_order(
    store: Store, database: str
) -> None:
    await agent_of(store)
    async with served(database) as (_, port):
        state = await state_of(port)
        assert [agent["name"] for agent in state["agents"]] == ["writer"]
        path = f"/changes?after={quote(state['cursor'])}"
        browsers = [Browser(port, path) for _ in range(2)]

        async def write() -> None:
            for number in range(40):
                await store.tasks.create(id=f"task-{number}", name=HOSTILE)
            # By itself, so that its page can be told from the others.
            async with asyncio.timeout(30):
                await until(
                    lambda: all(tasks_of(browser)[-1:] == ["task-39"] for browser in browsers)
                )
            await store.initiatives.create(id="end", name="End")

        last_page = [{"entity": "initiatives", "id": "end", "action": "create"}]
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(write())
            for stays, browser in zip((1, 5), browsers, strict=True):
                group.create_task(browser.come_and_go(last_page, stays))
    for browser in browsers:
        assert tasks_of(browser) == [*(f"task-{number}" for number in range(40)), "end"]


def tasks_of(browser: Browser) -> list[str]:
    return [change["id"] for event in browser.seen for change in event.data]


async def test_a_page_of_before_a_backup_was_put_back_is_told_to_load_its_state_anew(
    tmp_path: Path,
) -> None:
    file, backup = tmp_path / "cw.db", tmp_path / "backup.db"
    async with Store(str(file)) as store:
        await agent_of(store)
    shutil.copy(file, backup)
    async with Store(str(file)) as store:
        await store.tasks.create(name="Lost")
    async with served(str(file)) as (_, port):
        browser = Browser(port, "/changes")
        async with browser.connected() as events:
            await anext(events)
    shutil.copy(backup, file)
    async with Store(str(file)) as store:
        await store.tasks.create(name="Another")

    async with served(str(file)) as (_, port):
        browser.port = port
        async with asyncio.timeout(20), browser.connected() as events:
            assert [event.name async for event in events] == ["stale"]
        browser.path, browser.last_id = f"/changes?after={(await state_of(port))['cursor']}", None
        async with asyncio.timeout(20), browser.connected() as events, Store(str(file)) as store:
            task = await store.tasks.create(name="New")
            assert [change["id"] for change in (await anext(events)).data] == [task.id]


@SHARED
async def test_a_server_that_is_told_to_end_ends_all_streams(store: Store, database: str) -> None:
    agent = await agent_of(store)
    async with served(database) as (process, port):
        log, changes = Browser(port, f"/agents/{agent.id}/log"), Browser(port, "/changes")
        async with (
            asyncio.timeout(30),
            log.connected() as lines,
            changes.connected() as pages,
        ):
            await anext(pages)
            process.send_signal(signal.SIGTERM)
            assert [event async for event in lines] == []
            assert [event async for event in pages] == []
            await process.wait()


async def test_a_browser_that_goes_away_leaves_nobody_who_follows(store: Store) -> None:
    agent = await agent_of(store)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = StreamingServer(store)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await until(lambda: server.started)
        port = listening.getsockname()[1]
        await state_of(port)
        await until(lambda: not server.server_state.tasks)
        before = asyncio.all_tasks()

        browsers = [Browser(port, path) for path in ("/changes", f"/agents/{agent.id}/log")]
        async with browsers[0].connected() as pages, browsers[1].connected() as lines:
            await anext(pages)
            await store.log_chunks.insert_chunk(agent.id, agent.name, 1, "a line")
            assert (await anext(lines)).data == "a line"
            assert asyncio.all_tasks() > before

        await until(lambda: asyncio.all_tasks() == before)
        server.should_exit = True
        await serving
