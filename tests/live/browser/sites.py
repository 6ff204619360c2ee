"""Somebody at a browser, the page that they look at, and the network between the two."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from playwright.async_api import Browser, BrowserContext, Page, expect

from cw_store import Store
from cw_store.live.server import serving

WAIT = 10_000
"""Milliseconds until something is there that is waited for."""

SERVER = "127.0.0.2"
"""Where the server listens; the browser comes to 127.0.0.1, at the same port."""

expect.set_options(timeout=WAIT)


class Wire:
    """What is between browser and server; it can be cut, and tells how much goes through it."""

    def __init__(self) -> None:
        self.open = 0
        self.is_cut = False
        self._listening: asyncio.Server | None = None
        self._ways: set[asyncio.StreamWriter] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._port = 0

    async def lay(self) -> int:
        """Begin; return the port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        return self._port

    def cut(self) -> None:
        """End all connections, and let nobody through any more."""
        self.is_cut = True
        for way in self._ways:
            way.transport.abort()

    def mend(self) -> None:
        """Let everybody through again."""
        self.is_cut = False

    async def remove(self) -> None:
        """End."""
        self.cut()
        if self._listening is not None:
            self._listening.close()
        if self._running:
            await asyncio.wait(self._running)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._carry_both(reader, writer)
        finally:
            writer.transport.abort()
            self._running.discard(task)

    async def _carry_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            return
        there_reader, there_writer = await asyncio.open_connection(SERVER, self._port)
        self.open += 1
        ways = {writer, there_writer}
        self._ways |= ways
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_carry(reader, there_writer, ways))
                group.create_task(_carry(there_reader, writer, ways))
        finally:
            self.open -= 1
            self._ways -= ways
            there_writer.transport.abort()


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ways: set[asyncio.StreamWriter]
) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    for way in ways:
        way.close()


class Site:
    """A page that is served, and who looks at it."""

    def __init__(self, store: Store, browser: Browser, wire: Wire, address: str) -> None:
        self.store = store
        self.wire = wire
        self.address = address
        self.origin = address.partition("/?")[0]
        self.complaints: list[str] = []
        """What the browser found wrong: errors, what it refused, requests to elsewhere."""
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    async def look(
        self,
        path: str = "/",
        *,
        width: int = 1100,
        theme: Literal["light", "dark"] = "light",
        has_script: bool = True,
    ) -> Page:
        """Return a page on which somebody looks at a screen, in a browser of their own."""
        context = await self._browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            java_script_enabled=has_script,
        )
        self._contexts.append(context)
        context.set_default_timeout(WAIT)
        context.on("page", self._watch)
        page = await context.new_page()
        await page.goto(self.address)
        if path != "/":
            await page.goto(f"{self.origin}{path}")
        return page

    async def leave(self) -> None:
        """Close all that was opened."""
        for context in self._contexts:
            await context.close()

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.complaints.append(f"{error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("console", lambda message: self._hear(message.text))
        page.on("request", lambda request: self._note(request.url))

    def _hear(self, text: str) -> None:
        if "Refused to" in text or "violates" in text or "Content Security" in text:
            self.complaints.append(text)

    def _note(self, url: str) -> None:
        if not url.startswith((f"{self.origin}/", "data:", "about:")):
            self.complaints.append(f"requested {url}")


@asynccontextmanager
async def open_site(path: str, browser: Browser, *, may_act: bool = True) -> AsyncGenerator[Site]:
    """Serve a store, to be looked at; the browser must have nothing to complain about."""
    wire = Wire()
    port = await wire.lay()
    async with Store(path) as store, serving(store, may_act=may_act, host=SERVER, port=port) as it:
        site = Site(store, browser, wire, it.address.replace(SERVER, "127.0.0.1"))
        try:
            yield site
        finally:
            await site.leave()
            await wire.remove()
    assert not site.complaints, site.complaints
