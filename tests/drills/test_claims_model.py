"""Claims against a plain model: random calls of everything that a claim depends on.

After every step what is ready, why the rest is not, and what each row waits for is counted anew
from the rows and edges (`claims_model.py`), and compared with what the store says. Leases and
claims have to agree, epochs must not fall, and no claim may pass a limit.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace as Row
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

import pytest
import sqlalchemy as sa
from claims_model import Plan
from drill import Drill
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.exc import DBAPIError

from cw_store import (
    Agent,
    Claim,
    Finished,
    LeaseLostError,
    NotFoundError,
    StaleStateError,
    Store,
    StoreError,
    UnitOfWork,
    copy_store,
)
from cw_store.repos.claims import NextOptions, ReadyOptions
from cw_store.repos.phases import PhaseStatus
from cw_store.repos.readiness import Readiness
from cw_store.repos.tasks import TaskStatus
from cw_store.schema import agents, metadata, phase_dependencies, task_dependencies, tasks
from cw_store.testing import SteppableClock

T = TypeVar("T")
Repos: TypeAlias = Store | UnitOfWork

TABLES = ("initiatives", "phases", "tasks", "accounts", "agents")
EDGES = {"phases": phase_dependencies, "tasks": task_dependencies}
TASK_STATUSES: tuple[TaskStatus, ...] = ("pending", "in_progress", "completed", "blocked")
PHASE_STATUSES: tuple[PhaseStatus, ...] = (
    *("pending", "approved", "in_progress", "completed", "blocked"),
)
SOWN = (*("p1",) * 4, *("p2",) * 2, *("p3",) * 3, None)
MOST_ROWS = {"initiatives": 3, "phases": 4, "tasks": 12, "accounts": 3, "agents": 8}

OPTIONS: tuple[tuple[str | None, ReadyOptions], ...] = (
    (None, {}),
    (None, {"provider": None}),
    ("i1", {"provider": "codex"}),
    (None, {"categories": ["execute", "review"], "account_id": "a1"}),
    (None, {"provider": None, "phase_statuses": ["approved", "completed"]}),
    ("i2", {"provider": None, "categories": ["review"], "phase_statuses": PHASE_STATUSES}),
)
"""What is asked for after every step: of which initiative, and how."""

ASKED = st.sampled_from((*OPTIONS[:2], *OPTIONS[:2], *OPTIONS))
DELETED = st.sampled_from((*("tasks", "agents") * 4, *("phases", "accounts") * 2, "initiatives"))
SECONDS = st.sampled_from((0, 0, 1, 3, 30, 130, -1, -40))
LEASES = st.sampled_from((1, 2, 5, 60)).map(lambda seconds: timedelta(seconds=seconds))
LIMITS = st.sampled_from((None, None, 1, 2))


class Undo(Exception):
    """Undoes a unit of work."""


async def read_plan(uow: UnitOfWork, clock: SteppableClock) -> Plan:
    """Read all rows and edges, as they stand in this snapshot."""
    tables: dict[str, dict[str, Row]] = {}
    for name in TABLES:
        table = metadata.tables[name]
        found = await uow.session.execute(sa.select(table).order_by(table.c.seq))
        tables[name] = {row["id"]: Row(**row) for row in found.mappings()}
    edges = {
        name: {(one, other) for one, other in await uow.session.execute(sa.select(table))}
        for name, table in EDGES.items()
    }
    turn = metadata.tables["store_state"]
    rest = sa.select(turn.c.value).where(turn.c.name == "dispatch_turn")
    found = (await uow.session.execute(rest)).scalar()
    return Plan(clock.now, tables, edges, None if found is None else int(found))


@dataclass(frozen=True)
class Database:
    """Where histories run; `create` gives the URL of an empty database, `other` of a second."""

    create: Callable[[], str]
    other: Callable[[], str]


@dataclass(frozen=True)
class Step:
    """What can be done, and how its arguments are drawn."""

    method: Callable[..., None]
    arguments: dict[str, st.SearchStrategy[Any]]

    def __repr__(self) -> str:
        return self.method.__name__


STEPS: list[Step] = []
"""Each as often as it is to come.

