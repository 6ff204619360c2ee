"""What the store promises, once more, as plain dicts: the other half of the model drill.

Written from the contract and not from the code. A row is a dict, a table a dict of rows by id,
and a transaction is a copy. Times, ids that were not given and an agent's alias are the store's to
choose, so they are taken from what it returns.
"""

import copy
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal, TypeAlias

Row: TypeAlias = dict[str, Any]
Action: TypeAlias = Literal["cascade", "set null"]
Edge: TypeAlias = tuple[str, str]

REFERENCES: dict[tuple[str, str], tuple[str, Action]] = {
    ("phases", "initiative_id"): ("initiatives", "cascade"),
    ("tasks", "phase_id"): ("phases", "cascade"),
    ("tasks", "initiative_id"): ("initiatives", "cascade"),
    ("tasks", "parent_task_id"): ("tasks", "cascade"),
    ("agents", "task_id"): ("tasks", "set null"),
    ("agents", "initiative_id"): ("initiatives", "set null"),
    ("agents", "account_id"): ("accounts", "set null"),
    ("proposals", "agent_id"): ("agents", "cascade"),
    ("proposals", "initiative_id"): ("initiatives", "cascade"),
    ("pages", "initiative_id"): ("initiatives", "cascade"),
    ("pages", "parent_page_id"): ("pages", "cascade"),
    ("messages", "sender_id"): ("agents", "set null"),
    ("messages", "recipient_id"): ("agents", "set null"),
    ("messages", "parent_message_id"): ("messages", "set null"),
    ("conversations", "from_agent_id"): ("agents", "cascade"),
    ("conversations", "to_agent_id"): ("agents", "cascade"),
    ("conversations", "initiative_id"): ("initiatives", "set null"),
    ("conversations", "phase_id"): ("phases", "set null"),
    ("conversations", "task_id"): ("tasks", "set null"),
    ("chat_sessions", "initiative_id"): ("initiatives", "cascade"),
    ("chat_sessions", "agent_id"): ("agents", "set null"),
    ("chat_messages", "chat_session_id"): ("chat_sessions", "cascade"),
    ("chat_messages", "change_set_id"): ("change_sets", "set null"),
    ("change_sets", "initiative_id"): ("initiatives", "cascade"),
    ("change_sets", "agent_id"): ("agents", "set null"),
    ("change_set_entries", "change_set_id"): ("change_sets", "cascade"),
    ("errands", "agent_id"): ("agents", "set null"),
    ("errands", "project_id"): ("projects", "cascade"),
    ("review_comments", "phase_id"): ("phases", "cascade"),
}

LINKS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "phase_dependencies": (("phase_id", "phases"), ("depends_on_phase_id", "phases")),
    "task_dependencies": (("task_id", "tasks"), ("depends_on_task_id", "tasks")),
    "initiative_projects": (("initiative_id", "initiatives"), ("project_id", "projects")),
}

DEFAULTS: dict[str, Row] = {
    "initiatives": {"status": "active"},
    "phases": {"status": "pending", "open_dependencies": 0},
    "tasks": {
        "type": "auto",
        "category": "execute",
        "priority": "medium",
        "status": "pending",
        "order": 0,
        "retry_count": 0,
        "max_retries": 3,
        "epoch": 0,
        "open_dependencies": 0,
    },
    "agents": {"provider": "claude", "status": "idle", "mode": "execute"},
    "messages": {"type": "info", "requires_response": False, "status": "pending"},
    "pages": {"sort_order": 0},
    "projects": {"default_branch": "main"},
    "accounts": {"provider": "claude", "is_exhausted": False, "sort_order": 0},
    "proposals": {"status": "pending", "sort_order": 0},
    "agent_log_chunks": {},
    "conversations": {"status": "pending"},
    "chat_sessions": {"status": "active"},
    "chat_messages": {},
    "change_sets": {"status": "applied"},
    "change_set_entries": {"sort_order": 0},
    "errands": {"base_branch": "main", "status": "active"},
    "review_comments": {"author": "you", "resolved": False},
}

COUNTED = (("phase_dependencies", "phases"), ("task_dependencies", "tasks"))
"""The edges by which the rows of a table wait for each other."""

UNIQUE = (("agents", "name"), ("projects", "name"), ("projects", "url"))
PARENTS = {"tasks": "parent_task_id", "pages": "parent_page_id"}

# A dict keeps the order in which its rows were stored, and sorting does not disturb it.
BY_STORING = ()
BY_ORDER = ("order",)
BY_SORT_ORDER = ("sort_order",)


PLACE = frozenset(("phase_id", "initiative_id", "parent_task_id", "parent_page_id"))
"""The columns that have to agree in a tree."""


class Refused(Exception):
    """The store must answer with this error, which names one of these columns."""

    def __init__(self, error: str, columns: Iterable[str] = ()) -> None:
        self.error = error
        self.columns = frozenset(columns)
        super().__init__(error, self.columns)


