"""Server-sent events on the wire: whoever does not take them is cut off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

STUCK_SECONDS = 10.0
"""Seconds for which a viewer may take nothing of what it is sent."""

ABORT = "cw_store.abort"
"""Where the server's state has what ends the connection at once, without what is still unsent."""


class EventStream(Response):
    """Sends events until there are no more, the viewer goes, or it takes nothing for too long."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        sending = asyncio.create_task(self._send_all(scope, send), name="cw_store sends events")
        leaving = asyncio.create_task(_until_gone(receive), name="cw_store hears a viewer go")
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait({sending, leaving})

    async def _send_all(self, scope: Scope, send: Send) -> None:
        headers = self.raw_headers
        async with aclosing(self._events) as events:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for event in events:
                try:
                    async with asyncio.timeout(STUCK_SECONDS):
                        await send({"type": "http.response.body", "body": event, "more_body": True})
                except TimeoutError:
                    _cut_off(scope)
                    return
            await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _cut_off(scope: Scope) -> None:
    """Leave a viewer that takes nothing, and have the server forget what it has not taken."""
    logger.debug(
        "a viewer that took nothing for %g s was cut off",
        STUCK_SECONDS,
        extra={"event": "viewer_cut_off"},
    )
    abort = cast(Callable[[], None] | None, scope.get("state", {}).get(ABORT))
    if abort is not None:
        abort()
