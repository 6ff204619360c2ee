"""The unit of work: one transaction, and the repositories in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from sqlalchemy.ext.asyncio import AsyncSession

from cw_store.backends.session import refused_by_session
from cw_store.errors import UnitOfWorkError
from cw_store.observed import ObservedRepository
from cw_store.observing import Observers
from cw_store.owner import running_loop
from cw_store.repos.accounts import AccountRepository
from cw_store.repos.agents import AgentRepository
from cw_store.repos.change_sets import ChangeSetRepository
from cw_store.repos.changes import ChangeRepository
from cw_store.repos.chat_sessions import ChatSessionRepository
from cw_store.repos.claims import Claim, ClaimRepository
from cw_store.repos.conversations import ConversationRepository
from cw_store.repos.errands import ErrandRepository
from cw_store.repos.initiatives import InitiativeRepository
from cw_store.repos.log_chunks import LogChunkRepository
from cw_store.repos.messages import MessageRepository
from cw_store.repos.pages import PageRepository
from cw_store.repos.phases import PhaseRepository
from cw_store.repos.projects import ProjectRepository
from cw_store.repos.proposals import ProposalRepository
from cw_store.repos.review_comments import ReviewCommentRepository
from cw_store.repos.sql.accounts import Accounts
from cw_store.repos.sql.agents import Agents
from cw_store.repos.sql.change_sets import ChangeSets
from cw_store.repos.sql.changes import Changes
from cw_store.repos.sql.chat_sessions import ChatSessions
from cw_store.repos.sql.claims import Claims
from cw_store.repos.sql.conversations import Conversations
from cw_store.repos.sql.errands import Errands
from cw_store.repos.sql.fence import refuse_no_claim
from cw_store.repos.sql.initiatives import Initiatives
from cw_store.repos.sql.log_chunks import LogChunks
from cw_store.repos.sql.messages import Messages
from cw_store.repos.sql.pages import Pages
from cw_store.repos.sql.phases import Phases
from cw_store.repos.sql.projects import Projects
from cw_store.repos.sql.proposals import Proposals
from cw_store.repos.sql.recording_repositories import Recordable
from cw_store.repos.sql.review_comments import ReviewComments
from cw_store.repos.sql.tasks import Tasks
from cw_store.repos.tasks import TaskRepository
from cw_store.statements.database import Database
from cw_store.statements.query import Query
from cw_store.unit import Unit
from cw_store.unit_state import NEW, not_open_error

if TYPE_CHECKING:
    from cw_store.store import Store


class Repositories:
    """Every repository, as its port; a unit of work and a store are both this.

    Each is made when it is first asked for, since a unit of work seldom needs more than a few.
    """

    is_in_unit = False

    def __init__(self, database: Database) -> None:
        self._database = database

    @cached_property
    def initiatives(self) -> InitiativeRepository:
        """The initiatives."""
        return Initiatives(self._database)

    @cached_property
    def phases(self) -> PhaseRepository:
        """The phases and their dependencies."""
        return Phases(self._database)

    @cached_property
    def tasks(self) -> TaskRepository:
        """The tasks and their dependencies."""
        return Tasks(self._database)

    @cached_property
    def agents(self) -> AgentRepository:
        """The agents."""
        return Agents(self._database)

    @cached_property
    def messages(self) -> MessageRepository:
        """The messages."""
        return Messages(self._database)

    @cached_property
    def pages(self) -> PageRepository:
        """The pages."""
        return Pages(self._database)

    @cached_property
    def projects(self) -> ProjectRepository:
        """The projects."""
        return Projects(self._database)

    @cached_property
    def accounts(self) -> AccountRepository:
        """The accounts and their rotation."""
        return Accounts(self._database)

    @cached_property
    def proposals(self) -> ProposalRepository:
        """The proposals."""
        return Proposals(self._database)

    @cached_property
    def log_chunks(self) -> LogChunkRepository:
        """The agents' log."""
        return LogChunks(self._database)

    @cached_property
    def conversations(self) -> ConversationRepository:
        """The agents' questions to each other."""
        return Conversations(self._database)

    @cached_property
    def chat_sessions(self) -> ChatSessionRepository:
        """The chat sessions and their messages."""
        return ChatSessions(self._database)

    @cached_property
    def review_comments(self) -> ReviewCommentRepository:
        """The review comments."""
        return ReviewComments(self._database)

    @cached_property
    def errands(self) -> ErrandRepository:
        """The errands."""
        return Errands(self._database)

    @cached_property
    def change_sets(self) -> ChangeSetRepository:
        """The change sets and their entries."""
        return ChangeSets(self._database, self._recordable())

    def _recordable(self) -> Recordable | None:
        """Return what a recording needs, where there can be one."""
        return None

    @cached_property
    def claims(self) -> ClaimRepository:
        """The claims: who works on which task, and which may be claimed next."""
        return Claims(self._database)

    @cached_property
    def changes(self) -> ChangeRepository:
        """The feed of changes."""
        return Changes(self._database)

    def _observe(self, observers: Observers, plain: Repositories) -> None:
        """Have every call told; `plain` makes the repositories, where none was made before."""
        for name in REPOSITORIES:
            made = self.__dict__.get(name)
            if made is not None and not isinstance(made, ObservedRepository):
                plain.__dict__[name] = made  # whoever took it goes on with it
            self.__dict__[name] = ObservedRepository(name, plain, observers)

    def _observe_no_more(self) -> None:
        for name in REPOSITORIES:
            self.__dict__.pop(name, None)


