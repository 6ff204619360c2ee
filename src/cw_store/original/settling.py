"""What the rows of the source have to agree on among themselves, once each is right by itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from cw_store.original.cells import number_of
from cw_store.original.edges import count_open, sort_out
from cw_store.original.findings import Draft, Findings
from cw_store.original.references import Settlement
from cw_store.original.trees import plant, there

Drafts = Mapping[str, Sequence[Draft]]

SIBLINGS: Mapping[str, tuple[str, ...]] = {
    "tasks": ("phase_id", "initiative_id", "parent_task_id"),
    "pages": ("initiative_id", "parent_page_id"),
    "proposals": ("agent_id",),
    "accounts": ("provider",),
    "change_set_entries": ("change_set_id",),
}
"""By which columns rows are siblings, whose order is a number among them."""

UNIQUE = (("agents", "name", "-"), ("projects", "name", "-"), ("projects", "url", "#"))
"""The columns whose values are unique, and what stands before the number that makes one so."""

LIVING = "waiting_for_input"


def settle(
    drafts: Drafts, disordered: Mapping[tuple[str, str], Sequence[Draft]], findings: Findings
) -> None:
    """Make rows of all tables but the logs agree, and leave out those that cannot."""
    settlement = Settlement(drafts, findings)
    settlement.settle()
    plant(drafts, settlement.orphans, findings)
    sort_out(drafts, findings)
    for (table, column), rows in disordered.items():
        _renumber(drafts[table], there(rows), column, findings)
    for table, column, mark in UNIQUE:
        _make_unique(there(drafts[table]), column, mark, findings)
    _end_agents(there(drafts["agents"]), findings)
    _tell_of_orphaned_tasks(there(drafts["tasks"]), there(drafts["agents"]), findings)
    _tell_of_active_chats(there(drafts["chat_sessions"]), findings)
    count_open(drafts)


def _renumber(
    rows: Sequence[Draft], disordered: Sequence[Draft], column: str, findings: Findings
) -> None:
    """Give siblings new numbers where the order of one is no integer."""
    families = {_family(draft) for draft in disordered}
    places: Counter[Hashable] = Counter()
    for draft in sorted(there(rows), key=lambda draft: (_order(draft, column), draft.number)):
        family = _family(draft)
        if family in families:
            place, places[family] = places[family], places[family] + 1
            old = draft.get(column)
            draft.values[column] = place
            if old != place:
                reason = "the order of one of its siblings is no integer; all are numbered anew"
                findings.repair(draft, "order", reason, column, old, place)


def _family(draft: Draft) -> Hashable:
    return tuple(draft.values[column] for column in SIBLINGS[draft.table.name])


def _order(draft: Draft, column: str) -> float:
    """Return the order that the source means; what is no number comes last."""
    raw = draft.get(column)
    number = 0.0 if raw is None else number_of(raw)
    return math.inf if number is None else number


def _make_unique(rows: Sequence[Draft], column: str, mark: str, findings: Findings) -> None:
    """Add a number to each value that a row before has already."""
    wanted = {draft.values[column] for draft in rows}
    taken: set[str] = set()
    for draft in rows:
        value = draft.values[column]
        if value in taken:
            number = 2
            while (new := f"{value}{mark}{number}") in taken or new in wanted:
                number += 1
            draft.values[column] = new
            reason = "another row has it already; it has a number now"
            findings.repair(draft, "unique", reason, column, value, new)
        taken.add(draft.values[column])


def _end_agents(agents: Sequence[Draft], findings: Findings) -> None:
    """Let no agent seem to run: its process is the original's, and its number may be another's."""
    running = [agent for agent in agents if agent.values["status"] == "running"]
    if running:
        findings.note(
            "source_in_use",
            "agents are running there: stop the original first, and import what it has then",
            table="agents",
            count=len(running),
        )
    for agent in running:
        agent.values["status"] = "crashed"
        reason = "its process is the original's"
        findings.changed(agent, "agent_crashed", reason, "status", "running", "crashed")
    for agent in agents:
        pid = agent.values["pid"]
        if pid is not None and (agent in running or agent.values["status"] == LIVING):
            agent.values["pid"] = None
            reason = "the number may be another process's by now"
            findings.changed(agent, "pid", reason, "pid", pid, None)


def _tell_of_orphaned_tasks(
    tasks: Sequence[Draft], agents: Sequence[Draft], findings: Findings
) -> None:
    living = {agent.values["task_id"] for agent in agents if agent.values["status"] == LIVING}
    for task in tasks:
        if task.values["status"] == "in_progress" and task.id not in living:
            findings.note(
                "task_without_agent",
                "in progress, and no agent is at it; nobody takes it until it is pending again",
                table="tasks",
                id=task.id,
                column="status",
            )


def _tell_of_active_chats(chats: Sequence[Draft], findings: Findings) -> None:
    newest: dict[tuple[str, str], Draft] = {}
    for chat in chats:
        if chat.values["status"] == "active":
            target = (chat.values["target_type"], chat.values["target_id"])
            older = newest.get(target)
            newest[target] = chat
            if older is not None:
                findings.note(
                    "active_chats",
                    f"{chat.id} about the same is active too and is newer; that one counts",
                    table="chat_sessions",
                    id=older.id,
                    column="status",
                )
