"""The repositories over one door."""

from __future__ import annotations

from cw_store.repos.accounts import AccountRepository
from cw_store.repos.agents import AgentRepository
from cw_store.repos.change_sets import ChangeSetRepository
from cw_store.repos.chat_sessions import ChatSessionRepository
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
from cw_store.repos.sql.chat_sessions import ChatSessions
from cw_store.repos.sql.conversations import Conversations
from cw_store.repos.sql.door import Door
from cw_store.repos.sql.errands import Errands
from cw_store.repos.sql.initiatives import Initiatives
from cw_store.repos.sql.log_chunks import LogChunks
from cw_store.repos.sql.messages import Messages
from cw_store.repos.sql.pages import Pages
from cw_store.repos.sql.phases import Phases
from cw_store.repos.sql.projects import Projects
from cw_store.repos.sql.proposals import Proposals
from cw_store.repos.sql.review_comments import ReviewComments
from cw_store.repos.sql.tasks import Tasks
from cw_store.repos.tasks import TaskRepository


class Repositories:
    """Every repository, as its port; a unit of work and a store are both this."""

    initiatives: InitiativeRepository
    phases: PhaseRepository
    tasks: TaskRepository
    agents: AgentRepository
    messages: MessageRepository
    pages: PageRepository
    projects: ProjectRepository
    accounts: AccountRepository
    proposals: ProposalRepository
    log_chunks: LogChunkRepository
    conversations: ConversationRepository
    chat_sessions: ChatSessionRepository
    review_comments: ReviewCommentRepository
    errands: ErrandRepository
    change_sets: ChangeSetRepository

    def __init__(self, door: Door) -> None:
        self.initiatives = Initiatives(door)
        self.phases = Phases(door)
        self.tasks = Tasks(door)
        self.agents = Agents(door)
        self.messages = Messages(door)
        self.pages = Pages(door)
        self.projects = Projects(door)
        self.accounts = Accounts(door)
        self.proposals = Proposals(door)
        self.log_chunks = LogChunks(door)
        self.conversations = Conversations(door)
        self.chat_sessions = ChatSessions(door)
        self.review_comments = ReviewComments(door)
        self.errands = Errands(door)
        self.change_sets = ChangeSets(door)
