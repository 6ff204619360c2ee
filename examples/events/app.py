"""An agent's log, and the feed of changes, as server-sent events.

Each event has an id, which a browser that comes back names in `Last-Event-ID`: in a log that is its
chunk, in the feed a cursor. So it gets every line once, in order, however often it was away, and
the server remembers nothing of anybody. Who waits holds no transaction and no connection.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from cw_store import (
    ChangePage,
    InvalidValueError,
    StaleCursorError,
    Store,
    StoreClosedError,
    UnitOfWork,
)

PAGE = Path(__file__).with_name("page.html")
HEARTBEAT_SECONDS = 15.0


def application(store: Store) -> Starlette:
    """Return the application on an open store; closing the store ends all streams."""

    async def page(request: Request) -> Response:
        return FileResponse(PAGE)

    async def state(request: Request) -> Response:
        async with store.unit_of_work(read_only=True) as uow:
            agents = [
                {"id": agent.id, "name": agent.name, "status": agent.status}
                for agent in await uow.agents.find_all()
            ]
            return JSONResponse({"agents": agents, "cursor": await uow.changes.position()})

    async def log(request: Request) -> Response:
        return _stream(log_events(store, request.path_params["id"], _last_event_id(request)))

    async def changes(request: Request) -> Response:
        after = _last_event_id(request) or request.query_params.get("after")
        return _stream(change_events(store, after))

    return Starlette(
        routes=[
            Route("/", page),
            Route("/state", state),
            Route("/agents/{id:path}/log", log),
            Route("/changes", changes),
        ],
        # A log is not for the pages of others, under whatever name they call this machine.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        exception_handlers={StoreClosedError: lambda request, error: Response(status_code=503)},
    )


async def log_events(store: Store, agent_id: str, after: str | None) -> AsyncGenerator[str]:
    """Give each chunk of the log behind `after`, and each that comes."""
    async for chunk in store.follow_log(agent_id, after=after):
        yield _event(chunk.id, chunk.content)


async def change_events(store: Store, after: str | None) -> AsyncGenerator[str]:
    """Give each page of changes behind the cursor, and each that comes, as one event.

    An event arrives whole or not at all, so a page, whose changes have one cursor, is not seen in
    part. A cursor that cannot be followed is told by the event `stale`, the last one.
    """

    async def more(uow: UnitOfWork) -> ChangePage | None:
        page = await uow.changes.read(after)
        return page if page.changes else None

    try:
        while True:
            page = await store.wait_for(more)
            after = page.cursor
            yield _event(
                page.cursor,
                [
                    {"entity": change.entity, "id": change.entity_id, "action": change.action}
                    for change in page.changes
                ],
            )
    except (StaleCursorError, InvalidValueError) as error:
        yield f"event: stale\ndata: {json.dumps(str(error))}\n\n"


async def until_closed(events: AsyncGenerator[str]) -> AsyncGenerator[str]:
    """Give the events until the store is closed, with a sign of life where there are none for long.

    That is how a browser that went away without a word is noticed, and no proxy becomes impatient.
    """
    following = asyncio.ensure_future(anext(events))
    try:
        with suppress(StopAsyncIteration, StoreClosedError):
            while True:
                await asyncio.wait([following], timeout=HEARTBEAT_SECONDS)
                if following.done():
                    yield following.result()
                    following = asyncio.ensure_future(anext(events))
                else:
                    yield ": nothing new\n\n"
    finally:
        following.cancel()


def _stream(events: AsyncGenerator[str]) -> Response:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(until_closed(events), media_type="text/event-stream", headers=headers)


def _event(id: str, data: object) -> str:
    """Return an event in one line each for its id and its data, whatever is in them."""
    return f"id: {quote(id)}\ndata: {json.dumps(data)}\n\n"


def _last_event_id(request: Request) -> str | None:
    given = request.headers.get("Last-Event-ID")
    return unquote(given) if given else None
