"""The store against a model: random calls, crashes and reopens, and never a difference.

Hypothesis draws what to do next, the store and the model (`model.py`) both do it, and what the
store answers, refuses or keeps has to be what the model says. A history that goes wrong is cut
down to the few steps that matter.
"""

import asyncio
import inspect
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, cast, get_args

import sqlalchemy as sa
from drill import Drill, driver
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model import (
    BY_ORDER,
    BY_SORT_ORDER,
    BY_STORING,
    LINKS,
    REFERENCES,
    Model,
    Refused,
    Row,
    view,
)

from cw_store import Store, StoreError, UnitOfWork, UnitOfWorkError
from cw_store.repos.agents import AgentStatus
from cw_store.repos.chat_sessions import ChatTargetType
from cw_store.repos.errands import ErrandStatus
from cw_store.repos.initiatives import InitiativeStatus
from cw_store.repos.messages import ParticipantType
from cw_store.repos.phases import PhaseStatus
from cw_store.repos.proposals import ProposalStatus
from cw_store.repos.tasks import TaskStatus
from cw_store.schema import metadata, record_columns
from cw_store.store import terminate
from cw_store.testing import START, SteppableClock
from every_port import PORTS, Column, Port, repositories

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
Repos: TypeAlias = Store | UnitOfWork

BY_TABLE = {port.table: port for port in PORTS}
COLUMNS = {
    name: [column.name for column in record_columns(table)]
    for name, table in metadata.tables.items()
}
ENTRY_COLUMNS = COLUMNS["change_set_entries"]

# --- values -----------------------------------------------------------------------------------

WORDS = ("a", "b", "'", '"; --', "%", "_", "ä", "\U0001f600")
TEXT = st.sampled_from(WORDS) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8
)
NUMBERS = st.integers(-3, 3) | st.integers(-(2**31), 2**31 - 1)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
TIMES = st.integers(-5, 5).map(
    lambda hours: (START + timedelta(hours=hours)).astimezone(timezone(timedelta(hours=hours)))
)
PROVIDERS = st.sampled_from(("claude", "claude", "claude", "codex"))
UNKNOWN = "nobody"


def sometimes(chance: int) -> st.SearchStrategy[bool]:
    return st.integers(1, chance).map(lambda number: number == chance)


def an_id(draw: Draw, model: Model, table: str, chance_of_none: int = 12) -> str:
    """Draw the id of a row, seldom one that no row has."""
    ids = [*model.tables[table]]
    if not ids or draw(sometimes(chance_of_none)):
        return UNKNOWN
    return draw(st.sampled_from(ids))


def a_value(draw: Draw, model: Model, table: str, column: Column) -> Any:
    if column.nullable and draw(sometimes(3)):
        return None
    reference = REFERENCES.get((table, column.name))
    if reference:
        return an_id(draw, model, reference[0], 20)
    if column.name == "provider":
        return draw(PROVIDERS)
    match column.kind:
        case "id":
            return draw(st.sampled_from(WORDS))
        case "text":
            return draw(TEXT)
        case "choice":
            return draw(st.sampled_from(column.choices))
        case "integer":
            return max(draw(NUMBERS), column.least)
        case "flag":
            return draw(st.booleans())
        case "timestamp":
            return draw(TIMES)
        case "json":
            return draw(JSON)


def new_values(draw: Draw, model: Model, port: Port, columns: list[Column]) -> Row:
    values: Row = {}
    for column in columns:
        if column.name == "id":
            if column.required or draw(sometimes(4)):
                values["id"] = draw(st.sampled_from(WORDS)) if draw(sometimes(4)) else draw(TEXT)
                values["id"] = values["id"] or "x"
        elif column.required or draw(st.booleans()):
            values[column.name] = a_value(draw, model, port.table, column)
    if port.table == "tasks" and "phase_id" in values and not draw(sometimes(6)):
        values.pop("initiative_id", None)
    return values


SOWN = (
    *("initiatives", "initiatives", "phases", "phases", "phases", "tasks", "tasks", "tasks"),
    *("accounts", "accounts", "accounts", "agents", "agents", "pages", "pages", "projects"),
    *("projects", "messages", "proposals", "conversations", "change_sets", "chat_sessions"),
    *("chat_messages", "errands", "review_comments", "agent_log_chunks"),
)


def a_plain_value(column: Column, number: int) -> Any:
    match column.kind:
        case "choice":
            return column.choices[0]
        case "integer":
            return number
        case _:
            return WORDS[number]


# --- every way to read ------------------------------------------------------------------------

Source: TypeAlias = Callable[[Draw, Model], Any]
Expected: TypeAlias = Callable[..., Any]
"""Given the model and the arguments, what the method must return."""


def of(table: str) -> Source:
    return lambda draw, model: an_id(draw, model, table)


def some(table: str) -> Source:
    """An id or nothing, for a filter that can be left out."""
    return lambda draw, model: None if draw(st.booleans()) else an_id(draw, model, table)


def one_of(literal: Any) -> Source:
    return lambda draw, _: draw(st.sampled_from(get_args(literal)))


def maybe(literal: Any) -> Source:
    return lambda draw, _: draw(st.sampled_from((None, *get_args(literal))))


def drawn(strategy: st.SearchStrategy[Any]) -> Source:
    return lambda draw, _: draw(strategy)


LIMIT = drawn(st.none() | st.integers(1, 4))
WORD = drawn(st.sampled_from(WORDS))
SESSION = drawn(st.none() | st.integers(-3, 3))


def by(table: str, *columns: str, order: tuple[str, ...] = BY_STORING, **fixed: Any) -> Expected:
    """Expect the rows with these values in these columns."""

    def expected(model: Model, *values: Any) -> list[Row]:
        equal = dict(zip(columns, values, strict=True))
        return model.rows(table, order=order, **equal, **fixed)

    return expected


def newest(table: str, *columns: str, **fixed: Any) -> Expected:
    """Expect the newest of the rows with these values in these columns."""

    def expected(model: Model, *values: Any) -> Row | None:
        return model.newest(table, **dict(zip(columns, values, strict=True)), **fixed)

    return expected


def one(table: str) -> Expected:
    """Expect the row with this id."""

    def expected(model: Model, id: str) -> Row | None:
        return model.row(table, id)

    return expected


def unanswered(model: Model) -> list[Row]:
    return model.rows(
        "messages", lambda row: row["requires_response"] and row["status"] != "responded"
    )


def counted(model: Model, agent_id: str, status: str) -> int:
    return len(model.rows("proposals", agent_id=agent_id, status=status))


