"""What people look at: frozen records of one snapshot each, read through the public interface.

The command line, a page and a program of one's own show the same.

    from cw_store import Store, views

    async with Store("cw.db", read_only=True) as store:
        for item in (await views.inbox(store)).items:
            print(item.title, item.command)

Each takes an open store, of which it reads one snapshot that waits for no writer, or a unit of work
to read in. Times are datetimes in UTC; an age is for whoever shows it, against the record's `now`,
which is the time by the clock that leases are compared with. Texts are as they are stored: whoever
shows them makes them harmless first.
"""

from cw_store.views.agents import AgentView, ClaimSeen, LogSession, MessageSeen, agent
from cw_store.views.boards import (
    Board,
    BoardInitiative,
    BoardLane,
    BoardPhase,
    TaskCard,
    board,
)
from cw_store.views.counting import Gauges, gauges
from cw_store.views.graphs import Edge, Graph, PhaseNode, TaskNode, graph
from cw_store.views.inboxes import Inbox, InboxItem, InboxKind, inbox
from cw_store.views.looking import CutReason
from cw_store.views.places import HitKind
from cw_store.views.searching import SearchGroup, SearchHit, SearchResult, search
from cw_store.views.seen import (
    LANES,
    AccountSeen,
    AccountState,
    AgentSeen,
    Lane,
    LaneCounts,
    QuestionSeen,
)
from cw_store.views.snapshots import Source, snapshot
from cw_store.views.timelines import AccountBand, Bar, Timeline, TimelineRow, timeline

__all__ = [
    "Source",
    "snapshot",
    "gauges",
    "Gauges",
    "inbox",
    "Inbox",
    "InboxItem",
    "InboxKind",
    "board",
    "Board",
    "BoardInitiative",
    "BoardPhase",
    "BoardLane",
    "TaskCard",
    "graph",
    "Graph",
    "PhaseNode",
    "TaskNode",
    "Edge",
    "timeline",
    "Timeline",
    "TimelineRow",
    "Bar",
    "AccountBand",
    "agent",
    "AgentView",
    "ClaimSeen",
    "LogSession",
    "MessageSeen",
    "search",
    "SearchResult",
    "SearchGroup",
    "SearchHit",
    "HitKind",
    "CutReason",
    "Lane",
    "LANES",
    "LaneCounts",
    "AgentSeen",
    "AccountSeen",
    "AccountState",
    "QuestionSeen",
]
