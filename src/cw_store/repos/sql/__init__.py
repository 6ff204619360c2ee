"""The repositories over one database."""

from __future__ import annotations

from functools import cached_property

from cw_store.repos.accounts import AccountRepository
from cw_store.repos.agents import AgentRepository
from cw_store.repos.change_sets import ChangeSetRepository
from cw_store.repos.changes import ChangeRepository
from cw_store.repos.chat_sessions import ChatSessionRepository
from cw_store.repos.claims import ClaimRepository
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


class Repositories:
    """Every repository, as its port; a unit of work and a store are both this.

    Each is made when it is first asked for, since a unit of work seldom needs more than a few.
    """

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