They are steps of one rule, since Hypothesis leaves out some rules in every history, and without
any of three nothing happens to claims.
"""


def step(
    often: int = 1, **arguments: st.SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a method be a step that comes so often."""

    def add(method: Callable[..., None]) -> Callable[..., None]:
        STEPS.extend([Step(method, arguments)] * often)
        return method

    return add


class Machine(RuleBasedStateMachine):
    """The store and the counting, side by side, on one database."""

    database: ClassVar[Database]
    told: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = SteppableClock()
        self.url = self.database.create()
        self.store = self.run(Store.open(self.url, clock=self.clock))
        self.numbers = count(1)
        self.claims: list[Claim] = []
        self.epochs: dict[str, int] = {}
        self.left_alone: set[str] = set()
        """Agents whose claim somebody else's SQL has ended, and left the lease."""
        self.told["histories"] += 1
        self.run(self.sow())
        self.plan: Plan = self.run(self.look())

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    async def sow(self) -> None:
        async with self.store.unit_of_work() as uow:
            for table in reversed(metadata.sorted_tables):
                await uow.session.execute(sa.delete(table))
        async with self.store.unit_of_work() as uow:
            for id in ("i1", "i2"):
                await uow.initiatives.create(id=id, name=id, max_agents=2 if id == "i1" else None)
            for id, initiative_id in (("p1", "i1"), ("p2", "i1"), ("p3", "i2")):
                await uow.phases.create(id=id, initiative_id=initiative_id, name=id)
            await uow.phases.create_dependency("p2", "p1")
            for number, phase_id in enumerate(SOWN, 1):
                await uow.tasks.create(id=f"t{number}", phase_id=phase_id, name="task")
            for one, other in (("t3", "t1"), ("t3", "t2"), ("t5", "t4"), ("t7", "t5")):
                await uow.tasks.create_dependency(one, other)
            await uow.accounts.create(id="a1", email="a@example.org", max_agents=2)
            await uow.accounts.create(id="a2", email="b@example.org")

    async def look(self) -> Plan:
        async with self.store.unit_of_work(read_only=True) as uow:
            return await read_plan(uow, self.clock)

    @rule(data=st.data())
    def take_a_step(self, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(STEPS if self.claims else WITHOUT_CLAIM))
        drawn = {name: data.draw(strategy) for name, strategy in step.arguments.items()}
        step.method(self, data, **drawn)

    # --- what holds after every step ----------------------------------------------------------

    @invariant()
    def all_is_as_counted(self) -> None:
        self.plan = self.run(self.compare())
        self.told["looks"] += 1

    async def compare(self) -> Plan:
        async with self.store.unit_of_work(read_only=True) as uow:
            plan = await read_plan(uow, self.clock)
            self.numbers_are_right(plan)
            self.leases_agree(plan)
            self.no_epoch_falls(plan)
            for initiative_id, options in OPTIONS:
                ready = [task.id for task in await uow.claims.find_ready(initiative_id, **options)]
                assert ready == plan.ready(options, initiative_id), options
            initiative_id, options = OPTIONS[next(self.numbers) % len(OPTIONS)]
            first = await uow.claims.find_ready(initiative_id, limit=2, **options)
            assert [task.id for task in first] == plan.ready(options, initiative_id)[:2]
            for task in plan.rows("tasks"):
                told = await uow.claims.explain(task.id, **options)
                self.is_right(told, plan, task, options)
        return plan

    def is_right(self, told: Readiness, plan: Plan, task: Row, options: ReadyOptions) -> None:
        reasons = [*plan.reasons(task, options)]
        assert told.is_ready is (not reasons), (task, told, reasons)
        assert {*told.reasons} == {*reasons} and len(told.reasons) == len(reasons), (task, options)

    def numbers_are_right(self, plan: Plan) -> None:
        for name in EDGES:
            for row in plan.rows(name, lambda row: row.status != "completed"):
                if getattr(row, "claimed_by_agent_id", None) is None:
                    assert row.open_dependencies == len(plan.waits_for(name, row.id)), row

    def leases_agree(self, plan: Plan) -> None:
        claimed = {t.claimed_by_agent_id: t for t in plan.rows("tasks") if t.claimed_by_agent_id}
        live = {a.id: a for a in plan.rows("agents") if a.lease_expires_at}
        self.left_alone &= live.keys()
        assert live.keys() == claimed.keys() | self.left_alone
        for id, task in claimed.items():
            assert live[id].epoch == task.epoch and task.status == "in_progress"

    def no_epoch_falls(self, plan: Plan) -> None:
        epochs = {task.id: task.epoch for task in plan.rows("tasks")}
        for id, epoch in epochs.items():
            assert epoch >= self.epochs.get(id, 0)
        self.epochs = epochs

    # --- claims -------------------------------------------------------------------------------

    def tell(self, name: str) -> None:
        self.told["calls"] += 1
        self.told[f"claims.{name}"] += 1

    async def anywhere(self, work: Callable[[Repos], Awaitable[T]], undone: bool) -> T | None:
        """Do it by a call on the store, or in a unit that is undone."""
        if not undone:
            return await work(self.store)
        try:
            async with self.store.unit_of_work() as uow:
                await work(uow)
                raise Undo
        except Undo:
            return None

    async def after_recovery(self, options: NextOptions) -> tuple[str | None, Plan]:
        """Return what comes next when the leases that ran out are recovered, and the plan then."""
        initiative_id = options.get("initiative_id")
        given = {key: value for key, value in options.items() if key in READY}
        asked = cast(ReadyOptions, given)
        async with self.store.unit_of_work() as uow:
            await uow.claims.recover(limit=10)
            ready = await uow.claims.find_ready(initiative_id, limit=1, **asked)
            plan = await read_plan(uow, self.clock)
            await uow.rollback()
        assert [task.id for task in ready] == plan.ready(asked, initiative_id)[:1]
        return (ready[0].id if ready else None), plan

    @step(
        10,
        asked=ASKED,
        holder=st.sampled_from("xyz"),
        lease=LEASES,
        undone=st.sampled_from((False, False, False, True)),
    )
    def next(
        self,
        data: st.DataObject,
        asked: tuple[str | None, ReadyOptions],
        holder: str,
        lease: timedelta,
        undone: bool,
    ) -> None:
        self.tell("next")
        options: NextOptions = {"initiative_id": asked[0], "lease": lease, **asked[1]}
        wanted, plan = self.run(self.after_recovery(options))
        claim = self.run(
            self.anywhere(
                lambda repos: repos.claims.next(holder=holder, worktree_id="w", **options), undone
            )
        )
        if not undone:
            assert (None if claim is None else claim.task.id) == wanted
            if claim is not None:
                self.claimed(claim, plan, options, holder)

    @step(asked=ASKED, lease=LEASES)
    def take(
        self, data: st.DataObject, asked: tuple[str | None, ReadyOptions], lease: timedelta
    ) -> None:
        self.tell("take")
        if not self.plan.tables["tasks"]:
            return
        id = self.any_id(data, "tasks")
        options: NextOptions = {"lease": lease, **asked[1]}
        _, plan = self.run(self.after_recovery(options))
        work = self.store.claims.take(id, holder="taker", worktree_id="w", lease=lease, **asked[1])
        reasons = [*plan.reasons(plan.tables["tasks"][id], asked[1])]
        if reasons:
            with pytest.raises(StaleStateError):
                self.run(work)
        else:
            self.claimed(self.run(work), plan, options, "taker")

    def claimed(self, claim: Claim, plan: Plan, options: NextOptions, holder: str) -> None:
        self.told["claims"] += 1
        before = plan.tables["tasks"][claim.task.id]
        assert claim.epoch == claim.task.epoch == claim.agent.epoch == before.epoch + 1
        assert claim.task.claimed_by_agent_id == claim.agent.id
        assert (claim.agent.task_id, claim.agent.holder) == (claim.task.id, holder)
        assert claim.agent.lease_expires_at == self.clock.now + options.get("lease", timedelta())
        account = None if options.get("provider", "x") is None else plan.account(cast(Any, options))
        assert claim.agent.account_id == (account.id if account else None)
        assert (claim.account is None) is (account is None)
        self.claims = [*self.claims, claim][-8:]
        after = self.run(self.look())
        for table, row in (("initiatives", claim.task.initiative_id), ("accounts", account)):
            id = row if table == "initiatives" else getattr(row, "id", None)
            if id is not None:
                row = after.tables[table][id]
                column = {"initiatives": "initiative_id", "accounts": "account_id"}[table]
                assert row.max_agents is None or after.at_work(column, id) <= row.max_agents
        if claim.task.phase_id is not None:
            assert after.tables["phases"][claim.task.phase_id].status == "in_progress"

    def a_claim(self, data: st.DataObject) -> Claim:
        """Draw a claim, mostly one that is held."""
        held = [claim for claim in self.claims if self.is_held(claim)]
        return data.draw(st.sampled_from([*self.claims, *held * 3]))

    def is_held(self, claim: Claim) -> bool:
        task = self.plan.tables["tasks"].get(claim.task.id)
        return task is not None and (task.claimed_by_agent_id, task.epoch) == (
            claim.agent.id,
            claim.epoch,
        )

    def end(self, name: str, claim: Claim, work: Awaitable[Finished]) -> Finished | None:
        """End a claim; return what came of it, None if it was lost."""
        self.tell(name)
        if not self.is_held(claim):
            with pytest.raises(LeaseLostError):
                self.run(work)
            return None
        finished: Finished = self.run(work)
        assert finished.task.claimed_by_agent_id is None
        assert finished.task.epoch == claim.epoch
        agent = self.run(self.store.agents.find_by_id(claim.agent.id))
        assert (agent.status, agent.lease_expires_at) == ("stopped", None)
        self.told["ends"] += 1
        return finished

    @step(
        9,
        phase_status=st.sampled_from(("completed", "completed", "pending_review", None)),
        initiative_status=st.sampled_from(("completed", None)),
    )
    def complete(self, data: st.DataObject, phase_status: Any, initiative_status: Any) -> None:
        claim = self.a_claim(data)
        work = self.store.claims.complete(
            claim, summary="s", phase_status=phase_status, initiative_status=initiative_status
        )
        finished = self.end("complete", claim, work)
        if finished is None:
            return
        task, plan = finished.task, self.plan
        assert (task.status, task.summary) == ("completed", "s")
        others = plan.rows("tasks", lambda t: t.id != task.id and t.status != "completed")
        in_phase = [other for other in others if other.phase_id == task.phase_id]
        phase = plan.tables["phases"].get(cast(str, task.phase_id))
        moves = phase is not None and not in_phase and phase_status not in (None, phase.status)
        assert (finished.phase is not None) is moves
        assert finished.phase is None or finished.phase.status == phase_status
        after = self.run(self.look())
        initiative = plan.tables["initiatives"].get(cast(str, task.initiative_id))
        ends = (
            initiative is not None
            and initiative.status == "active"
            and initiative_status is not None
            and not [t for t in others if t.initiative_id == initiative.id]
            and all(
                p.status == "completed"
                for p in after.rows("phases")
                if p.initiative_id == initiative.id
            )
        )
        assert (finished.initiative is not None) is ends

    @step(2, pause=st.none() | st.integers(0, 20), block=st.booleans())
    def fail(self, data: st.DataObject, pause: int | None, block: bool) -> None:
        claim = self.a_claim(data)
        retry_in = None if pause is None else timedelta(seconds=pause)
        before = self.plan.tables["tasks"].get(claim.task.id)
        work = self.store.claims.fail(claim, retry_in=retry_in, block=block)
        finished = self.end("fail", claim, work)
        if finished is not None and before is not None:
            blocks = block or before.retry_count >= before.max_retries
            assert finished.task.status == ("blocked" if blocks else "pending")
            assert finished.task.retry_count == before.retry_count + 1
            if retry_in is not None and not blocks:
                assert finished.task.not_before == self.clock.now + retry_in

    @step(2, pause=st.none() | st.integers(-3, 20))
    def release(self, data: st.DataObject, pause: int | None) -> None:
        claim = self.a_claim(data)
        at = None if pause is None else self.clock.after(pause)
        finished = self.end("release", claim, self.store.claims.release(claim, not_before=at))
        if finished is not None:
            assert (finished.task.status, finished.task.not_before) == ("pending", at)

    @step()
    def check(self, data: st.DataObject) -> None:
        claim = self.a_claim(data)
        self.tell("check")
        if self.is_held(claim):
            self.run(self.store.claims.check(claim))
        else:
            with pytest.raises(LeaseLostError):
                self.run(self.store.claims.check(claim))

    @step(2, lease=LEASES)
    def renew(self, data: st.DataObject, lease: timedelta) -> None:
        self.tell("renew")
        some = [claim for claim in self.claims if data.draw(st.booleans())]
        held = [claim for claim in some if self.is_held(claim)]
        renewed = self.run(self.store.claims.renew(some, lease=lease))
        assert [claim.agent.id for claim in renewed] == [claim.agent.id for claim in held]
        for claim in renewed:
            assert claim.agent.lease_expires_at == self.clock.now + lease

    @step(status=st.sampled_from(TASK_STATUSES))
    def revoke(self, data: st.DataObject, status: TaskStatus) -> None:
        self.tell("revoke")
        id = self.any_id(data, "tasks")
        task = self.plan.tables["tasks"].get(id)
        if task is None:
            with pytest.raises(NotFoundError):
                self.run(self.store.claims.revoke(id, status=status))
            return
        displaced: Agent | None = self.run(self.store.claims.revoke(id, status=status))
        assert (displaced and displaced.id) == task.claimed_by_agent_id
        if displaced is not None:
            after = self.run(self.store.tasks.find_by_id(id))
            assert (after.status, after.epoch) == (status, task.epoch + 1)

    @step(2, holder=st.none() | st.sampled_from("xyz"), limit=st.integers(1, 3))
    def recover(self, data: st.DataObject, holder: str | None, limit: int) -> None:
        self.tell("recover")
        due = [
            agent
            for agent in self.plan.rows("agents", lambda a: a.lease_expires_at)
            if (agent.holder == holder if holder else agent.lease_expires_at <= self.clock.now)
        ]
        claimed = {t.claimed_by_agent_id: t for t in self.plan.rows("tasks")}
        due.sort(key=lambda agent: agent.lease_expires_at)
        displaced = self.run(self.store.claims.recover(holder=holder, limit=limit))
        assert len(displaced) == len(due[:limit])
        assert {agent.id for agent in displaced} <= {agent.id for agent in due}
        after = self.run(self.look())
        for agent in displaced:
            task = claimed.get(agent.id)
            if task is not None:
                now = after.tables["tasks"][task.id]
                costs = 0 if holder else 1
                assert now.retry_count == task.retry_count + costs
                blocked = costs and task.retry_count >= task.max_retries
                assert now.status == ("blocked" if blocked else "pending")

    @step(holder=st.none() | st.sampled_from("xyz"))
    def find_live(self, data: st.DataObject, holder: str | None) -> None:
        self.tell("find_live")
        live = self.run(self.store.claims.find_live(holder=holder))
        agents_of = self.plan.tables["agents"]
        claimed = self.plan.rows("tasks", lambda t: t.claimed_by_agent_id)
        wanted = {
            t.id for t in claimed if holder in (None, agents_of[t.claimed_by_agent_id].holder)
        }
        assert {claim.task.id for claim in live} == wanted
        assert all(self.is_held(claim) for claim in live)
        self.claims = [*self.claims, *live[:2]][-8:]

    @step()
    def next_deadline(self, data: st.DataObject) -> None:
        self.tell("next_deadline")
        now, plan = self.clock.now, self.plan
        times = [agent.lease_expires_at for agent in plan.rows("agents")]
        times += [
            task.not_before
            for task in plan.rows("tasks", lambda t: t.status == "pending")
            if task.not_before and task.not_before > now
        ]
        times += [
            account.exhausted_until
            for account in plan.rows("accounts", lambda a: a.is_exhausted)
            if account.exhausted_until and account.exhausted_until > now
        ]
        wanted = min((time for time in times if time is not None), default=None)
        assert self.run(self.store.claims.next_deadline()) == wanted

    # --- rows ---------------------------------------------------------------------------------

    def any_id(self, data: st.DataObject, table: str) -> str:
        return data.draw(st.sampled_from([*self.plan.tables[table]] or ["nobody"]))

    def some_id(self, data: st.DataObject, table: str) -> str | None:
        return data.draw(st.none() | st.sampled_from([*self.plan.tables[table]] or [None]))

    def attempt(self, work: Awaitable[object]) -> None:
        """Do what the store may refuse for reasons that are not this drill's."""
        self.told["calls"] += 1
        try:
            self.run(work)
        except (StoreError, DBAPIError):
            self.told["refusals"] += 1

    def may_add(self, table: str) -> bool:
        return len(self.plan.tables[table]) < MOST_ROWS[table]

    @step(3, table=st.sampled_from(TABLES))
    def create(self, data: st.DataObject, table: str) -> None:
        if not self.may_add(table):
            return
        id = f"{table[0]}{table[1]}{next(self.numbers)}"
        store = self.store
        match table:
            case "initiatives":
                work = store.initiatives.create(id=id, name=id, max_agents=data.draw(LIMITS))
            case "phases":
                work = store.phases.create(
                    id=id,
                    initiative_id=self.any_id(data, "initiatives"),
                    name=id,
                    status=data.draw(st.sampled_from(PHASE_STATUSES)),
                )
            case "tasks":
                place = data.draw(st.sampled_from(("phase_id", "initiative_id", "parent_task_id")))
                of = {"phase_id": "phases", "initiative_id": "initiatives"}.get(place, "tasks")
                work = store.tasks.create(
                    id=id,
                    name=id,
                    **cast(Any, {place: self.some_id(data, of)}),
                    **self.traits(data),
                )
            case "accounts":
                provider = data.draw(st.sampled_from(("claude", "codex")))
                limit = data.draw(LIMITS)
                work = store.accounts.create(
                    id=id, email="c@example.org", provider=provider, max_agents=limit
                )
            case _:
                work = store.agents.create(
                    id=id,
                    worktree_id="w",
                    task_id=self.some_id(data, "tasks"),
                    initiative_id=self.some_id(data, "initiatives"),
                    account_id=self.some_id(data, "accounts"),
                )
        self.attempt(work)

    def traits(self, data: st.DataObject) -> Any:
        """Draw what makes a task come sooner, later or not at all."""
        values = {
            "priority": st.sampled_from(("low", "medium", "high")),
            "order": st.integers(-1, 2),
            "category": st.sampled_from(("execute", "review", "merge")),
            "max_retries": st.integers(0, 3),
            "not_before": st.none() | st.integers(-3, 20).map(self.clock.after),
        }
        chosen = data.draw(st.sets(st.sampled_from([*values]), min_size=1, max_size=2))
        return {name: data.draw(values[name]) for name in sorted(chosen)}

    @step()
    def change_task(self, data: st.DataObject) -> None:
        self.attempt(self.store.tasks.update(self.any_id(data, "tasks"), **self.traits(data)))

    @step(2, status=st.sampled_from(TASK_STATUSES))
    def set_status_of_task(self, data: st.DataObject, status: TaskStatus) -> None:
        self.attempt(self.store.tasks.update(self.any_id(data, "tasks"), status=status))

    @step(place=st.sampled_from(("phase_id", "initiative_id", "parent_task_id")))
    def move_task(self, data: st.DataObject, place: str) -> None:
        of = {"phase_id": "phases", "initiative_id": "initiatives"}.get(place, "tasks")
        values: Any = {place: self.some_id(data, of)}
        self.attempt(self.store.tasks.update(self.any_id(data, "tasks"), **values))

    @step(status=st.sampled_from(PHASE_STATUSES))
    def set_status_of_phase(self, data: st.DataObject, status: PhaseStatus) -> None:
        self.attempt(self.store.phases.update(self.any_id(data, "phases"), status=status))

    @step(status=st.sampled_from(("active", "active", "active", "archived")))
    def set_status_of_initiative(self, data: st.DataObject, status: Any) -> None:
        id = self.any_id(data, "initiatives")
        self.attempt(self.store.initiatives.update(id, status=status))

    @step(table=st.sampled_from(("initiatives", "accounts")), limit=LIMITS)
    def set_limit(self, data: st.DataObject, table: str, limit: int | None) -> None:
        repository: Any = getattr(self.store, table)
        self.attempt(repository.update(self.any_id(data, table), max_agents=limit))

    @step(column=st.sampled_from(("task_id", "initiative_id", "account_id")))
    def change_agent(self, data: st.DataObject, column: str) -> None:
        of = {"task_id": "tasks", "initiative_id": "initiatives", "account_id": "accounts"}[column]
        values: Any = {column: self.some_id(data, of), "pid": 1}
        self.attempt(self.store.agents.update(self.any_id(data, "agents"), **values))

    @step(seconds=st.sampled_from((None, 5, 60, -1)))
    def exhaust(self, data: st.DataObject, seconds: int | None) -> None:
        until = None if seconds is None else self.clock.after(seconds)
        self.attempt(self.store.accounts.mark_exhausted(self.any_id(data, "accounts"), until=until))

    @step()
    def rest(self, data: st.DataObject) -> None:
        self.attempt(self.store.accounts.mark_available(self.any_id(data, "accounts")))

    @step()
    def use_an_account(self, data: st.DataObject) -> None:
        self.attempt(self.store.accounts.find_next_available("claude"))

    @step(table=DELETED)
    def delete(self, data: st.DataObject, table: str) -> None:
        self.attempt(getattr(self.store, table).delete(self.any_id(data, table)))

    @step(3, table=st.sampled_from(("tasks", "tasks", "phases")))
    def add_edge(self, data: st.DataObject, table: str) -> None:
        one, other = self.any_id(data, table), self.any_id(data, table)
        self.attempt(getattr(self.store, table).create_dependency(one, other))

    @step(table=st.sampled_from(("tasks", "phases")))
    def remove_edge(self, data: st.DataObject, table: str) -> None:
        edges = sorted(self.plan.edges[table])
        if edges:
            one, other = data.draw(st.sampled_from(edges))
            self.attempt(getattr(self.store, table).delete_dependency(one, other))

    @step(table=st.sampled_from(("tasks", "phases")), number=st.integers(0, 3))
    def set_edges(self, data: st.DataObject, table: str, number: int) -> None:
        others = [self.any_id(data, table) for _ in range(number)]
        one = self.any_id(data, table)
        self.attempt(getattr(self.store, table).set_dependencies(one, others))

    # --- what others do -----------------------------------------------------------------------

    def execute(self, *statements: Any) -> None:
        async def execute() -> None:
            async with self.store.unit_of_work() as uow:
                for statement in statements:
                    await uow.session.execute(statement)

        self.attempt(execute())

    @step(status=st.sampled_from(TASK_STATUSES))
    def set_status_by_sql(self, data: st.DataObject, status: str) -> None:
        id = self.any_id(data, "tasks")
        self.execute(sa.update(tasks).where(tasks.c.id == id).values(status=status))

    @step(status=st.sampled_from(("pending", "completed")))
    def set_status_of_all_by_sql(self, data: st.DataObject, status: str) -> None:
        those = tasks.c.claimed_by_agent_id.is_(None)
        self.execute(sa.update(tasks).where(those).values(status=status))

    @step(status=st.none() | st.sampled_from(TASK_STATUSES))
    def take_away_by_sql(self, data: st.DataObject, status: str | None) -> None:
        claimed = self.plan.rows("tasks", lambda t: t.claimed_by_agent_id)
        if claimed:
            task = data.draw(st.sampled_from(claimed))
            values = {} if status is None else {"status": status}
            self.execute(
                sa.update(tasks)
                .where(tasks.c.id == task.id)
                .values(claimed_by_agent_id=None, **values)
            )
            if status not in (None, "in_progress"):
                self.left_alone.add(task.claimed_by_agent_id)

    @step(table=DELETED)
    def delete_by_sql(self, data: st.DataObject, table: str) -> None:
        rows = metadata.tables[table]
        self.execute(sa.delete(rows).where(rows.c.id == self.any_id(data, table)))

    @step()
    def delete_the_idle_by_sql(self, data: st.DataObject) -> None:
        self.execute(sa.delete(agents).where(agents.c.lease_expires_at.is_(None)))

    @step(3, seconds=SECONDS)
    def move_the_clock(self, data: st.DataObject, seconds: int) -> None:
        self.clock.advance(seconds)

    @step(chance=st.integers(1, 4))
    def copy(self, data: st.DataObject, chance: int) -> None:
        """Copy everything, and go on with the copy."""
        if chance != 4:
            return
        other = self.database.other()
        self.run(self.store.close())
        self.run(copy_store(self.url, other))
        self.url = other
        self.store = self.run(Store.open(other, clock=self.clock))
        self.told["copies"] += 1


