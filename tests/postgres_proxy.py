"""A proxy in front of a PostgreSQL server, which loses what a bad network loses."""

import asyncio
from typing import Any, Self, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
from sqlalchemy.engine import make_url

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Cut(Exception):
    """Both ends of a connection are to be closed."""


class Proxy:
    """Forwards to the server of `url` while an `async with` block lasts; `url` leads to it.

    It runs in the event loop of the test, so what it does falls between two steps of the program.
    """

    def __init__(self, url: str) -> None:
        self._behind = make_url(url)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._marked: bytes | None = None
        self._before = False
        self.reached = asyncio.Event()
        """Set when what was marked has been met."""
        self.withheld = asyncio.Event()
        """Set when something came since `freeze` that is not forwarded."""
        self._holds = False
        self._answers = asyncio.Event()
        self._hides_end = False
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        # The sockets of the machine may be reached without a password, and without TLS.
        url = self._behind.set(host="127.0.0.1", port=port, query={"sslmode": "disable"})
        self.url = url.render_as_string(hide_password=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cut everything."""
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def behind(self) -> str:
        """The URL of the server, past the proxy."""
        return self._behind.render_as_string(hide_password=False)

    async def empty(self, table: str) -> None:
        """Delete the table's rows, past the proxy and after what is still under way."""
        connection = await cast(Any, asyncpg).connect(self.behind)
        await connection.execute(f'LOCK TABLE "{table}"; DELETE FROM "{table}"')
        await connection.close()

    def cut_before(self, statement: str) -> None:
        """Cut the connection when the statement comes, and do not forward it."""
        self._mark(statement, before=True)

    def cut_instead_of_answer(self, statement: str) -> None:
        """Forward the statement, and cut the connection when its answer comes."""
        self._mark(statement, before=False)

    def hold_answer(self, statement: str) -> None:
        """Forward the statement, and keep its answer until `answer` is called."""
        self._mark(statement, before=False)
        self._holds = True
        self._answers.clear()

    def answer(self) -> None:
        """Let what was held go on to the program."""
        self._answers.set()

    def freeze_at(self, statement: str) -> None:
        """Forward nothing any more from when the statement comes."""
        self._mark(statement, before=True)
        self._holds = True

    def hide_end(self) -> None:
        """Forward what the server says last the next time, and not that it closes then."""
        self._hides_end = True

    def freeze(self) -> None:
        """Forward nothing any more, and close nothing."""
        self._flows.clear()
        self.withheld.clear()

    def thaw(self) -> None:
        """Forward again."""
        self._flows.set()

    def _mark(self, statement: str, *, before: bool) -> None:
        self._marked, self._before, self._holds = statement.encode(), before, False
        self.reached.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            behind = await self._reach_server()
            try:
                await _Connection(self, (reader, writer), behind).run()
            finally:
                behind[1].transport.abort()
        except asyncio.CancelledError:
            return  # which asyncio's streams would report
        finally:
            writer.transport.abort()

    async def _reach_server(self) -> Streams:
        host, port = self._behind.query.get("host"), self._behind.query.get("port", "5432")
        if isinstance(host, str) and host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(self._behind.host, self._behind.port or 5432)

    # What a connection asks.

    async def request(self, data: bytes) -> bool:
        """Wait until data may be forwarded; whether what comes next is its marked answer."""
        if not self._flows.is_set():
            self.withheld.set()
        await self._flows.wait()
        if self._marked is None or self._marked not in data:
            return False
        self._marked = None
        self.reached.set()
        if self._before and self._holds:
            self.freeze()
            await self._flows.wait()
            return False
        if self._before:
            raise _Cut
        return True

    async def end(self) -> None:
        """Wait until the program may see that the server has closed the connection."""
        if self._hides_end:
            self._hides_end = False
            self.reached.set()
            await asyncio.Event().wait()

    async def reply(self, marked: bool) -> None:
        """Wait until an answer may be forwarded."""
        await self._flows.wait()
        if marked:
            if not self._holds:
                raise _Cut
            await self._answers.wait()


class _Connection:
    def __init__(self, proxy: Proxy, program: Streams, server: Streams) -> None:
        self._proxy = proxy
        self._program = program
        self._server = server
        self._marked = False

    async def run(self) -> None:
        pumps = [asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._replies())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _requests(self) -> None:
        while data := await self._program[0].read(65536):
            self._marked = await self._proxy.request(data) or self._marked
            self._server[1].write(data)

    async def _replies(self) -> None:
        while data := await self._server[0].read(65536):
            await self._proxy.reply(self._marked)
            self._marked = False
            self._program[1].write(data)
        await self._proxy.end()
