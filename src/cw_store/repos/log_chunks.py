"""Log chunks: what agents wrote, session by session, kept also when the agent is deleted."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

from cw_store.repos.claims import Claim


@dataclass(frozen=True, slots=True)
class LogChunk:
    """One piece of an agent's output.

    `agent_id` may be that of a deleted agent, `agent_name` is its name at the time.
    `session_number` is 1 for the first start of the agent and one more for each time it is
    resumed. `content` is raw JSONL.
    """

    id: str
    agent_id: str
    agent_name: str
    session_number: int
    content: str
    created_at: datetime


class NewLogChunk(TypedDict):
    """What a log chunk is created from."""

    id: NotRequired[str]
    agent_id: str
    agent_name: str
    session_number: int
    content: str


class LogChunkRepository(Protocol):
    """The agents' log, which only grows: a chunk is never changed.

    A log's chunks become visible in its order, so whoever reads on with `after=` sees each of them
    once, whoever appends them. For that a unit of work that has appended to a log keeps others from
    appending to the same one until it ends, on PostgreSQL too.

    On PostgreSQL that holds for what is appended here. A chunk that an application inserts with SQL
    of its own, in a session or beside the store, may become visible after a later one, and who
    reads on with `after=` misses it, unless its transaction has taken the log's turn before:
    `SELECT pg_advisory_xact_lock(hashtextextended('agent_log_chunks.' || agent_id, 0))`.

    Bad input raises `InvalidValueError` and writes nothing. No agent has to exist for its log.
    """

    async def create(self, **values: Unpack[NewLogChunk]) -> LogChunk:
        """Append a chunk and return it; `AlreadyExistsError` when the id is taken."""
        ...

    async def create_many(self, rows: Sequence[NewLogChunk]) -> list[LogChunk]:
        """Append all of the chunks or none, and return them in the order given.

        `AlreadyExistsError` when an id is taken.
        """
        ...

    async def insert_chunk(
        self,
        agent_id: str,
        agent_name: str,
        session_number: int,
        content: str,
        *,
        claim: Claim | None = None,
    ) -> LogChunk:
        """Append a chunk and return it; `create` with its four values in line.

        With `claim` only if that is held, which is looked at in the same statement; else
        `LeaseLostError`, and nothing is stored. Whose log it is makes no difference.
        """
        ...

    async def insert_chunks(
        self, rows: Sequence[NewLogChunk], *, claim: Claim | None = None
    ) -> list[LogChunk]:
        """Append all of the chunks or none, and return them in the order given.

        The same as `create_many`; with `claim` only if that is held, else `LeaseLostError`, and
        nothing is stored.
        """
        ...

    async def find_by_id(self, id: str) -> LogChunk | None:
        """Return the chunk, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the log chunks that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_by_agent_id(
        self,
        agent_id: str,
        session_number: int | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[LogChunk]:
        """Return an agent's log, or that of one session, oldest first; at most `limit` chunks.

        `after` is the id of the last chunk seen: the list starts behind it, and `NotFoundError`
        is raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_last(self, agent_id: str, *, limit: int) -> list[LogChunk]:
        """Return the last `limit` chunks of an agent's log, oldest first.

        A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    def stream_by_agent_id(
        self, agent_id: str, session_number: int | None = None
    ) -> AsyncIterator[LogChunk]:
        """Iterate over an agent's log, or that of one session, oldest first.

        Never holds the whole log in memory; ends when the log does, at once when there is none.
        Goes on with what there is when chunks that it gave are deleted.
        """
        ...

    async def get_session_count(self, agent_id: str) -> int:
        """Return the highest session number in an agent's log, 0 when it has none."""
        ...

    async def delete(self, id: str) -> None:
        """Delete a chunk; `NotFoundError` for an unknown id."""
        ...

    async def delete_by_agent_id(self, agent_id: str) -> int:
        """Delete an agent's log and return how many chunks it had."""
        ...