ENDS = ("complete", "fail", "release", "check")
WITHOUT_CLAIM = [step for step in STEPS if step.method.__name__ not in ENDS]

READY = ("provider", "account_id", "phase_statuses", "categories")


def run_machine(drill: Drill, database: Database, short: int, full: int) -> None:
    told: Counter[str] = Counter()
    attributes = {"database": database, "told": told, "__module__": __name__}
    machine: Any = type("MachineOnDatabase", (Machine,), attributes)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=drill.amount(short, full),
            stateful_step_count=drill.amount(40, 60),
            deadline=None,
            derandomize=not drill.full,  # the same histories in every short run
            phases=[*Phase] if drill.full else [Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=[*cast(Iterable[HealthCheck], HealthCheck)],
            print_blob=True,
            report_multiple_bugs=False,
        ),
    )
    missing = {name for name in METHODS if not told[f"claims.{name}"]}
    assert not missing, f"never called: {missing}"
    names = ("histories", "calls", "claims", "ends", "refusals", "copies", "looks")
    drill.held(", ".join(f"{told[name]:,} {name}" for name in names))


METHODS = (
    *("next", "take", "check", "renew", "complete", "fail", "release", "revoke", "recover"),
    *("find_live", "next_deadline"),
)


def copy_of(template: Path, folder: str) -> str:
    path = Path(tempfile.mkdtemp(dir=folder)) / "cw.db"
    path.write_bytes(template.read_bytes())
    return str(path)


def test_claims_in_a_file_and_the_counting_never_differ(
    drill: Drill, migrated_file: Path, tmp_path: Path
) -> None:
    create = partial(copy_of, migrated_file, str(tmp_path))
    run_machine(drill, Database(create, create), 12, 144)


def test_claims_on_a_server_and_the_counting_never_differ(
    drill: Drill, postgres: str, migrated_file: Path, tmp_path: Path
) -> None:
    # The copy is a file; going on with it is what the other drill does from the start.
    create = partial(copy_of, migrated_file, str(tmp_path))
    run_machine(drill, Database(lambda: postgres, create), 4, 30)
