"""Changes: what was changed in which row, in the order in which it was, for whoever follows."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

ChangedEntity = Literal[
    "initiatives",
    "phases",
    "tasks",
    "agents",
    "accounts",
    "messages",
    "conversations",
    "proposals",
    "pages",
    "change_sets",
    "errands",
    "review_comments",
    "chat_messages",
]
ChangeAction = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Change:
    """One row that was changed.

    `entity` is its table, `entity_id` its id, `initiative_id` the initiative it belongs to, `None`
    where it belongs to none. `at` is the row's own time of the change, `updated_at`, and `None` for
    a row that was deleted.
    """

    entity: ChangedEntity
    entity_id: str
    action: ChangeAction
    initiative_id: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Some changes, and the cursor behind them.

    A cursor is text of at most some hundred characters (more while many transactions are open on
    PostgreSQL), to be kept and given back as it is.
    """

    changes: list[Change]
    cursor: str


class ChangeRepository(Protocol):
    """The feed of changes: one for each row of the thirteen tables that was changed.

    It tells of whoever wrote: a repository, a session, a cascade, another program. A renewed lease,
    the stamp of a rotation, a counter and a log chunk leave no change; a task or a phase that
    begins or ceases to wait for others does. What was rolled back leaves none.

    Whole transactions are told, each once, causes before their effects, and the changes of one row
    in their order. Nobody waits for a slow writer, and nothing of it is lost: on PostgreSQL a
    cursor is a snapshot, not a number. It cannot be had on a standby.
    """

    async def read(
        self,
        after: str | None,
        *,
        limit: int = 500,
        entities: Collection[ChangedEntity] | None = None,
        initiative_id: str | None = None,
    ) -> ChangePage:
        """Return the changes behind the cursor `after`, oldest first, and the cursor behind them.

        `None` reads from the oldest change that is kept. With `entities` or `initiative_id` only
        changes of these tables, or of this initiative; the cursor passes the others. An empty page
        is the end for now.

        `limit` is a floor: a page never ends inside a transaction. It has at least so many changes
        unless it reaches the end. On SQLite a page reaches to the end always.

        Whoever stores the page's cursor in the transaction that uses its changes loses nothing and
        uses nothing twice, whenever one of the two processes is killed. What the unit of work
        itself has changed before may be in the page, or else is in a later one.

        Raises `StaleCursorError` for a cursor of another life of the database (a backup put back, a
        dump restored), or from before the oldest change that is kept: read the state itself, and go
        on from `position()`. A text that is no cursor, or a `limit` below 1, is an
        `InvalidValueError`.
        """
        ...

    async def position(self) -> str:
        """Return the cursor behind all that this snapshot shows.

        In one unit of work with a read of the state it is where to go on: what the state shows
        comes no more, all else does.
        """
        ...
