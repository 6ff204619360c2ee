"""What a store asks of a database: the port that both backends implement."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Dialect

from cw_store.backends.session import UnitSession
from cw_store.backends.session_owner import SessionOwner
from cw_store.self_deadlock import Block
from cw_store.statements.capabilities import Capabilities
from cw_store.statements.compiled import Statements
from cw_store.statements.database import Executor
from cw_store.stats import DatabaseStats


class Transaction(Executor, Protocol):
    """One transaction: it begins with its first statement, and after its end it is used no more.

    `commit`, `rollback` and `terminate` end it, also when it has not begun. A statement that waits
    to begin it then, for a task that was left behind, is a UnitOfWorkError.
    """

    @property
    def active(self) -> bool:
        """Whether anything may have reached the database, and the end has not been sent."""
        ...

    @property
    def committed(self) -> bool | None:
        """How it ended; None before, and for ever if nothing of it reached the database.

        Also None when nobody can know: from the moment that a commit is sent until its answer.
        """
        ...

    @property
    def waited(self) -> float:
        """Seconds that it waited for a turn or a connection; 0 before it had one."""
        ...

    @property
    def held(self) -> float:
        """Seconds that it had it, until its end was sent; 0 before its end."""
        ...

    def session(self, owner: SessionOwner) -> UnitSession:
        """Return a session on the same connection, in the same transaction.

        It outlives the transaction, and `follow`s the unit to its next one.
        """
        ...

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        ...

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint."""
        ...

    async def undo(self, name: str) -> None:
        """Undo what was done since the savepoint; done even when the caller is cancelled."""
        ...

    def commit(self) -> Coroutine[Any, Any, None]:
        """Commit and give the connection back; done even when the caller is cancelled.

        Raises OutcomeUnknownError when nobody can know whether it is stored.
        """
        ...

    def rollback(self) -> Coroutine[Any, Any, None]:
        """Roll back and give the connection back; done even when the caller is cancelled."""
        ...

    def terminate(self) -> None:
        """Roll back and give the connection back without waiting, on the loop's thread."""
        ...


class Backend(Executor, Protocol):
    """One database, open.

    What the database undid to end a deadlock of others is run again where nothing was done or held
    before it: a statement by itself, and the first one of a transaction. After that it is a
    StoreBusyError: what came before would have to be run again too, and what the caller made of it,
    which only the caller can, as `Store.run` does with a whole unit of work.
    """

    @property
    def dialect(self) -> Dialect:
        """The dialect that statements are compiled for."""
        ...

    @property
    def statements(self) -> Statements:
        """The queries compiled for this database, each when it is first asked for."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this database can do and another cannot."""
        ...

    @property
    def connections_in_use(self) -> int:
        """How many connections somebody holds or is using."""
        ...

    @property
    def path(self) -> Path | None:
        """The file that the data is in; None where it is on a server."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds that a call waits for a turn, a connection or a lock."""
        ...

    def stats(self) -> DatabaseStats:
        """Return what was counted since this was opened."""
        ...

    async def erase_deleted(self) -> None:
        """Leave nothing of what was deleted or changed where the database itself can see to it."""
        ...

    async def give_back_room(self) -> None:
        """Give back the room of what was pruned: to the file system, or to what is stored next."""
        ...

    @property
    def reading(self) -> Callable[[], Transaction]:
        """Returns a transaction that only reads and has not begun."""
        ...

    @property
    def writing(self) -> Callable[[str | None, Block | None], Transaction]:
        """Returns a transaction that has not begun, of a unit with this label and block."""
        ...

    def start_watching(self, told: Callable[[], None]) -> None:
        """Call `told` on the event loop whenever something may have been committed, by whomever.

        For one at a time, who is told instead of who was before: of the store's own commits from
        now on, before the one who committed goes on; of those of other stores, processes and
        programs soon after. Once they are watched `told` is called, for what was committed until
        then, and again whenever nobody can know whether something was. No commit goes without a
        call; a call may stand for several, or for none. `told` must not wait.
        """
        ...

    def stop_watching(self) -> None:
        """Call nobody any more, and leave no task, thread, timer and descriptor in a moment.

        May be called again, and by who is told.
        """
        ...

    async def open(self) -> None:
        """Connect; raises StoreBusyError or StoreError when that is not possible."""
        ...

    async def close(self) -> None:
        """Close every connection; what has not committed is rolled back."""
        ...

    def terminate(self) -> None:
        """Let go of everything without an event loop, because the store's own is gone."""
        ...