def whole(table: str, *, newest_first: bool = False, **fixed: Any) -> Expected:
    def page(model: Model, *filters: Any, **options: Any) -> list[Row]:
        limit, after = options.pop("limit", None), options.pop("after", None)
        equal = {name: value for name, value in options.items() if value is not None} | fixed
        return model.page(table, model.rows(table, **equal), limit, after, newest_first)

    return page


def beginning(table: str) -> Expected:
    """Expect the ids that begin so, in the order of their bytes."""

    def expected(model: Model, prefix: str, *, limit: int | None = None) -> list[str]:
        found = [id for id in model.tables[table] if id.startswith(prefix)]
        return sorted(found, key=str.encode)[:limit]

    return expected


def a_prefix_in(table: str) -> Source:
    return lambda draw, model: an_id(draw, model, table)[: draw(st.integers(0, 3))]


def tasks_by_status(model: Model, initiative_id: str | None) -> Row:
    found: dict[Any, Counter[str]] = {}
    for row in model.rows("tasks"):
        if initiative_id in (None, row["initiative_id"]):
            found.setdefault(row["phase_id"], Counter())[row["status"]] += 1
    return found


def unanswerable(model: Model) -> list[Row]:
    gone = {row["id"] for row in model.rows("agents") if row["status"] in ("stopped", "crashed")}
    return model.rows("conversations", lambda row: row["to_agent_id"] in gone, status="pending")


def linked(link: str, table: str, *, forward: bool) -> Expected:
    def expected(model: Model, id: str) -> list[Row]:
        near = model.linked(link, id, forward=forward)
        return model.rows(table, lambda row: row["id"] in near)

    return expected


def edges_of(link: str, table: str) -> Expected:
    names = [column for column, _ in LINKS[link]]

    def expected(model: Model, initiative_id: str) -> list[Row]:
        inside = {row["id"] for row in model.rows(table, initiative_id=initiative_id)}
        found = sorted(edge for edge in model.links[link] if edge[0] in inside)
        return [dict(zip(names, edge, strict=True)) for edge in found]

    return expected


def talk(kind: str, person: str) -> Expected:
    def expected(model: Model, type: str, id: str | None) -> list[Row]:
        return model.rows(
            "messages",
            lambda row: row[kind] == type and (id is None or row[person] == id),
        )

    return expected


def log(model: Model, agent_id: str, session_number: int | None, **page: Any) -> list[Row]:
    kept: Row = {} if session_number is None else {"session_number": session_number}
    return whole("agent_log_chunks", agent_id=agent_id, **kept)(model, **page)


def sessions(model: Model, agent_id: str) -> int:
    chunks = model.rows("agent_log_chunks", agent_id=agent_id)
    return max((chunk["session_number"] for chunk in chunks), default=0)


def last_of_log(model: Model, agent_id: str, *, limit: int) -> list[Row]:
    return model.rows("agent_log_chunks", agent_id=agent_id)[-limit:]


def errands(model: Model, **page: Any) -> list[Row]:
    return whole("errands", newest_first=True)(model, **page)


@dataclass(frozen=True)
class Read:
    """One reading method, its arguments (by name where they have to be), what it must return."""

    arguments: Sequence[Source]
    expected: Expected
    named: Mapping[str, Source] | None = None


def paged(table: str, **more: Source) -> dict[str, Source]:
    return {**more, "limit": LIMIT, "after": some(table)}


