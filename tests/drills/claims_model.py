"""What claims may do, by plain counting over all rows and edges as they stand at one moment."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace as Row

from cw_store import (
    Claimed,
    InitiativeFull,
    InitiativeInactive,
    NoAccount,
    NotBefore,
    PhaseNotOpen,
    WaitsForPhase,
    WaitsForTask,
    WrongCategory,
    WrongStatus,
)
from cw_store.repos.claims import OPEN_PHASES, ReadyOptions
from cw_store.repos.readiness import Reason

RANKS = {"high": 0, "medium": 1, "low": 2}


@dataclass
class Plan:
    """The rows of each table by id, its edges, and the turn of tasks without an initiative."""

    now: datetime
    tables: dict[str, dict[str, Row]]
    edges: dict[str, set[tuple[str, str]]]
    turn_of_the_rest: int | None

    def rows(self, table: str, true: Callable[[Row], bool] = lambda _: True) -> list[Row]:
        return [row for row in self.tables[table].values() if true(row)]

    def waits_for(self, table: str, id: str) -> list[Row]:
        found = [self.tables[table][other] for one, other in self.edges[table] if one == id]
        return [row for row in found if row.status != "completed"]

    def at_work(self, column: str, id: str) -> int:
        return len(self.rows("agents", lambda a: a.lease_expires_at and getattr(a, column) == id))

    def has_room(self, table: str, row: Row) -> bool:
        column = {"initiatives": "initiative_id", "accounts": "account_id"}[table]
        return row.max_agents is None or self.at_work(column, row.id) < row.max_agents

    def account(self, options: ReadyOptions) -> Row | None:
        def usable(row: Row) -> bool:
            rested = row.exhausted_until is not None and row.exhausted_until <= self.now
            wanted = options.get("account_id") in (None, row.id)
            is_it = wanted and row.provider == options.get("provider", "claude")
            return is_it and (not row.is_exhausted or rested) and self.has_room("accounts", row)

        def turn(row: Row) -> tuple[bool, datetime, int, str]:
            return bool(row.last_used_at), row.last_used_at or self.now, row.sort_order, row.id

        return min(self.rows("accounts", usable), key=turn, default=None)

    def reasons(self, task: Row, options: ReadyOptions) -> Iterable[Reason]:
        claimer = self.tables["agents"].get(task.claimed_by_agent_id)
        if claimer:
            since, until = claimer.created_at, claimer.lease_expires_at
            yield Claimed(claimer.id, claimer.name, claimer.holder, since, until)
        elif task.status != "pending":
            yield WrongStatus(task.status)
        if not claimer and task.status != "completed":
            for row in self.waits_for("tasks", task.id):
                yield WaitsForTask(row.id, row.status)
        if task.category not in (options.get("categories") or [task.category]):
            yield WrongCategory(task.category)
        if task.not_before and task.not_before > self.now:
            yield NotBefore(task.not_before)
        if phase := self.tables["phases"].get(task.phase_id):
            if phase.status not in options.get("phase_statuses", OPEN_PHASES):
                yield PhaseNotOpen(phase.id, phase.status)
            if phase.status != "completed":
                for row in self.waits_for("phases", phase.id):
                    yield WaitsForPhase(row.id, row.status)
        if initiative := self.tables["initiatives"].get(task.initiative_id):
            if initiative.status != "active":
                yield InitiativeInactive(initiative.id, initiative.status)
            if not self.has_room("initiatives", initiative):
                yield InitiativeFull(initiative.id, initiative.max_agents)
        provider = options.get("provider", "claude")
        if provider and not self.account(options):
            yield NoAccount(provider)

    def ready(self, options: ReadyOptions, initiative_id: str | None = None) -> list[str]:
        def place(task: Row) -> tuple[bool, int, int, int, int]:
            initiative = self.tables["initiatives"].get(task.initiative_id)
            turn = initiative.dispatch_turn if initiative else self.turn_of_the_rest
            return turn is not None, turn or 0, RANKS[task.priority], task.order, task.seq

        wanted = self.rows("tasks", lambda t: initiative_id in (None, t.initiative_id))
        ready = [task for task in wanted if not [*self.reasons(task, options)]]
        return [task.id for task in sorted(ready, key=place)]