REPOSITORIES = tuple(
    name for name, made in vars(Repositories).items() if isinstance(made, cached_property)
)
"""The names of the repositories."""


class UnitRepositories(Repositories):
    """The repositories in a unit of work."""

    is_in_unit = True

    def __init__(self, database: Database, unit: Unit) -> None:
        super().__init__(database)
        self._unit = unit

    def _recordable(self) -> Recordable:
        savepoint = partial(_savepoint, self._unit)  # which does not hold this object
        return Recordable(savepoint, self.pages, self.phases, self.tasks)


class _NotBegun(dict[Query[Any], Any]):
    """The statements of a unit of work that has not begun: none."""

    def __missing__(self, query: Query[Any]) -> NoReturn:
        raise not_open_error(NEW)


_NOT_BEGUN = _NotBegun()


class UnitOfWork(UnitRepositories):
    """One transaction: `async with UnitOfWork(store) as uow:`.

    Committed when the block ends, rolled back when it raises or is cancelled. Without a
    store it uses the default one of the running event loop. The transaction begins with the
    first call, and a writing one then has the writer's turn until its end. Calls from
    several tasks run one after another.

    `read_only=True` reads one consistent snapshot and never waits for a writer. `label`
    is what others are told who wait too long for this unit's turn.

    `claim` fences: nothing is written in the unit unless the claim is held, and until the unit ends
    nobody takes the task away. Entering it begins its transaction, and is a LeaseLostError, which
    says who has the task, when the claim is over; so is the first call after `commit` or `rollback`
    within. A lease that ran out does not matter as long as nobody has taken the task.

    A task inside the block that writes through `store.…`, or through a second unit of work, would
    wait for itself and gets UnitOfWorkError within a tenth of a second. A unit belongs to its
    store's event loop and process; used elsewhere it raises StoreClosedError, and goes on unharmed
    where it belongs. One that is dropped without its end is rolled back when it is collected.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        read_only: bool = False,
        label: str | None = None,
        claim: Claim | None = None,
    ) -> None:
        if store is not None:
            _check_store(store)
        if claim is not None:
            _check_claim(claim, read_only=read_only)
            label = label or f"task {claim.task.id} under epoch {claim.epoch}"
        self._store = store
        self._unit = unit = Unit(read_only, label, claim)
        self._database = Database(unit, _NOT_BEGUN, check=unit.check, is_transaction=True)

    async def __aenter__(self) -> Self:
        """Begin; raises StoreClosedError when the store is closed or belongs elsewhere.

        Raises LeaseLostError when the unit is fenced and its claim is over.
        """
        if self._unit.state is not NEW:
            raise UnitOfWorkError("a unit of work is used once; begin a new one")
        store = self._store
        if store is None:
            from cw_store.default_store import default_store  # the store knows units of work

            store = self._store = await default_store()
        calls = store._calls  # pyright: ignore[reportPrivateUsage] -- a store's units are its own
        if running_loop() is not calls.loop:
            calls.check_here()
        self._unit.open(calls)
        self._database.use(calls.backend.statements, calls.backend.capabilities)
        if calls.observers is not None:
            self._observe(calls.observers, UnitRepositories(self._database, self._unit))
        if self._unit.claim is not None:
            await self._unit.begin_fenced(self._unit.claim, calls.backend)
        return self

    def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Coroutine[Any, Any, None]:
        """Commit, or roll back if the block raised; done even when cancelled meanwhile.

        Raises UnitOfWorkError, after a rollback, if the unit is spent although the block
        ended without an error, and OutcomeUnknownError when nobody can know whether the commit
        is stored.
        """
        return self._unit.end(kind)

    async def commit(self) -> None:
        """Commit what was done so far; the next call begins a new transaction.

        Raises OutcomeUnknownError when nobody can know whether it is stored, and spends the unit.
        """
        await self._unit.commit()

    async def rollback(self) -> None:
        """Undo what was done since the last commit; the next call begins a new transaction."""
        await self._unit.rollback()

    @property
    def committed(self) -> bool | None:
        """None while the unit is open, then whether its last transaction was committed.

        True when it is stored, False when nothing of it is, and None when nobody can know: the
        connection was lost at COMMIT, or the block's end was torn out of the event loop. A
        cancelled unit of work may have been committed: the cancellation can arrive when the
        database has already been told.
        """
        return self._unit.committed

    @property
    def session(self) -> AsyncSession:
        """An AsyncSession on the same connection, in the same transaction.

        Its commit and rollback are this unit's, and its `begin_nested` is a savepoint of this
        unit. Rows written here are visible there and the other way round; objects added to the
        session are flushed before each call of a repository. What would end the transaction as
        text (COMMIT, ROLLBACK, …) is a UnitOfWorkError, and nothing after it is stored. What lasts
        for a session of the database (temporary tables, and on PostgreSQL settings, roles, advisory
        locks and LISTEN) is gone when the transaction has ended.
        """
        return self._unit.make_session()

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Undo only what is done within, if it raises: `async with uow.savepoint():`.

        After an error the unit of work can be used as before. Raises UnitOfWorkError if a
        statement within was refused and the block ended as if it had not been. Tasks that
        were begun outside of the block and use the same unit wait for its end, so the block
        must not wait for them: such a wait ends with StoreBusyError after `busy_timeout`.
        """
        return _savepoint(self._unit)


@asynccontextmanager
async def _savepoint(unit: Unit) -> AsyncGenerator[None]:
    with refused_by_session():
        savepoint = await unit.set_savepoint()
    try:
        yield
    except BaseException:
        await unit.undo_savepoint(savepoint)
        raise
    else:
        with refused_by_session():
            await unit.release_savepoint(savepoint)


def _check_store(store: object) -> None:
    """Raise TypeError for what is no store; a path is what comes to mind first."""
    if not isinstance(store, Repositories) or isinstance(store, UnitOfWork):
        raise TypeError(
            f"a unit of work is made on an open store, not on {type(store).__name__!r}: "
            "async with Store(...) as store, store.unit_of_work() as uow"
        )


def _check_claim(claim: object, *, read_only: bool) -> None:
    """Raise TypeError for what is no claim, and for a unit that has nothing to fence."""
    refuse_no_claim(claim)
    if read_only:
        raise TypeError(
            "claim= keeps a task for a unit of work that writes; one with read_only=True needs none"
        )
