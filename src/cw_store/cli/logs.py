"""`logs`: what an agent wrote, decoded, session by session, and what it writes from now on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from cw_store import Store, UnitOfWork, metadata
from cw_store.cli.cells import as_time
from cw_store.cli.context import Context
from cw_store.cli.endless import ended_when_nobody_reads
from cw_store.cli.failures import NothingFoundError
from cw_store.cli.finding import find
from cw_store.decoding import Lines, Said, parsed, said_in
from cw_store.safe_text import lines_of, safe, safe_json

AT_A_TIME = 500

chunks = metadata.tables["agent_log_chunks"]


class Asked(NamedTuple):
    """What of the log was asked for."""

    session: int | None
    since: datetime | None
    text: str | None
    is_raw: bool
    follows: bool


class Chunk(NamedTuple):
    """One chunk of a log, and its place in it."""

    id: str
    seq: int
    session: int
    at: datetime
    content: str


async def show_log(here: Context, agent: str, asked: Asked) -> None:
    """Show the log as it is, and go on with what comes if that was asked for."""
    shown = _Shown(here, asked)
    async with here.reading() as store:
        async with store.unit_of_work(read_only=True) as uow:
            id = await _agent_id(uow, agent)
            last: str | None = None
            async for chunk in _stored(uow, id, asked):
                shown.chunk(chunk.session, chunk.at, chunk.content)
                last = chunk.id
        if asked.follows:
            with ended_when_nobody_reads():
                await _follow(store, id, last, asked, shown)
    shown.end()


async def _agent_id(uow: UnitOfWork, typed: str) -> str:
    """Return the agent's id; a log outlives its agent, and is then found by the whole id."""
    try:
        return (await find(uow, typed, "agent")).id
    except NothingFoundError:
        if await uow.log_chunks.find_by_agent_id(typed, limit=1):
            return typed
        raise


async def _stored(uow: UnitOfWork, agent_id: str, asked: Asked) -> AsyncIterator[Chunk]:
    """Give what is there, page by page, so that a long log takes no more memory than a short."""
    columns = (chunks.c[name] for name in ("id", "seq", "session_number", "created_at", "content"))
    query = select(*columns).where(chunks.c.agent_id == agent_id).order_by(chunks.c.seq)
    if asked.session is not None:
        query = query.where(chunks.c.session_number == asked.session)
    if asked.since is not None:
        query = query.where(chunks.c.created_at >= asked.since)
    seen = -1
    while True:
        rows = await uow.session.execute(query.where(chunks.c.seq > seen).limit(AT_A_TIME))
        page = [Chunk._make(row) for row in rows]
        for chunk in page:
            yield chunk
        if len(page) < AT_A_TIME:
            return
        seen = page[-1].seq


async def _follow(
    store: Store, agent_id: str, last: str | None, asked: Asked, shown: _Shown
) -> None:
    async for chunk in store.follow_log(agent_id, session_number=asked.session, after=last):
        if asked.since is None or chunk.created_at >= asked.since:
            shown.chunk(chunk.session_number, chunk.created_at, chunk.content)


class _Shown:
    """Shows chunks, line by line; what a session wrote last is not put before what the next did."""

    def __init__(self, here: Context, asked: Asked) -> None:
        self._output = here.output
        self._asked = asked
        self._session: int | None = None
        self._at: datetime | None = None
        self._lines = Lines()

    def chunk(self, session: int, at: datetime, content: str) -> None:
        """Show the lines that this chunk ends."""
        if session != self._session:
            self.end()
            self._session = session
        self._at = at
        for line in self._lines.add(content):
            self._line(line)

    def end(self) -> None:
        """Show a line that nothing ended."""
        rest = self._lines.rest()
        if rest:
            self._line(rest)

    def _line(self, line: str) -> None:
        if self._asked.is_raw:
            if self._is_wanted(line):
                written = safe(line) if parsed(line) is None else safe_json(line)
                self._output.written_line(written, data={**self._facts(), "line": line})
            return
        for said in said_in(line):
            if self._is_wanted(said.text):
                data = {**self._facts(), "kind": said.kind, "text": said.text}
                for text in self._as_text(said):
                    self._output.written_line(text, data=data)
                    if self._output.is_json:
                        break

    def _as_text(self, said: Said) -> Iterator[str]:
        """Give a line for each of the text on a terminal, one of fields in a pipe."""
        assert self._at is not None
        if self._output.is_terminal:
            begin = f"{self._at:%m-%d %H:%M:%S} {self._session:>2} {said.kind:6} "
            for text in lines_of(said.text):
                yield begin + safe(text)
                begin = " " * len(begin)
        else:
            fields = (as_time(self._at), str(self._session), said.kind, safe(said.text))
            yield "\t".join(fields)

    def _facts(self) -> dict[str, object]:
        return {"at": self._at, "session": self._session}

    def _is_wanted(self, text: str) -> bool:
        sought = self._asked.text
        return sought is None or sought.casefold() in text.casefold()
