"""What every command is given: where the store is, how to open it, and where to show things."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cw_store.cli.failures import CommandError, UsageError
from cw_store.cli.output import Output

if TYPE_CHECKING:
    from cw_store import Store

BUSY_TIMEOUT = 10.0
"""Seconds that a command waits for a turn: a person wants to know sooner than a program."""

_PASSWORD = re.compile(r"^[^/?]*://[^/?]*:[^/?]*@|password", re.IGNORECASE)
"""What may hold a password: a user's, before the host, and options."""


@dataclass(frozen=True, slots=True)
class Context:
    """The options that every command has, and what they make of a store and an output.

    `url` is None where none was given; the library knows `$CW_STORE_URL` and the default.
    """

    url: str | None
    output: Output
    clock: Callable[[], datetime] | None

    def now(self) -> datetime:
        """Return the time that ages are counted from."""
        return datetime.now(UTC) if self.clock is None else self.clock()

    def command(self, line: str) -> str:
        """Return a command line of cw-store for the store that this command is about.

        A URL with a password in it is not written anywhere, and so left out.
        """
        if self.url is None or _PASSWORD.search(self.url):
            return line
        at_store = shlex.join(["cw-store", "--url", self.url])
        return re.sub(r"\bcw-store(?= )", lambda _: at_store, line, count=1)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[Store]:
        """Open the store to look at it: nothing is created, migrated or changed."""
        async with _open(self.store(read_only=True)) as store:
            yield store

    @asynccontextmanager
    async def acting(self) -> AsyncGenerator[Store]:
        """Open the store to change something in it; it is neither created nor migrated."""
        async with _open(self.store(read_only=False)) as store:
            yield store

    def store(self, *, read_only: bool) -> Store:
        """Return the store, not open yet; UsageError when the URL leads nowhere."""
        from cw_store import Store

        try:
            return Store(
                self.url,
                read_only=read_only,
                migrate=False,
                clock=self.clock,
                busy_timeout=BUSY_TIMEOUT,
                slow_unit=None,
            )
        except ValueError as error:
            raise UsageError(str(error)) from error


@asynccontextmanager
async def _open(store: Store) -> AsyncGenerator[Store]:
    from cw_store import SchemaBehindError

    try:
        await store.__aenter__()
    except SchemaBehindError as error:
        if error.current is None:
            message = f"there is no store at {store.url}; cw-store init makes one"
            raise CommandError("no-store", message) from error
        raise
    try:
        yield store
    finally:
        await store.close()


Here = Annotated[Context, Parameter(parse=False)]
"""The type of a command's last parameter, `here`, which is not on the command line."""
