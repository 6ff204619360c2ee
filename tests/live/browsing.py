"""What a browser sends and gets, byte by byte, so that tests say exactly what is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from cw_store.live.pages import Viewer

Headers = Mapping[str, str]

SECONDS = 10.0
"""Whatever takes longer than this hangs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: header names are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event; what names none is `retry`, or a comment."""

    name: str
    id: str
    data: Any

    @property
    def order(self) -> dict[str, list[str]]:
        """The order of the parts of each region in which it changed."""
        return {id: region["order"] for id, region in self._regions() if "order" in region}

    @property
    def parts(self) -> dict[str, str]:
        """The parts that changed, of all regions."""
        return {id: html for _, region in self._regions() for id, html in region["parts"].items()}

    def _regions(self) -> list[tuple[str, dict[str, Any]]]:
        regions: dict[str, dict[str, Any]] = self.data.get("regions", {})
        return [(id, {"parts": {}, **region}) for id, region in regions.items()]


@dataclass(slots=True)
class Stream:
    """Events as they come."""

    reader: asyncio.StreamReader
    answer: Answer
    _left: bytes = b""

    async def next(self) -> Event | None:
        """Return the next event, None once the stream has ended."""
        async with asyncio.timeout(SECONDS):
            while b"\n\n" not in self._left:
                chunk = await _chunk(self.reader)
                if not chunk:
                    return None
                self._left += chunk
        block, _, self._left = self._left.partition(b"\n\n")
        return _event(block.decode())

    async def changed(self) -> Event:
        """Return the next event that tells of more than that the stream is alive."""
        while True:
            event = await self.next()
            assert event is not None, "the stream ended"
            if event.name not in ("alive", "retry"):
                return event


@dataclass(slots=True)
class Browser:
    """Asks one server, with the cookies that it got."""

    port: int
    address: str = "127.0.0.1"
    cookies: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def origin(self) -> str:
        return f"http://{self.address}:{self.port}"

    def headers(self, **more: str | None) -> dict[str, str]:
        """Return what a browser sends with everything; with None, all but that."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"Host": f"{self.address}:{self.port}", **({"Cookie": cookie} if cookie else {})}
        for name, value in more.items():
            name = name.replace("_", "-").title()
            sent.pop(name, None)
            if value is not None:
                sent[name] = value
        return sent

    async def get(self, path: str, **headers: str | None) -> Answer:
        return await self.send("GET", path, self.headers(**headers))

    async def post(self, path: str, fields: Headers | None = None, **headers: str | None) -> Answer:
        """Send a form as a page of this server does."""
        given = {
            "origin": self.origin,
            "content_type": "application/x-www-form-urlencoded",
            **headers,
        }
        body = urlencode(fields or {}).encode()
        return await self.send("POST", path, self.headers(**given), body)

    async def act(self, what: str, id: str, **fields: str) -> Answer:
        """Send a form as the page's script does."""
        path = Viewer().url("act", what, id)
        return await self.post(path, fields, accept="application/json")

    async def send(
        self, method: str, path: str, headers: Headers, body: bytes = b"", version: str = "1.1"
    ) -> Answer:
        async with asyncio.timeout(SECONDS):
            reader, writer = await self._ask(method, path, headers, body, version)
            try:
                answer = await _head(reader)
                content = await reader.readexactly(int(answer.headers.get("content-length", "0")))
                return Answer(answer.status, answer.headers, content)
            finally:
                writer.close()

    async def follow(self, address: str) -> Answer:
        """Open an address that was printed, keep the cookie, and go where it leads."""
        split = urlsplit(address)
        answer = await self.get(f"{split.path}?{split.query}")
        name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
        self.cookies[name] = value
        assert answer.status == 303
        return await self.get(answer.headers["location"])

    @asynccontextmanager
    async def stream(self, path: str, **headers: str | None) -> AsyncGenerator[Stream]:
        reader, writer = await self._ask("GET", path, self.headers(**headers), b"", "1.1")
        try:
            yield Stream(reader, await _head(reader))
        finally:
            writer.close()

    async def _ask(
        self, method: str, path: str, headers: Headers, body: bytes, version: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self.address, self.port)
        lines = [f"{method} {path} HTTP/{version}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        return reader, writer


async def _head(reader: asyncio.StreamReader) -> Answer:
    async with asyncio.timeout(SECONDS):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    status = int(lines[0].split()[1])
    headers = {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])
    }
    return Answer(status, headers, b"")


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    """Return a part of a body of unknown length, nothing at its end."""
    try:
        length = int(await reader.readline() or b"0", 16)
        chunk = await reader.readexactly(length + 2)
    except (ConnectionResetError, asyncio.IncompleteReadError):
        return b""
    return chunk[:-2]


def _event(block: str) -> Event:
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(": ")
        fields[name] = value
    if "event" not in fields:
        return Event("retry" if "retry" in fields else ":", "", None)
    return Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
