"""The page in an application of one's own, which says who may do what."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from browsing import Browser
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import ASGIApp

from builders import add_initiative, add_task
from cw_store import Store
from cw_store.live import Access, application

pytestmark = pytest.mark.parametrize("database", ["file"], indirect=True)


def access_of(request: Request) -> Access:
    """Say what the header of a host's own says."""
    said = request.headers.get("x-person")
    return "act" if said == "ada" else "read" if said == "tony" else "none"


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncGenerator[Browser]:
    """Serve an application as whoever mounts ours does."""
    config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 -- nothing tells of it
        await asyncio.sleep(0.01)
    yield Browser(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    await serving


@pytest.fixture(params=["starlette", "fastapi"])
async def host(request: pytest.FixtureRequest, store: Store) -> AsyncGenerator[Browser]:
    """An application with the page under /agents."""
    page = application(store, access=access_of)
    app = Starlette(routes=[Mount("/agents", page)])
    if request.param == "fastapi":
        app = FastAPI()
        app.mount("/agents", page)
    async with running(app) as browser:
        yield browser


async def test_all_addresses_are_under_its_path(store: Store, host: Browser) -> None:
    id = (await add_initiative(store)).id
    for path in ("/agents/", f"/agents/initiative/{id}"):
        answer = await host.get(path, x_person="tony")
        assert answer.status == 200
        paths = re.findall(r'(?:href|src|action|data-stream)="([^"]*)"', answer.text)
        assert paths
        assert [each for each in paths if not each.startswith(("/agents/", "#", "data:"))] == []
    assert (await host.get("/agents/static/live.js", x_person="tony")).status == 200


async def test_a_stream_is_under_its_path(store: Store, host: Browser) -> None:
    html = (await host.get("/agents/", x_person="tony")).text
    found = re.search(r'data-stream="([^"]+)"', html)
    assert found is not None
    async with host.stream(found[1].replace("&amp;", "&"), x_person="tony") as stream:
        await add_task(store, name="Unit tests", status="blocked")
        assert "Unit tests" in str((await stream.changed()).parts)


async def test_whoever_may_do_nothing_sees_nothing(store: Store, host: Browser) -> None:
    await add_task(store, name="Unit tests", status="blocked")
    for path in ("/agents/", "/agents/?stream", "/agents/initiative/x", "/agents/act/retry/x"):
        answer = await host.get(path)
        assert answer.status in (403, 405)
        assert "Unit tests" not in answer.text


async def test_whoever_may_act_acts_from_its_own_pages(store: Store, host: Browser) -> None:
    task = await add_task(store, status="blocked")
    path = f"/agents/act/retry/{task.id}"
    assert (await host.post(path, x_person="tony")).status == 403
    assert (await host.post(path, x_person="ada", origin="http://evil.example")).status == 403
    assert (await host.post(path, x_person="ada", origin=None)).status == 403
    assert len(await store.tasks.find_by_status("blocked")) == 1
    done = await host.post(path, {"back": "/elsewhere"}, x_person="ada")
    assert (done.status, done.headers["location"]) == (303, "/agents/")
    assert await store.tasks.find_by_status("blocked") == []


async def test_it_says_what_browsers_are_to_refuse(host: Browser) -> None:
    for person in ("tony", "nobody"):
        answer = await host.get("/agents/", x_person=person)
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_those_who_may_act_and_those_who_may_not_see_pages_of_their_own(
    store: Store, host: Browser
) -> None:
    """What one is drawn is not shown to the other."""
    await add_task(store, status="blocked")
    async with (
        host.stream("/agents/?stream", x_person="ada") as acting,
        host.stream("/agents/?stream", x_person="tony") as looking,
    ):
        first, second = await acting.changed(), await looking.changed()
        assert first.id.partition("-")[0] != second.id.partition("-")[0]


async def test_who_may_do_what_can_be_looked_up(store: Store) -> None:
    async def access(request: Request) -> Access:
        await asyncio.sleep(0)
        return access_of(request)

    async with running(application(store, access=access)) as browser:
        assert (await browser.get("/", x_person="tony")).status == 200
        assert (await browser.get("/")).status == 403
