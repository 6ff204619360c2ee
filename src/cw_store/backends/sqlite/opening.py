"""Opens a connection with a thread of its own.

Whoever is cancelled meanwhile, or a store that is closed, tells the thread that it need not try any
longer, and what it opens then is closed by itself.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.raw_connection import GivenUp, connect_with_retry
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.errors import StoreError


class _AnyOf:
    """Set when one of these is."""

    def __init__(self, *events: GivenUp) -> None:
        self._events = events

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._events)


async def open_connection(
    path: Path,
    *,
    loop_callbacks: LoopCallbacks,
    read_only: bool,
    synchronous: str,
    timeout: float,
    pin_threads: bool = True,
    closing: threading.Event | None = None,
) -> Connection:
    """Open a connection with a thread of its own, unless `closing` is set meanwhile.

    Raises StoreError when there is no descriptor, no thread or no memory for it.
    """
    connect = partial(
        connect_with_retry, path, read_only=read_only, synchronous=synchronous, timeout=timeout
    )
    return await open_with(
        connect,
        path,
        loop_callbacks=loop_callbacks,
        name="reader" if read_only else "writer",
        busy_timeout=timeout if read_only else 0.0,
        pin_threads=pin_threads,
        closing=closing,
    )


async def open_with(
    connect: Callable[..., sqlite3.Connection],
    path: Path,
    *,
    loop_callbacks: LoopCallbacks,
    name: str,
    busy_timeout: float,
    pin_threads: bool = True,
    closing: threading.Event | None = None,
) -> Connection:
    """Open what `connect(given_up=…)` connects to, with a thread of its own."""
    given_up = threading.Event()
    connector = partial(
        connect, given_up=given_up if closing is None else _AnyOf(given_up, closing)
    )
    try:
        connection = Connection(
            path,
            connector,
            loop_callbacks,
            name=name,
            busy_timeout=busy_timeout,
            pin_threads=pin_threads,
        )
    except OSError as error:
        raise StoreError(
            f"no descriptors for a connection to the database: {error.strerror}"
        ) from error
    try:
        return await connection.connect()
    except BaseException:
        given_up.set()
        raise