READS: dict[str, Read] = {
    **{
        f"{port.repository}.{port.find}": Read([of(port.table)], one(port.table))
        for port in PORTS
        if port.find
    },
    **{
        f"{port.repository}.find_ids": Read(
            [a_prefix_in(port.table)], beginning(port.table), {"limit": LIMIT}
        )
        for port in PORTS
        if port.find
    },
    **{
        f"{port.repository}.find_all": Read((), whole(port.table), paged(port.table))
        for port in PORTS
        if port.find and port.table != "agent_log_chunks"
    },
    "initiatives.find_by_project_id": Read(
        [of("projects")], linked("initiative_projects", "initiatives", forward=False)
    ),
    "initiatives.find_by_status": Read([one_of(InitiativeStatus)], by("initiatives", "status")),
    "phases.find_by_initiative_id": Read([of("initiatives")], by("phases", "initiative_id")),
    "phases.find_by_status": Read([one_of(PhaseStatus)], by("phases", "status")),
    "phases.get_dependencies": Read(
        [of("phases")], linked("phase_dependencies", "phases", forward=True)
    ),
    "phases.get_dependents": Read(
        [of("phases")], linked("phase_dependencies", "phases", forward=False)
    ),
    "phases.find_dependencies_by_initiative_id": Read(
        [of("initiatives")], edges_of("phase_dependencies", "phases")
    ),
    "tasks.find_by_phase_id": Read([of("phases")], by("tasks", "phase_id", order=BY_ORDER)),
    "tasks.find_by_initiative_id": Read(
        [of("initiatives")], by("tasks", "initiative_id", order=BY_ORDER)
    ),
    "tasks.find_by_parent_task_id": Read(
        [of("tasks")], by("tasks", "parent_task_id", order=BY_ORDER)
    ),
    "tasks.count_by_status": Read([some("initiatives")], tasks_by_status),
    "tasks.find_by_status": Read([one_of(TaskStatus)], by("tasks", "status")),
    "tasks.get_dependencies": Read(
        [of("tasks")], linked("task_dependencies", "tasks", forward=True)
    ),
    "tasks.get_dependents": Read(
        [of("tasks")], linked("task_dependencies", "tasks", forward=False)
    ),
    "tasks.find_dependencies_by_initiative_id": Read(
        [of("initiatives")], edges_of("task_dependencies", "tasks")
    ),
    "agents.find_by_name": Read([WORD], newest("agents", "name")),
    "agents.find_by_task_id": Read([of("tasks")], newest("agents", "task_id")),
    "agents.find_all_by_task_id": Read([of("tasks")], by("agents", "task_id")),
    "agents.find_by_account_id": Read([of("accounts")], by("agents", "account_id")),
    "agents.find_by_initiative_id": Read([of("initiatives")], by("agents", "initiative_id")),
    "agents.find_by_session_id": Read([WORD], newest("agents", "session_id")),
    "agents.find_by_status": Read([one_of(AgentStatus)], by("agents", "status")),
    "messages.find_by_sender": Read(
        [one_of(ParticipantType), some("agents")], talk("sender_type", "sender_id")
    ),
    "messages.find_by_recipient": Read(
        [one_of(ParticipantType), some("agents")], talk("recipient_type", "recipient_id")
    ),
    "messages.find_pending_for_user": Read(
        (), by("messages", recipient_type="user", status="pending")
    ),
    "messages.find_requiring_response": Read(
        (),
        unanswered,
    ),
    "messages.find_replies": Read([of("messages")], by("messages", "parent_message_id")),
    "pages.find_by_initiative_id": Read([of("initiatives")], by("pages", "initiative_id")),
    "pages.find_by_parent_page_id": Read(
        [of("pages")], by("pages", "parent_page_id", order=BY_SORT_ORDER)
    ),
    "pages.find_root_page": Read(
        [of("initiatives")],
        newest("pages", "initiative_id", parent_page_id=None),
    ),
    "projects.find_by_name": Read([WORD], newest("projects", "name")),
    "projects.find_projects_by_initiative_id": Read(
        [of("initiatives")], linked("initiative_projects", "projects", forward=True)
    ),
    "accounts.find_by_email": Read([WORD], by("accounts", "email")),
    "accounts.find_by_provider": Read([drawn(PROVIDERS)], by("accounts", "provider")),
    "proposals.find_by_agent_id": Read([of("agents")], by("proposals", "agent_id")),
    "proposals.find_by_initiative_id": Read([of("initiatives")], by("proposals", "initiative_id")),
    "proposals.find_by_agent_id_and_status": Read(
        [of("agents"), one_of(ProposalStatus)],
        by("proposals", "agent_id", "status"),
    ),
    "proposals.count_by_agent_id_and_status": Read(
        [of("agents"), one_of(ProposalStatus)],
        counted,
    ),
    "log_chunks.find_by_agent_id": Read([WORD, SESSION], log, paged("agent_log_chunks")),
    "log_chunks.find_last": Read([WORD], last_of_log, {"limit": drawn(st.integers(1, 4))}),
    "log_chunks.stream_by_agent_id": Read([WORD, SESSION], log),
    "log_chunks.get_session_count": Read([WORD], sessions),
    "conversations.find_pending": Read((), by("conversations", status="pending")),
    "conversations.find_unanswerable": Read((), unanswerable),
    "conversations.find_pending_for_agent": Read(
        [of("agents")],
        by("conversations", "to_agent_id", status="pending"),
    ),
    "conversations.find_by_from_agent_id": Read(
        [of("agents")], by("conversations", "from_agent_id")
    ),
    "chat_sessions.find_by_target": Read(
        [one_of(ChatTargetType), WORD], by("chat_sessions", "target_type", "target_id")
    ),
    "chat_sessions.find_active_session": Read(
        [one_of(ChatTargetType), WORD],
        newest("chat_sessions", "target_type", "target_id", status="active"),
    ),
    "chat_sessions.find_active_session_by_agent_id": Read(
        [of("agents")],
        newest("chat_sessions", "agent_id", status="active"),
    ),
    "chat_sessions.find_messages_by_session_id": Read(
        [of("chat_sessions")], by("chat_messages", "chat_session_id")
    ),
    "review_comments.find_by_phase_id": Read([of("phases")], by("review_comments", "phase_id")),
    "errands.find_all": Read(
        (), errands, paged("errands", project_id=some("projects"), status=maybe(ErrandStatus))
    ),
    "change_sets.find_by_initiative_id": Read(
        [of("initiatives")], by("change_sets", "initiative_id")
    ),
    "change_sets.find_by_agent_id": Read([of("agents")], by("change_sets", "agent_id")),
    "change_sets.find_entries": Read(
        [of("change_sets")], by("change_set_entries", "change_set_id", order=BY_SORT_ORDER)
    ),
}


def shown(result: Any) -> Any:
    """Return records as rows, in the form in which they are compared."""
    if isinstance(result, list):
        return [shown(item) for item in result]  # pyright: ignore[reportUnknownVariableType]
    if hasattr(result, "__dataclass_fields__"):
        return {one.name: view(getattr(result, one.name)) for one in fields(result)}
    return view(result)


def with_alias(model: Model, result: Any) -> Any:
    """Return the model's rows as the store shows them: an errand carries its agent's name."""
    if isinstance(result, list):
        return [with_alias(model, row) for row in result]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(result, dict) and "base_branch" in result:
        row: Row = dict(result)  # pyright: ignore[reportUnknownArgumentType]
        agent = None if row["agent_id"] is None else model.row("agents", row["agent_id"])
        return view(row) | {"agent_alias": None if agent is None else agent["name"]}
    return view(result)


# --- the machine ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Database:
    """Where a history takes place."""

    name: str
    on_server: bool
    new_url: Callable[[], str]


class Undo(Exception):
    """Raised inside a unit of work or a savepoint, to see it undone."""


