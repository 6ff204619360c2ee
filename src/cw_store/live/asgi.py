"""The ASGI application: which address shows what, and who may see it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cw_store import NotFoundError, Store, StoreClosedError, StoreError
from cw_store.live.access import SecurityHeaders, is_from_here
from cw_store.live.actions import ACTS, FormError, Outcome, form_of, perform
from cw_store.live.pages import Access, Frame, Page, Viewer, id_of
from cw_store.live.rendering import document, render
from cw_store.live.renewing import LivePage, LivePages
from cw_store.live.screens.agent import agent, raw_agent
from cw_store.live.screens.graph import graph
from cw_store.live.screens.now import now
from cw_store.live.screens.search import search
from cw_store.live.screens.timeline import timeline
from cw_store.live.stream import EventStream
from cw_store.views import Source

logger = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")

AccessOf: TypeAlias = Callable[[Request], Access | Awaitable[Access]]
"""Says what whoever sends a request may do: `none`, `read` or `act`."""


class Screen(NamedTuple):
    """An address, and what is shown there: of what is named in it, an initiative, an agent."""

    path: str
    draw: Callable[[Source, Viewer, str | None], Awaitable[Page]]
    is_of_initiative: bool = True


SCREENS = (
    Screen("/", now),
    Screen("/graph", graph),
    Screen("/timeline", timeline),
    Screen("/initiative/{id}", now),
    Screen("/initiative/{id}/graph", graph),
    Screen("/initiative/{id}/timeline", timeline),
    Screen("/agent/{id}", agent, is_of_initiative=False),
    Screen("/agent/{id}/raw", raw_agent, is_of_initiative=False),
)


def application(store: Store, *, access: AccessOf) -> Starlette:
    """Return the application on a store, which is open while it is used.

    `access` says what whoever sends a request may do: nothing (`none`, answered with 403), look
    (`read`), or look and act (`act`). A stream is asked about once, when it begins. Whoever mounts
    the application sees to who people are, and to `Host`; the application to `Origin`, and that
    browsers run nothing but its own script.
    """
    return _Application(store, access).starlette()


def live_pages_of(app: Starlette) -> LivePages:
    """Return the pages that the application renews, for whoever has to end their streams."""
    return cast(LivePages, app.state.live_pages)


class _Application:
    def __init__(self, store: Store, access: AccessOf) -> None:
        self._store = store
        self._access = access
        self._pages = LivePages(store)

    def starlette(self) -> Starlette:
        app = Starlette(
            routes=[
                *(Route(screen.path, partial(self._show, screen)) for screen in SCREENS),
                Route("/search", self._search),
                Route("/act/{what}/{id}", self._act, methods=["POST"]),
                Mount("/static", StaticFiles(directory=STATIC)),
            ],
            middleware=[Middleware(SecurityHeaders)],
            exception_handlers={
                HTTPException: _refused,
                NotFoundError: _gone,
                StoreClosedError: _unavailable,
                StoreError: _unavailable,
                SQLAlchemyError: _unavailable,
            },
        )
        app.state.live_pages = self._pages
        return app

    async def _show(self, screen: Screen, request: Request) -> Response:
        viewer = await self._viewer(request)
        id = id_of(request.path_params["id"]) if "id" in request.path_params else None
        name = request.url.path
        page = self._pages.page(
            (screen.path, id, viewer),
            lambda uow: screen.draw(uow, viewer, id),
            name,
        )
        if "stream" in request.query_params:
            return await _stream(page, request)
        state = await page.now()
        frame = Frame(
            viewer=viewer,
            here=name,
            stream=f"{name}?stream&since={state.id}",
            initiative_id=id if screen.is_of_initiative else None,
        )
        return HTMLResponse(document(state.page, frame))

    async def _search(self, request: Request) -> Response:
        viewer = await self._viewer(request)
        text = request.query_params.get("q", "")
        page = await search(self._store, viewer, text)
        return HTMLResponse(document(page, Frame(viewer, request.url.path, "", query=text)))

    async def _act(self, request: Request) -> Response:
        if not is_from_here(request):
            raise HTTPException(403, "Only a page of this server can do that.")
        viewer = await self._viewer(request)
        if not viewer.may_act:
            raise HTTPException(403, "This page is to look at: cw-store live --act lets you act.")
        act = ACTS.get(request.path_params["what"])
        if act is None:
            raise HTTPException(404, "There is no such action.")
        try:
            form = await form_of(request)
        except FormError as error:
            raise HTTPException(400, str(error)) from error
        outcome = await perform(self._store, act, id_of(request.path_params["id"]), form)
        return _answer(request, viewer, outcome, form.get("back", ""))

    async def _viewer(self, request: Request) -> Viewer:
        allowed = self._access(request)
        if isawaitable(allowed):
            allowed = await allowed
        if allowed not in ("read", "act"):
            raise HTTPException(403, "You may not look at this.")
        return Viewer(allowed == "act", _root(request))


def _root(request: Request) -> str:
    """Return the path that the application is mounted under."""
    return request.scope.get("root_path", "").rstrip("/")


async def _stream(page: LivePage, request: Request) -> Response:
    since = request.headers.get("last-event-id") or request.query_params.get("since")
    await page.ready(since)
    return EventStream(page.events(since))


def _answer(request: Request, viewer: Viewer, outcome: Outcome, back: str) -> Response:
    """Answer the script with what came of it; a form leads back, or shows why it was not done."""
    back = _path_within(viewer, back)
    if _wants_json(request):
        return JSONResponse({"told": outcome.told}, outcome.status)
    if outcome.status == 200:
        return RedirectResponse(back, 303)
    return _failure(viewer, outcome.status, outcome.told, back)


def _path_within(viewer: Viewer, back: str) -> str:
    """Return a path of this application, whatever a form says."""
    begin = viewer.url()
    is_within = back.startswith(begin) and not back.startswith("//") and "\\" not in back
    return back if is_within and back.isprintable() else begin


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _told(request, error.status_code, error.detail)


async def _gone(request: Request, error: Exception) -> Response:
    return _told(request, 404, "There is nothing here any more, or there never was.")


async def _unavailable(request: Request, error: Exception) -> Response:
    logger.warning(
        "%s could not be answered: %s",
        request.url.path,
        error,
        extra={"event": "screen_unavailable"},
    )
    return _told(request, 503, "The store cannot be read just now. What serves this page logs why.")


def _told(request: Request, status: int, sentence: str) -> Response:
    if _wants_json(request):
        return JSONResponse({"told": sentence}, status)
    viewer = Viewer(root=_root(request))
    return _failure(viewer, status, sentence, viewer.url())


def _failure(viewer: Viewer, status: int, sentence: str, back: str) -> Response:
    html = render("failure.html", viewer=viewer, status=status, told=sentence, back=back)
    return HTMLResponse(html, status)