def view(row: Any) -> Any:
    """Return a value in a form that tells True from 1, as `==` does not."""
    if isinstance(row, bool):
        return ("bool", row)
    if isinstance(row, dict):
        return {key: view(value) for key, value in row.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(row, list):
        return [view(item) for item in row]  # pyright: ignore[reportUnknownVariableType]
    return row


class Model:
    """All that is stored."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in DEFAULTS}
        self.links: dict[str, set[Edge]] = {name: set() for name in LINKS}

    def copy(self) -> "Model":
        return copy.deepcopy(self)

    # --- reading ------------------------------------------------------------------------------

    def row(self, table: str, id: str) -> Row | None:
        return self.tables[table].get(id)

    def need(self, table: str, id: str) -> Row:
        row = self.row(table, id)
        if row is None:
            raise Refused("NotFoundError")
        return row

    def rows(
        self,
        table: str,
        where: Callable[[Row], bool] = lambda _: True,
        order: tuple[str, ...] = BY_STORING,
        **equal: Any,
    ) -> list[Row]:
        found = [
            row
            for row in self.tables[table].values()
            if where(row) and all(row[name] == value for name, value in equal.items())
        ]
        return sorted(found, key=lambda row: tuple(row[name] for name in order))

    def newest(self, table: str, **equal: Any) -> Row | None:
        found = self.rows(table, **equal)
        return found[-1] if found else None

    def page(
        self, table: str, rows: list[Row], limit: int | None, after: str | None, newest: bool
    ) -> list[Row]:
        """Return the part of an ordered list that is behind the row `after`."""

        places = {id: place for place, id in enumerate(self.tables[table])}

        def key(row: Row) -> int:
            return places[row["id"]]

        rows = sorted(rows, key=key, reverse=newest)
        if after is not None:
            last = key(self.need(table, after))
            rows = [row for row in rows if (key(row) < last if newest else key(row) > last)]
        return rows[:limit]

    def linked(self, table: str, id: str, *, forward: bool) -> list[str]:
        if forward:
            return sorted(other for one, other in self.links[table] if one == id)
        return sorted(one for one, other in self.links[table] if other == id)

    # --- writing ------------------------------------------------------------------------------

    def complete(self, table: str, columns: Iterable[str], values: Row) -> Row:
        """Return a new row, so far as it is known before it is stored; refuse a bad one."""
        row = dict.fromkeys(columns) | DEFAULTS[table] | values
        parent = PARENTS.get(table)
        if parent and row["id"] is not None and row[parent] == row["id"]:
            raise Refused("InvalidValueError", {parent})
        if table == "tasks":
            self._place(row)
        self._keep_with_parent(table, row)
        self.refuse(table, row, None)
        return row

    def change(self, table: str, id: str, changes: Row) -> Row:
        """Return the row as it is after a change; refuse a bad one."""
        parent = PARENTS.get(table)
        if parent and changes.get(parent) is not None and id in self._line(table, changes[parent]):
            raise Refused("InvalidValueError", {parent})
        before = self.need(table, id)
        row = before | changes
        if table == "tasks" and not changes.keys().isdisjoint(("phase_id", "initiative_id")):
            self._place(row)
        if parent and (
            changes.get(parent) is not None or row["initiative_id"] != before["initiative_id"]
        ):
            self._keep_with_parent(table, row)
        if table == "tasks" and row["initiative_id"] != before["initiative_id"]:
            for below in self.below(table, id):
                if below["phase_id"] in (None, before["phase_id"]):
                    continue
                stays_at = self.need("phases", below["phase_id"])
                if stays_at["initiative_id"] != row["initiative_id"]:
                    raise Refused("InvalidValueError", PLACE)
        self.refuse(table, row, id)
        return row

    def below(self, table: str, id: str) -> list[Row]:
        """Return all rows below one in a tree."""
        return [
            row
            for key, row in self.tables[table].items()
            if key != id and id in self._line(table, key)
        ]

    def put(self, table: str, row: Row) -> None:
        self.tables[table][row["id"]] = row
        self.recount()

    def recount(self) -> None:
        """Count what each row still waits for; of one that is completed nobody does."""
        for link, table in COUNTED:
            rows = self.tables[table]
            for row in rows.values():
                if row["status"] != "completed":
                    row["open_dependencies"] = sum(
                        other in rows and rows[other]["status"] != "completed"
                        for other in self.linked(link, row["id"], forward=True)
                    )

    def refuse(self, table: str, row: Row, id: str | None) -> None:
        """Refuse what the constraints of the database refuse."""
        others = [other for key, other in self.tables[table].items() if key != id]
        taken: set[str] = set()
        if id is None and row["id"] in self.tables[table]:
            taken.add("id")
        taken |= {
            column
            for unique, column in UNIQUE
            if unique == table
            and row[column] is not None
            and any(other[column] == row[column] for other in others)
        }
        if table == "pages" and row["parent_page_id"] is None:
            roots = [other for other in others if other["parent_page_id"] is None]
            if any(root["initiative_id"] == row["initiative_id"] for root in roots):
                taken.add("initiative_id")
        if taken:
            raise Refused("AlreadyExistsError", taken)
        broken = {
            column
            for (referring, column), (target, _) in REFERENCES.items()
            if referring == table
            and row[column] is not None
            # A row may point to itself; only trees forbid it.
            and row[column] not in self.tables[target]
            and not (target == table and row[column] == row["id"])
        }
        if broken:
            raise Refused("BrokenReferenceError", broken)

    def delete(self, table: str, id: str) -> None:
        """Delete a row that is there, and all that follows from it."""
        self.tables[table].pop(id)
        for (referring, column), (target, action) in REFERENCES.items():
            if target == table:
                for other in [row for row in self.tables[referring].values() if row[column] == id]:
                    if action == "set null":
                        other[column] = None
                    elif other["id"] in self.tables[referring]:
                        self.delete(referring, other["id"])
        for name, ends in LINKS.items():
            for place, (_, target) in enumerate(ends):
                if target == table:
                    self.links[name] = {link for link in self.links[name] if link[place] != id}
        self.recount()

    def link(self, name: str, one: str, other: str) -> None:
        """Add an edge, or refuse it."""
        self._refuse_cycle(name, one, other)
        if (one, other) in self.links[name]:
            raise Refused("AlreadyExistsError", (column for column, _ in LINKS[name]))
        self.need_ends(name, one, other)
        self.links[name].add((one, other))
        self.recount()

    def set_links(self, name: str, one: str, others: list[str]) -> None:
        """Let these edges be all that start here, or refuse one of them."""
        kept = self.linked(name, one, forward=True)
        for other in others:
            if other not in kept:
                self._refuse_cycle(name, one, other)
        for other in others:
            self.need_ends(name, one, other)
        self.need_ends(name, one)
        self.links[name] = {link for link in self.links[name] if link[0] != one}
        self.links[name] |= {(one, other) for other in others}
        self.recount()

    def need_ends(self, name: str, *ids: str) -> None:
        broken = {
            column
            for (column, target), id in zip(LINKS[name], ids, strict=False)
            if id not in self.tables[target]
        }
        if broken:
            raise Refused("BrokenReferenceError", broken)

    def unlink(self, name: str, one: str, other: str) -> None:
        if (one, other) not in self.links[name]:
            raise Refused("NotFoundError")
        self.links[name].discard((one, other))
        self.recount()

    # --- rules --------------------------------------------------------------------------------

    def next_account(self, provider: str, now: datetime) -> Row | None:
        """Return the account whose turn it is."""
        usable = self.rows(
            "accounts",
            lambda row: (
                not row["is_exhausted"]
                or (row["exhausted_until"] is not None and row["exhausted_until"] <= now)
            ),
            provider=provider,
        )

        def turn(row: Row) -> tuple[Any, ...]:
            used = row["last_used_at"]
            return (used is not None, used or now, row["sort_order"], row["id"])

        return min(usable, key=turn, default=None)

    def _place(self, task: Row) -> None:
        phase = self.row("phases", task["phase_id"]) if task["phase_id"] is not None else None
        if phase is None:
            return
        if task["initiative_id"] is None:
            task["initiative_id"] = phase["initiative_id"]
        elif task["initiative_id"] != phase["initiative_id"]:
            raise Refused("InvalidValueError", PLACE)

    def _keep_with_parent(self, table: str, row: Row) -> None:
        column = PARENTS.get(table)
        parent = self.row(table, row[column]) if column and row[column] is not None else None
        if parent is None:
            return
        if row["initiative_id"] is None and table == "tasks":
            row["initiative_id"] = parent["initiative_id"]
        elif row["initiative_id"] != parent["initiative_id"]:
            raise Refused("InvalidValueError", PLACE)

    def _line(self, table: str, id: str) -> set[str]:
        """Return the id of a row and of all rows above it."""
        line: set[str] = set()
        at: str | None = id
        while at is not None and at not in line and at in self.tables[table]:
            line.add(at)
            at = self.tables[table][at][PARENTS[table]]
        return line

    def _refuse_cycle(self, name: str, one: str, other: str) -> None:
        if name != "initiative_projects" and (one == other or self._leads(name, other, one)):
            raise Refused("DependencyCycleError")

    def _leads(self, name: str, start: str, goal: str) -> bool:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            at = waiting.pop()
            if at == goal:
                return True
            if at not in seen:
                seen.add(at)
                waiting += self.linked(name, at, forward=True)
        return False