class Machine(RuleBasedStateMachine):
    """One database, its model, and at most one open unit of work with the model of its inside."""

    database: ClassVar[Database]
    told: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = SteppableClock()
        self.url = self.database.new_url()
        self.stored = Model()
        self.model = self.stored
        self.uow: UnitOfWork | None = None
        self.savepoints: list[tuple[AbstractAsyncContextManager[None], Model]] = []
        self.reader: tuple[UnitOfWork, Model] | None = None
        self.touched: bool | None = False
        """Whether the open transaction has reached the database; None when that is not known."""
        self.outcome: bool | None = None
        """How the unit of work's transaction before that one ended."""
        self.last_stamp = datetime.min.replace(tzinfo=UTC)
        self.store = self.run(Store.open(self.url, clock=self.clock))
        self.run(self.forget_everything())
        self.told["histories"] += 1
        self.sow()

    def run(self, work: Awaitable[Any]) -> Any:
        async def waited() -> Any:
            return await work

        return self.runner.run(waited())

    def teardown(self) -> None:
        if self.uow is not None:
            self.leave(Undo())
        self.let_reader_go()
        self.compare()
        assert self.store.connections_in_use == 0
        self.run(self.store.close())
        self.runner.close()

    @property
    def repos(self) -> Repos:
        return self.store if self.uow is None else self.uow

    def call(self, name: str, /, *arguments: Any, **named: Any) -> Any:
        """Call a method in the open unit of work, else on the store, and return what it returns."""
        repository, _, method = name.partition(".")
        self.told["calls"] += 1
        self.told[name] += 1

        async def called() -> Any:
            result = getattr(getattr(self.repos, repository), method)(*arguments, **named)
            if hasattr(result, "__aiter__"):
                return [item async for item in result]
            return await result

        result = self.run(called())
        # An empty batch is answered without asking the database.
        if result != [] or method not in ("create_many", "insert_chunks"):
            self.touched = True
        return result

    def attempt(
        self, expected: Callable[[Model], Any], name: str, /, *args: Any, **named: Any
    ) -> Any:
        """Call, and return the result and the model's; both None if both refuse it alike."""
        before = self.model.copy()
        try:
            wanted = expected(self.model)
        except Refused as refused:
            self.restore(before)
            try:
                result = self.call(name, *args, **named)
            except StoreError as error:
                assert type(error).__name__ == refused.error, (name, error, refused)
                columns = {*getattr(error, "columns", ())} or {getattr(error, "column", None)}
                assert not refused.columns or columns & refused.columns, (error, refused)
                self.told["refusals"] += 1
                self.touched = self.touched or None
                # A refusal by the database, whose cause is the driver's error, spends the unit.
                if error.__cause__ is not None:
                    self.database_refused(error)
                return None, None
            raise AssertionError(f"{name} returned {result}, but has to raise {refused}") from None
        try:
            return self.call(name, *args, **named), wanted
        except StoreError:
            self.restore(before)
            raise

    def restore(self, model: Model) -> None:
        if self.model is self.stored:
            self.stored = model
        self.model = model

    def database_refused(self, error: StoreError) -> None:
        """Leave the savepoint with the error; without one the unit of work is spent."""
        if self.uow is None:
            return
        if self.savepoints:
            self.leave_savepoint(error)
            return
        try:
            self.call("initiatives.find_all")
        except UnitOfWorkError:
            pass
        else:
            raise AssertionError("the unit of work is not spent")
        if self.told["refusals"] % 2:
            self.leave(error)
        else:
            try:
                self.leave(None)
            except UnitOfWorkError:
                self.left(committed=False)
            else:
                raise AssertionError("a spent unit of work ended as if nothing had happened")

    def leave(self, error: BaseException | None) -> None:
        """Leave the block of the unit of work."""
        uow = self.uow
        assert uow is not None
        while self.savepoints and error is not None:
            self.leave_savepoint(error)
        kind = None if error is None else type(error)
        self.run(uow.__aexit__(kind, error, None))
        self.left(committed=error is None)

    def left(self, *, committed: bool) -> None:
        """Take note of the end of a unit of work, which knows how it ended."""
        assert self.uow is not None
        if self.touched:
            assert self.uow.committed is committed
        elif self.touched is False and self.outcome is not None:
            assert self.uow.committed is self.outcome
        else:
            assert self.uow.committed is not None
        self.uow = None
        if committed:
            self.stored = self.model
        self.model = self.stored

    def leave_savepoint(self, error: BaseException | None) -> None:
        block, before = self.savepoints.pop()
        kind = None if error is None else type(error)
        try:
            assert not self.run(block.__aexit__(kind, error, None))
        except BaseException as raised:
            if raised is not error:
                raise
        if error is not None:
            self.model = before

    def let_reader_go(self) -> None:
        if self.reader is not None:
            self.run(self.reader[0].__aexit__(None, None, None))
            self.reader = None

    def stamped(self, stamp: datetime) -> datetime:
        """Take note of a time that the store gave, which is later than any before."""
        assert stamp > self.last_stamp
        assert stamp.tzinfo is UTC
        self.last_stamp = stamp
        return stamp

    # --- all that is stored -------------------------------------------------------------------

    def compare(self) -> None:
        """Compare everything, as one sees it who begins to read now."""
        self.told["comparisons"] += 1

        async def compared() -> None:
            async with self.store.unit_of_work(read_only=True) as uow:
                await self.compare_with(uow, self.stored)

        self.run(compared())

    async def compare_with(self, uow: UnitOfWork, model: Model) -> None:
        for name, rows in model.tables.items():
            table = metadata.tables[name]
            query = sa.select(*record_columns(table)).order_by(table.c.seq)
            found = (await uow.session.execute(query)).mappings().all()
            there = {row["id"]: view({**row}) for row in found}
            assert there == {id: view(row) for id, row in rows.items()}, name
            # The order among the logs of several agents means nothing.
            assert name == "agent_log_chunks" or [*there] == [*rows], name
        for name, links in model.links.items():
            table = metadata.tables[name]
            columns = [table.c[column] for column, _ in LINKS[name]]
            rows = (await uow.session.execute(sa.select(*columns))).all()
            assert {tuple(row) for row in rows} == links, name

    async def forget_everything(self) -> None:
        async with self.store.unit_of_work() as uow:
            for table in reversed(metadata.sorted_tables):
                await uow.session.execute(sa.delete(table))

    def sow(self) -> None:
        """Add a few rows of every kind, for a history in an empty store is one of refusals."""
        self.begin()
        for table in SOWN:
            port = BY_TABLE[table]
            values: Row = {}
            for column in port.new_columns():
                reference = REFERENCES.get((table, column.name))
                if reference and self.model.tables[reference[0]]:
                    values[column.name] = next(iter(self.model.tables[reference[0]]))
                elif column.required:
                    values[column.name] = a_plain_value(column, len(self.model.tables[table]))
            record, row = self.attempt(
                lambda model, port=port, values=values: model.complete(
                    port.table, COLUMNS[port.table], values
                ),
                f"{port.repository}.{port.create}",
                **values,
            )
            self.stored_now(table, row, record)
        self.leave(None)

    # --- rows ---------------------------------------------------------------------------------

    def stored_now(self, table: str, row: Row, record: Any) -> None:
        """Compare a new record with the model's row, which takes over what the store chose."""
        if row["id"] is None:
            assert len(record.id) >= 10
            row["id"] = record.id
        if table == "agents" and row["name"] is None:
            assert "-" in record.name
            row["name"] = record.name
        row["created_at"] = self.stamped(record.created_at)
        if "updated_at" in row:
            row["updated_at"] = row["created_at"]
        self.model.put(table, row)
        assert shown(record) == with_alias(self.model, row)
        if table == "chat_messages":
            session = self.model.need("chat_sessions", row["chat_session_id"])
            self.changed_together("chat_sessions", [session], {})

    def changed_now(self, table: str, row: Row, record: Any) -> None:
        # Later than it was, also where the store was opened anew while the clock stood still.
        assert record.updated_at > row["updated_at"]
        row["updated_at"] = record.updated_at
        # What is counted after a change is not in what the change returns.
        assert shown(record) == with_alias(self.model, row)
        self.model.put(table, row)

    @rule(data=st.data(), table=st.sampled_from([*BY_TABLE]))
    def create(self, data: st.DataObject, table: str) -> None:
        port = BY_TABLE[table]
        values = new_values(data.draw, self.model, port, port.new_columns())
        entries: list[Row] = []
        if port.table == "change_sets":
            for _ in range(data.draw(st.integers(0, 3))):
                entries.append(an_entry(data.draw))
        given = {**values, "entries": entries} if entries else values
        record, row = self.attempt(
            lambda model: model.complete(port.table, COLUMNS[port.table], values),
            f"{port.repository}.{port.create}",
            **given,
        )
        if record is not None:
            self.stored_now(port.table, row, record)
            if entries:
                self.entries_stored(record.id, entries)

    def entries_stored(self, id: str, entries: list[Row]) -> None:
        records = self.call("change_sets.find_entries", id)
        assert len(records) == len(entries)
        by_age = sorted(records, key=lambda record: record.created_at)
        for record, entry in zip(by_age, entries, strict=True):
            row = dict.fromkeys(ENTRY_COLUMNS) | {"sort_order": 0, "change_set_id": id} | entry
            self.last_stamp = max(self.last_stamp, record.created_at)
            row |= {"id": record.id, "created_at": record.created_at}
            self.model.put("change_set_entries", row)
            assert shown(record) == view(row)

    @rule(
        data=st.data(),
        table=st.sampled_from(("tasks", "proposals", "messages", "agent_log_chunks")),
        number=st.integers(0, 3),
    )
    def create_many(self, data: st.DataObject, table: str, number: int) -> None:
        port = BY_TABLE[table]
        columns = port.new_columns()
        given = [new_values(data.draw, self.model, port, columns) for _ in range(number)]
        name = "create_many"
        if table == "agent_log_chunks" and data.draw(st.booleans()):
            name = "insert_chunks"

        def expected(model: Model) -> list[Row]:
            # Only ids that are given can be in each other's way.
            ids = [values["id"] for values in given if "id" in values]
            rows: list[Row] = []
            broken: Refused | None = None
            for values in given:
                try:
                    rows.append(model.complete(table, COLUMNS[table], values))
                except Refused as refused:
                    if refused.error == "InvalidValueError":
                        raise
                    broken = broken or refused
            if broken:
                raise broken
            if len(set(ids)) < len(ids):
                raise Refused("AlreadyExistsError", {"id"})
            return rows

        records, rows = self.attempt(expected, f"{port.repository}.{name}", given)
        pairs = [*zip(rows or (), records or (), strict=True)]
        if table == "agent_log_chunks":
            pairs.sort(key=lambda pair: pair[0]["agent_id"])  # they are stored log by log
        for row, record in pairs:
            self.stored_now(table, row, record)

    @rule(data=st.data(), table=st.sampled_from([p.table for p in PORTS if p.changes]))
    def update(self, data: st.DataObject, table: str) -> None:
        port = BY_TABLE[table]
        id = an_id(data.draw, self.model, port.table)
        changes = {
            column.name: a_value(data.draw, self.model, port.table, column)
            for column in port.changeable_columns()
            if data.draw(sometimes(3))
        }
        before = self.model.row(port.table, id)
        record, row = self.attempt(
            lambda model: model.change(port.table, id, changes),
            f"{port.repository}.{port.update}",
            id,
            **changes,
        )
        if record is not None:
            self.changed_now(port.table, row, record)
            if table == "tasks" and before is not None:
                self.moved_along(before, row)

    def moved_along(self, before: Row, after: Row) -> None:
        """Take over what became of the subtasks of a task that moved."""
        new = {name: after[name] for name in ("phase_id", "initiative_id")}
        if all(before[name] == new[name] for name in new):
            return
        subtasks = self.model.below("tasks", after["id"])
        along = [row for row in subtasks if row["phase_id"] == before["phase_id"]]
        others = [row for row in subtasks if row["phase_id"] != before["phase_id"]]
        self.changed_together("tasks", along, new)
        if before["initiative_id"] != after["initiative_id"]:
            del new["phase_id"]
            self.changed_together("tasks", others, new)

    @rule(data=st.data(), table=st.sampled_from([p.table for p in PORTS if p.delete]))
    def delete(self, data: st.DataObject, table: str) -> None:
        port = BY_TABLE[table]
        id = an_id(data.draw, self.model, port.table)

        def expected(model: Model) -> None:
            model.need(port.table, id)
            model.delete(port.table, id)

        self.attempt(expected, f"{port.repository}.{port.delete}", id)

    @rule(data=st.data(), name=st.sampled_from(sorted(READS)))
    def read(self, data: st.DataObject, name: str) -> None:
        read = READS[name]
        arguments = [source(data.draw, self.model) for source in read.arguments]
        named = {key: source(data.draw, self.model) for key, source in (read.named or {}).items()}
        named = {key: value for key, value in named.items() if value is not None}
        found, rows = self.attempt(
            lambda model: read.expected(model, *arguments, **named), name, *arguments, **named
        )
        assert shown(found) == with_alias(self.model, rows)

    # Hypothesis chooses among the names evenly, and what is done most should be chosen most.
    create_again = create_more = create
    read_again = read_more = read

    # --- verbs --------------------------------------------------------------------------------

    @rule(data=st.data(), provider=PROVIDERS)
    def claim(self, data: st.DataObject, provider: str) -> None:
        arguments = () if provider == "claude" and data.draw(st.booleans()) else (provider,)
        record, row = self.attempt(
            lambda model: model.next_account(provider, self.clock.now),
            "accounts.find_next_available",
            *arguments,
        )
        assert (record is None) == (row is None)
        if record is not None:
            used = [one["last_used_at"] for one in self.model.rows("accounts", provider=provider)]
            assert all(record.last_used_at > time for time in used if time is not None)
            row = row | {"last_used_at": record.last_used_at, "is_exhausted": False}
            self.changed_now("accounts", row, record)

    def verb(self, table: str, name: str, id: str, *arguments: Any, **changes: Any) -> None:
        record, row = self.attempt(
            lambda model: model.need(table, id) | changes, name, id, *arguments
        )
        if record is not None:
            self.changed_now(table, row, record)

    @rule(data=st.data(), until=st.none() | TIMES)
    def exhaust(self, data: st.DataObject, until: datetime | None) -> None:
        id = an_id(data.draw, self.model, "accounts")
        arguments = () if until is None and data.draw(st.booleans()) else (until,)

        def expected(model: Model) -> Row:
            row = model.need("accounts", id)
            longest = until
            if row["is_exhausted"]:  # a later report never shortens what was reported before
                before = row["exhausted_until"]
                if before is None or (until is not None and before > max(until, self.clock.now)):
                    longest = before
            return row | {"is_exhausted": True, "exhausted_until": longest}

        record, row = self.attempt(expected, "accounts.mark_exhausted", id, *arguments)
        if record is not None:
            self.changed_now("accounts", row, record)

    @rule(data=st.data())
    def make_available(self, data: st.DataObject) -> None:
        id = an_id(data.draw, self.model, "accounts")
        changes = {"is_exhausted": False, "exhausted_until": None}
        self.verb("accounts", "accounts.mark_available", id, **changes)

    @rule()
    def clear_exhaustion(self) -> None:
        def expected(model: Model) -> list[Row]:
            return model.rows(
                "accounts",
                lambda row: (
                    row["exhausted_until"] is not None and row["exhausted_until"] <= self.clock.now
                ),
            )

        number, rows = self.attempt(expected, "accounts.clear_expired_exhaustion")
        assert number == len(rows)
        self.changed_together("accounts", rows, {"is_exhausted": False, "exhausted_until": None})

    def changed_together(self, table: str, rows: list[Row], changes: Row) -> None:
        """Take over the times that many rows were stamped with, each later than its own before."""
        port = BY_TABLE[table]
        for row in rows:
            record = self.call(f"{port.repository}.{port.find}", row["id"])
            assert record.updated_at > row["updated_at"]
            row |= changes | {"updated_at": record.updated_at}
            assert shown(record) == view(row)

    @rule(data=st.data())
    def change_proposals(self, data: st.DataObject) -> None:
        id = an_id(data.draw, self.model, "agents")
        changes = {
            column.name: a_value(data.draw, self.model, "proposals", column)
            for column in BY_TABLE["proposals"].changeable_columns()
            if data.draw(sometimes(3))
        }
        number, rows = self.attempt(
            lambda model: model.rows("proposals", agent_id=id),
            "proposals.update_many_by_agent_id",
            id,
            **changes,
        )
        assert number == len(rows)
        self.changed_together("proposals", rows, changes)

    @rule(data=st.data(), reset=st.booleans())
    def retry(self, data: st.DataObject, reset: bool) -> None:
        id = an_id(data.draw, self.model, "tasks")
        task = self.model.row("tasks", id)
        if task and task["retry_count"] == 2**31 - 1 and not reset:
            return  # its end is the matter of another test
        if reset:
            self.verb("tasks", "tasks.reset_retry_count", id, retry_count=0)
        else:
            count = task["retry_count"] + 1 if task else 0
            self.verb("tasks", "tasks.increment_retry_count", id, retry_count=count)

    @rule(data=st.data(), answer=TEXT)
    def answer(self, data: st.DataObject, answer: str) -> None:
        id = an_id(data.draw, self.model, "conversations")

        def expected(model: Model) -> Row:
            row = model.need("conversations", id)
            if row["status"] != "pending":
                raise Refused("StaleStateError")
            return row | {"answer": answer, "status": "answered"}

        record, row = self.attempt(expected, "conversations.answer", id, answer)
        if record is not None:
            self.changed_now("conversations", row, record)

    @rule(data=st.data(), content=TEXT)
    def respond(self, data: st.DataObject, content: str) -> None:
        id = an_id(data.draw, self.model, "messages")

        def expected(model: Model) -> Row:
            row = model.need("messages", id)
            if row["status"] == "responded":
                raise Refused("StaleStateError")
            reply = {
                "sender_type": row["recipient_type"],
                "sender_id": row["recipient_id"],
                "recipient_type": row["sender_type"],
                "recipient_id": row["sender_id"],
                "type": "response",
                "content": content,
                "parent_message_id": id,
            }
            return model.complete("messages", COLUMNS["messages"], reply)

        record, row = self.attempt(expected, "messages.respond", id, content=content)
        if record is not None:
            self.stored_now("messages", row, record)
            message = self.model.need("messages", id)
            self.changed_together("messages", [message], {"status": "responded"})

    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        id = an_id(data.draw, self.model, "change_sets")

        def expected(model: Model) -> Row:
            row = model.need("change_sets", id)
            if row["status"] != "applied":
                raise Refused("StaleStateError")
            return row | {"status": "reverted"}

        record, row = self.attempt(expected, "change_sets.mark_reverted", id)
        if record is not None:
            assert record.reverted_at <= record.updated_at
            row["reverted_at"] = record.reverted_at
            self.changed_now("change_sets", row, record)

    @rule(data=st.data())
    def close_chat(self, data: st.DataObject) -> None:
        id = an_id(data.draw, self.model, "chat_sessions")
        self.verb("chat_sessions", "chat_sessions.close_session", id, status="closed")

    @rule(data=st.data(), resolved=st.booleans())
    def resolve(self, data: st.DataObject, resolved: bool) -> None:
        id = an_id(data.draw, self.model, "review_comments")
        name = "resolve" if resolved else "unresolve"
        self.verb("review_comments", f"review_comments.{name}", id, resolved=resolved)

    @rule(data=st.data())
    def root_page(self, data: st.DataObject) -> None:
        id = an_id(data.draw, self.model, "initiatives")

        def expected(model: Model) -> Row:
            initiative = model.need("initiatives", id)
            root = model.newest("pages", initiative_id=id, parent_page_id=None)
            values = {"initiative_id": id, "title": initiative["name"]}
            return root or model.complete("pages", COLUMNS["pages"], values)

        record, row = self.attempt(expected, "pages.get_or_create_root_page", id)
        if record is not None and row["id"] is None:
            self.stored_now("pages", row, record)
        elif record is not None:
            assert shown(record) == view(row)

    @rule(agent_id=st.sampled_from(WORDS), session=st.integers(-3, 3), content=TEXT)
    def log_chunk(self, agent_id: str, session: int, content: str) -> None:
        values = {
            "agent_id": agent_id,
            "agent_name": "otter",
            "session_number": session,
            "content": content,
        }
        record, row = self.attempt(
            lambda model: model.complete("agent_log_chunks", COLUMNS["agent_log_chunks"], values),
            "log_chunks.insert_chunk",
            *values.values(),
        )
        self.stored_now("agent_log_chunks", row, record)

    @rule(agent_id=st.sampled_from(WORDS))
    def delete_log(self, agent_id: str) -> None:
        def expected(model: Model) -> int:
            chunks = model.rows("agent_log_chunks", agent_id=agent_id)
            for chunk in chunks:
                model.delete("agent_log_chunks", chunk["id"])
            return len(chunks)

        number, wanted = self.attempt(expected, "log_chunks.delete_by_agent_id", agent_id)
        assert number == wanted

    # --- edges and links ----------------------------------------------------------------------

    @rule(data=st.data(), kind=st.sampled_from(("phase", "task")))
    def add_edge(self, data: st.DataObject, kind: str) -> None:
        one, other = (an_id(data.draw, self.model, f"{kind}s", 15) for _ in range(2))
        edge, _ = self.attempt(
            lambda model: model.link(f"{kind}_dependencies", one, other),
            f"{kind}s.create_dependency",
            one,
            other,
        )
        if edge is not None:
            assert shown(edge) == {f"{kind}_id": one, f"depends_on_{kind}_id": other}

    @rule(data=st.data(), kind=st.sampled_from(("phase", "task")))
    def remove_edge(self, data: st.DataObject, kind: str) -> None:
        link = f"{kind}_dependencies"
        one, other = self.an_edge(data, link, f"{kind}s")
        self.attempt(
            lambda model: model.unlink(link, one, other), f"{kind}s.delete_dependency", one, other
        )

    @rule(data=st.data(), kind=st.sampled_from(("phase", "task")), number=st.integers(0, 3))
    def set_edges(self, data: st.DataObject, kind: str, number: int) -> None:
        id, *others = (an_id(data.draw, self.model, f"{kind}s", 15) for _ in range(number + 1))
        self.attempt(
            lambda model: model.set_links(f"{kind}_dependencies", id, others),
            f"{kind}s.set_dependencies",
            id,
            others,
        )

    @rule(data=st.data())
    def add_project(self, data: st.DataObject) -> None:
        one, other = an_id(data.draw, self.model, "initiatives"), self.a_project(data)
        self.attempt(
            lambda model: model.link("initiative_projects", one, other),
            "projects.add_initiative_project",
            one,
            other,
        )

    @rule(data=st.data())
    def remove_project(self, data: st.DataObject) -> None:
        one, other = self.an_edge(data, "initiative_projects", "initiatives")
        self.attempt(
            lambda model: model.unlink("initiative_projects", one, other),
            "projects.remove_initiative_project",
            one,
            other,
        )

    @rule(data=st.data(), number=st.integers(0, 4))
    def set_projects(self, data: st.DataObject, number: int) -> None:
        id = an_id(data.draw, self.model, "initiatives")
        project_ids = [self.a_project(data) for _ in range(number)]

        self.attempt(
            lambda model: model.set_links("initiative_projects", id, project_ids),
            "projects.set_initiative_projects",
            id,
            project_ids,
        )

    def a_project(self, data: st.DataObject) -> str:
        return an_id(data.draw, self.model, "projects", 15)

    def an_edge(self, data: st.DataObject, link: str, table: str) -> tuple[str, str]:
        place = {id: number for number, id in enumerate(self.model.tables[table])}
        edges = sorted(self.model.links[link], key=lambda edge: place[edge[0]])
        edges = [edge for edge in edges if edge[0] == edges[0][0]]
        if not edges or data.draw(sometimes(5)):
            return an_id(data.draw, self.model, table), UNKNOWN
        # All of the same row, told apart by what they lead to, in the order of creation.
        target = LINKS[link][1][1]
        order = [*self.model.tables[target]]
        return data.draw(st.sampled_from(sorted(edges, key=lambda edge: order.index(edge[1]))))

    # --- units of work ------------------------------------------------------------------------

    @precondition(lambda self: self.uow is None)
    @rule()
    def begin(self) -> None:
        self.uow = uow = self.store.unit_of_work(label="model")
        self.run(uow.__aenter__())
        self.model = self.stored.copy()
        self.touched, self.outcome = False, None
        self.told["units"] += 1

    begin_now = begin_soon = begin_at_last = begin_again = begin

    @precondition(lambda self: self.uow is not None and not self.savepoints)
    @rule()
    def end(self) -> None:
        self.leave(None)
        self.compare()

    @precondition(lambda self: self.uow is not None)
    @rule()
    def fail(self) -> None:
        self.leave(Undo())
        self.compare()

    @precondition(lambda self: self.uow is not None and not self.savepoints)
    @rule()
    def commit(self) -> None:
        assert self.uow is not None
        self.run(self.uow.commit())
        self.outcome = True if self.touched else None if self.touched is None else self.outcome
        self.touched = False
        self.stored = self.model
        self.model = self.stored.copy()
        self.compare()

    @precondition(lambda self: self.uow is not None and not self.savepoints)
    @rule()
    def roll_back(self) -> None:
        assert self.uow is not None
        self.run(self.uow.rollback())
        self.outcome = False if self.touched else None if self.touched is None else self.outcome
        self.touched = False
        self.model = self.stored.copy()
        self.compare()

    @precondition(lambda self: self.uow is not None and len(self.savepoints) < 3)
    @rule()
    def set_savepoint(self) -> None:
        assert self.uow is not None
        block = self.uow.savepoint()
        self.run(block.__aenter__())
        self.touched = True
        self.savepoints.append((block, self.model.copy()))

    @precondition(lambda self: self.savepoints)
    @rule(fails=st.booleans())
    def end_savepoint(self, fails: bool) -> None:
        self.leave_savepoint(Undo() if fails else None)

    @precondition(lambda self: self.uow is not None)
    @rule(steps=st.integers(0, 6), name=TEXT)
    def cancel(self, steps: int, name: str) -> None:
        """Cancel a call somewhere on its way, and with it the unit of work."""
        uow = self.uow
        assert uow is not None

        async def cancelled() -> None:
            task = asyncio.ensure_future(uow.initiatives.create(name=name))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        self.run(cancelled())
        self.leave_cancelled()
        self.told["cancellations"] += 1
        self.compare()

    def leave_cancelled(self) -> None:
        assert self.uow is not None
        self.savepoints.clear()
        self.touched = self.touched or None
        error = asyncio.CancelledError()
        self.run(self.uow.__aexit__(asyncio.CancelledError, error, None))
        self.left(committed=False)

    @precondition(lambda self: self.uow is not None and not self.savepoints)
    @rule(steps=st.integers(1, 6))
    def cancel_the_commit(self, steps: int) -> None:
        """Cancel the end of a unit of work: it is stored or it is not, and it knows which."""
        uow = self.uow
        assert uow is not None

        async def cancelled() -> None:
            task = asyncio.ensure_future(uow.__aexit__(None, None, None))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None

        self.run(cancelled())
        assert uow.committed is not None
        self.left(committed=uow.committed)
        self.compare()
        self.told["cancellations"] += 1
        # Which of the two it was is chance, and Hypothesis has to find the same in every run.
        self.let_reader_go()
        self.run(self.forget_everything())
        self.stored = self.model = Model()

    # --- a reader that keeps its snapshot -----------------------------------------------------

    @precondition(lambda self: self.reader is None)
    @rule()
    def begin_reading(self) -> None:
        uow = self.store.unit_of_work(read_only=True)
        self.run(uow.__aenter__())
        self.run(uow.initiatives.find_all(limit=1))
        self.reader = (uow, self.stored.copy())

    @precondition(lambda self: self.reader is not None)
    @rule()
    def end_reading(self) -> None:
        assert self.reader is not None
        self.run(self.compare_with(*self.reader))
        self.let_reader_go()
        self.told["snapshots"] += 1

    # --- the clock, crashes, reopens ----------------------------------------------------------

    @rule(minutes=st.integers(-90, 180))
    def move_the_clock(self, minutes: int) -> None:
        self.clock.advance(minutes * 60)

    @rule()
    def reopen(self) -> None:
        if self.uow is not None:
            self.leave(Undo())
        self.let_reader_go()
        self.run(self.store.close())
        self.open_again()

    @rule()
    def crash(self) -> None:
        """Lose every connection, whatever is under way; nothing is lost that was committed."""
        self.told["crashes"] += 1
        if self.database.on_server:
            self.run(terminate_connections(self.url))
            if self.uow is not None and not self.savepoints:
                self.end_lost_unit()
            self.run(self.store.close())
        else:
            self.runner.close()
            terminate(self.store)
            self.runner = asyncio.Runner()
        self.uow = self.reader = None
        self.savepoints.clear()
        self.model = self.stored
        self.open_again()

    def end_lost_unit(self) -> None:
        assert self.uow is not None
        try:
            self.run(self.uow.__aexit__(None, None, None))
        except StoreError:
            assert self.uow.committed is False
        else:
            # It had not begun.
            assert shown_tables(self.model) == shown_tables(self.stored)

    def open_again(self) -> None:
        self.store = self.run(Store.open(self.url, clock=self.clock))
        # The new store has not seen the stamps of the old one, whose clock may have stood still.
        self.last_stamp = datetime.min.replace(tzinfo=UTC)
        self.compare()

    @invariant()
    def no_connection_is_left_behind(self) -> None:
        held = (self.uow is not None) + (self.reader is not None)
        assert self.store.connections_in_use <= held


