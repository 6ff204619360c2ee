"""The ASGI application: which address shows what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cw_store import Store
from cw_store.live.pages import Access, Frame, Viewer, id_of
from cw_store.live.rendering import document
from cw_store.live.screens.now import now

STATIC = Path(__file__).with_name("static")

AccessOf: TypeAlias = Callable[[Request], Access]


def application(store: Store, *, access: AccessOf) -> Starlette:
    """Return the application on an open store; `access` says what whoever asks may do."""

    async def show(request: Request) -> Response:
        allowed = access(request)
        viewer = Viewer(allowed == "act", request.scope.get("root_path", ""))
        given = request.path_params.get("id")
        initiative_id = None if given is None else id_of(given)
        page = await now(store, viewer, initiative_id)
        here = str(request.url.path)
        return HTMLResponse(document(page, Frame(viewer, here, f"{here}?stream", initiative_id)))

    return Starlette(
        routes=[
            Route("/", show),
            Route("/initiative/{id}", show),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
    )
