"""A server of the page alone: on loopback, for whoever was told the address."""

from __future__ import annotations

import asyncio
import socket
from asyncio import Task
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cw_store import Store
from cw_store.live.access import (
    LOOPBACK,
    LOOPBACK_NAMES,
    TOKEN,
    Guard,
    allowed_hosts,
    new_token,
)
from cw_store.live.asgi import application, live_pages_of
from cw_store.live.pages import Access
from cw_store.live.stream import ABORT

FIRST_PORT = 8470
PORTS_TRIED = 20

HEAD_SECONDS = 10.0
"""Seconds for which a connection may be open without having asked for anything."""

SEND_BUFFER = 131_072
"""Bytes that the system keeps for a viewer, who gets the newest state when it takes them."""

MOST_CONNECTIONS = 400

ENDING_SECONDS = 2
"""Seconds that a request which is under way has when the server ends."""


class LivePageServer:
    """A page that is served at `port`: its `address` has the token that lets whoever has it in."""

    def __init__(self, guard: Guard, token: str, host: str, port: int, task: Task[None]) -> None:
        self._guard = guard
        self._origin = f"http://{host}:{port}"
        self._task = task
        self.port = port
        self.address = f"{self._origin}/?{TOKEN}={token}"

    def address_to_use_once(self) -> str:
        """Return an address that lets one browser in, to be given to it on a command line."""
        return f"{self._origin}/?{TOKEN}={self._guard.new_token_to_use_once()}"

    async def until_it_ends(self) -> None:
        """Wait until the server has ended, which it does of itself only when it fails."""
        await asyncio.shield(self._task)


@asynccontextmanager
async def serving(
    store: Store, *, may_act: bool = False, host: str | None = None, port: int | None = None
) -> AsyncGenerator[LivePageServer]:
    """Serve the page of an open store while the block lasts, on this event loop.

    On loopback, unless `host` names another address of this machine, on which it is then reached
    without encryption. On `port`, where 0 is any that is free; without one the first that is free
    from 8470 on. Whoever has the address may look, and act with `may_act`. OSError when there is no
    such address or port.
    """
    listening = _listen(host or LOOPBACK, port)
    bound: int = listening.getsockname()[1]
    names = LOOPBACK_NAMES if host is None else (*LOOPBACK_NAMES, _in_url(host))
    token = new_token()
    access: Access = "act" if may_act else "read"
    app = application(store, access=lambda request: access)
    guard = Guard(app, token=token, port=bound, hosts=allowed_hosts(names, bound))
    server = _Server(_config(guard))
    task = asyncio.create_task(server.serve(sockets=[listening]), name="cw_store serves its page")
    try:
        await server.until_up(task)
        yield LivePageServer(guard, token, _in_url(host or LOOPBACK), bound, task)
    finally:
        live_pages_of(app).close()
        server.should_exit = True
        await asyncio.wait({task})
        listening.close()


def _listen(host: str, port: int | None) -> socket.socket:
    if port is not None:
        return _bound(host, port)
    for tried in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        with suppress(OSError):
            return _bound(host, tried)
    return _bound(host, 0)


def _bound(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Or nobody could listen here for a while after the last one did.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Every connection inherits it: so much is kept of what a viewer has not taken.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listening.bind(address)
        listening.listen()
    except BaseException:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _config(app: Guard) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=ENDING_SECONDS,
    )


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to whoever runs the event loop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._is_up = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._is_up.set()

    async def until_up(self, task: asyncio.Task[None]) -> None:
        up = asyncio.ensure_future(self._is_up.wait())
        try:
            await asyncio.wait({up, task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
        if task.done():
            task.result()


class _Protocol(H11Protocol):
    """A connection that can be ended at once, and has to ask for something soon."""

    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, ABORT: transport.abort}
        self._silence = self.loop.call_later(HEAD_SECONDS, self._end_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._silence is not None:
            self._silence.cancel()
        super().connection_lost(exc)

    def _end_if_silent(self) -> None:
        # uvicorn sets it once the head of a request is whole.
        if self.cycle is None:  # pyright: ignore[reportUnnecessaryComparison]
            self.transport.abort()