def shown_tables(model: Model) -> Any:
    return view(model.tables), model.links


def an_entry(draw: Draw) -> Row:
    entry: Row = {
        "entity_type": draw(st.sampled_from(("page", "phase", "task"))),
        "entity_id": draw(st.sampled_from(WORDS)),
        "action": draw(st.sampled_from(("create", "update", "delete"))),
    }
    if draw(st.booleans()):
        entry["previous_state"] = draw(JSON)
    if draw(st.booleans()):
        entry["new_state"] = draw(JSON)
    if draw(st.booleans()):
        entry["sort_order"] = draw(NUMBERS)
    return entry


async def terminate_connections(url: str) -> None:
    """Return when the server has ended all connections, so that no COMMIT meets their end."""
    connection = await driver.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()


# --- the drill --------------------------------------------------------------------------------

VERBS = {
    *("accounts.find_next_available", "accounts.mark_exhausted", "accounts.mark_available"),
    *("accounts.clear_expired_exhaustion", "proposals.update_many_by_agent_id"),
    *("tasks.increment_retry_count", "tasks.reset_retry_count", "conversations.answer"),
    *("change_sets.mark_reverted", "chat_sessions.close_session"),
    *("review_comments.resolve", "review_comments.unresolve", "pages.get_or_create_root_page"),
    *("log_chunks.insert_chunk", "log_chunks.insert_chunks", "log_chunks.delete_by_agent_id"),
    *("tasks.create_many", "proposals.create_many", "messages.create_many"),
    *("log_chunks.create_many", "phases.create_dependency", "phases.delete_dependency"),
    *("tasks.create_dependency", "tasks.delete_dependency"),
    *("phases.set_dependencies", "tasks.set_dependencies", "messages.respond"),
    *("projects.add_initiative_project", "projects.remove_initiative_project"),
    "projects.set_initiative_projects",
}
ROWS = {
    f"{port.repository}.{name}"
    for port in PORTS
    for name in (port.create, port.update if port.changes else None, port.delete)
    if name
}

OF_OTHER_MACHINES = {
    *("change_sets.recording", "change_sets.revert"),
    *("changes.read", "changes.position"),
}
"""Tried with histories of their own, as the claims are (`test_claims_model.py`)."""


def test_the_machine_calls_every_method_of_every_repository() -> None:
    methods = {
        f"{repository}.{name}"
        for repository, port in repositories().items()
        for name, _ in inspect.getmembers(port, inspect.isfunction)
        if not name.startswith("_") and repository != "claims"
    }
    assert methods == {*READS} | VERBS | ROWS | OF_OTHER_MACHINES


def run_machine(drill: Drill, database: Database) -> None:
    told: Counter[str] = Counter()
    attributes = {"database": database, "told": told, "__module__": __name__}
    machine: Any = type(f"On{database.name}", (Machine,), attributes)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=drill.amount(15, 200),
            stateful_step_count=drill.amount(30, 60),
            deadline=None,
            derandomize=not drill.full,  # the same histories in every short run
            # Making a failure smaller runs it hundreds of times, each on real databases.
            phases=[*Phase] if drill.full else [Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=[*cast(Iterable[HealthCheck], HealthCheck)],
            print_blob=True,
            report_multiple_bugs=False,
        ),
    )
    names = ("histories", "calls", "refusals", "units", "snapshots", "cancellations", "crashes")
    figures = [f"{told[name]:,} {name}" for name in (*names, "comparisons")]
    figures.append(f"{len(told.keys() & ({*READS} | VERBS | ROWS))} methods")
    drill.held(", ".join(figures))


def copy_of(template: Path, folder: str) -> str:
    path = Path(tempfile.mkdtemp(dir=folder)) / "cw.db"
    path.write_bytes(template.read_bytes())
    return str(path)


def test_a_file_and_the_model_never_differ(
    drill: Drill, migrated_file: Path, tmp_path: Path
) -> None:
    run_machine(drill, Database("File", False, partial(copy_of, migrated_file, str(tmp_path))))


def test_a_server_and_the_model_never_differ(drill: Drill, postgres: str) -> None:
    run_machine(drill, Database("Server", True, lambda: postgres))
