"""Bad input: every method of every repository refuses every kind, on both databases alike.

Nothing here names a method or a column. The methods are those of the ports, and what each takes
is read from its type hints: plain parameters, the keys of its TypedDicts, the rows and ids in its
sequences. Each is a *place*, and into each place goes every value that its type must not take.
"""

import inspect
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias, Unpack, get_args, get_origin, get_type_hints

import pytest
from drill import Drill
from sqlalchemy import func, select
from typing_extensions import is_typeddict

from cw_store import InvalidValueError, Store, StoreError, UnitOfWork
from cw_store.schema import metadata
from cw_store.testing.postgres_server import PostgresServer
from cw_store.uow import Repositories
from every_port import Column, bad_values, column_of, repositories, sample, shown

Arguments: TypeAlias = dict[str, Any]
Outcome: TypeAlias = tuple[Any, ...]

SMALL_TEXT = 2_000
"""Bytes that a text may have in these stores, so that text which is too long costs nothing."""


# --- what the ports say -----------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """One value that a method takes: a parameter, a keyword, or a part of a sequence."""

    method: "Method"
    label: str
    column: Column
    put: Callable[[Arguments, Any], Arguments]

    def __str__(self) -> str:
        return f"{self.method}({self.label})"

    def bad(self) -> list[Any]:
        if self.column.name == "limit":  # how many rows, so no column's value
            other_types = [v for v in bad_values(self.column) if not isinstance(v, int | None)]
            return [0, -1, -(2**31), True, False, 2**63, *other_types]
        bad = bad_values(self.column)
        if self.column.kind in ("id", "text", "json"):
            bad += ["x" * (SMALL_TEXT + 1), "ä" * (SMALL_TEXT // 2 + 1)]
        if self.column.kind == "json":
            bad.append({"long": ["x" * SMALL_TEXT]})
        return bad


@dataclass(frozen=True)
class Method:
    """One method of a port, taken apart by its signature."""

    repository: str
    name: str
    parameters: Mapping[str, Column]
    required: frozenset[str]
    keywords: type | None
    """The TypedDict of its `**values` or `**changes`."""
    rows: Mapping[str, type]
    """The TypedDicts of its sequences of rows."""
    ids: tuple[str, ...]
    """Its sequences of ids."""
    expected: type | None
    """The TypedDict of what the row must hold."""
    several: Mapping[str, Column]
    """What it takes any number of, one after the other."""
    returns: Any

    def __str__(self) -> str:
        return f"{self.repository}.{self.name}"

    async def call(self, repositories: Repositories, arguments: Arguments) -> Any:
        in_line = [value for name in self.several for value in arguments[name]]
        named = {name: value for name, value in arguments.items() if name not in self.several}
        result = getattr(getattr(repositories, self.repository), self.name)(*in_line, **named)
        if hasattr(result, "__aiter__"):
            return [item async for item in result]
        return await result

    def places(self) -> Iterator[Place]:
        for name, column in self.parameters.items():
            yield Place(self, name, column, partial(_put, name))
        for name, column in columns_of(self.keywords, self.repository).items():
            yield Place(self, f"**{name}", column, partial(_put, name))
        for name, row in self.rows.items():
            for key, column in columns_of(row, self.repository).items():
                yield Place(self, f"{name}[1].{key}", column, partial(_put_in_row, name, key))
        for name in self.ids:
            yield Place(self, f"{name}[1]", Column("id", "id", False), partial(_put_item, name))
        for name, column in self.several.items():
            yield Place(self, f"*{name}[1]", column, partial(_put_item, name))
        for name, column in columns_of(self.expected, self.repository).items():
            of_null = replace(column, nullable=True)  # any column may be expected to be NULL
            yield Place(self, f"expected[{name}]", of_null, partial(_put_expected, name))


def _put(name: str, arguments: Arguments, value: Any) -> Arguments:
    return {**arguments, name: value}


def _put_item(name: str, arguments: Arguments, value: Any) -> Arguments:
    first, _, *others = arguments[name]
    return {**arguments, name: [first, value, *others]}


def _put_in_row(name: str, key: str, arguments: Arguments, value: Any) -> Arguments:
    return _put_item(name, arguments, {**arguments[name][1], key: value})


def _put_expected(name: str, arguments: Arguments, value: Any) -> Arguments:
    return {**arguments, "expected": {name: value}}


def columns_of(typed_dict: type | None, repository: str) -> dict[str, Column]:
    hints = {} if typed_dict is None else get_type_hints(typed_dict, include_extras=True)
    optional: frozenset[str] = getattr(typed_dict, "__optional_keys__", frozenset())
    columns = {name: column_of(name, hint, repository) for name, hint in hints.items()}
    return {
        name: Column(name, one.kind, one.nullable, name not in optional, one.choices)
        for name, one in columns.items()
    }


def taken_apart(repository: str, name: str, function: Callable[..., Any]) -> Method:
    hints = get_type_hints(function, include_extras=True)
    parameters: dict[str, Column] = {}
    required: set[str] = set()
    rows: dict[str, type] = {}
    ids: list[str] = []
    keywords: type | None = None
    expected: type | None = None
    several: dict[str, Column] = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        hint = hints[parameter.name]
        if get_origin(hint) is Unpack:
            (keywords,) = get_args(hint)
        elif get_origin(hint) is Sequence:
            (item,) = get_args(hint)
            if is_typeddict(item):
                rows[parameter.name] = item
            else:
                assert item is str
                ids.append(parameter.name)
        elif parameter.name == "expected":
            expected, _ = get_args(hint)
        elif parameter.name == "claim":
            continue  # no value of a column; what is no claim is tried where the fences are
        elif parameter.kind is parameter.VAR_POSITIONAL:
            several[parameter.name] = column_of(parameter.name, hint, repository)
        else:
            parameters[parameter.name] = column_of(parameter.name, hint, repository)
            if parameter.default is parameter.empty:
                required.add(parameter.name)
    return Method(
        repository,
        name,
        parameters,
        frozenset(required),
        keywords,
        rows,
        tuple(ids),
        expected,
        several,
        hints["return"],
    )


OF_VALUES = {
    repository: port
    for repository, port in repositories().items()
    if repository not in ("claims", "changes")
}
"""The ports that take values of columns.

Claims take claims, and test_claims.py tries the rest; changes take a cursor and names of tables,
which test_feed.py tries.
"""

METHODS = [
    taken_apart(repository, name, function)
    for repository, port in OF_VALUES.items()
    for name, function in inspect.getmembers(port, inspect.isfunction)
    # A block of a unit's alone, tried in test_recording.py.
    if not name.startswith("_") and name != "recording"
]
PLACES = [place for method in METHODS for place in method.places()]


# --- arguments that are good but for one value ------------------------------------------------


class RowOfEveryKind:
    """Rows, made from the TypedDicts alone, and valid arguments that use them."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._second: dict[str, str] = {}
        self.creating: list[Method] = []

    async def add_all(self, repositories: Repositories) -> None:
        waiting = [method for method in METHODS if method.keywords and _is_record(method.returns)]
        waiting = [method for method in waiting if method.name.startswith("create")]
        while waiting:
            ready = [method for method in waiting if self._has_parents(method)]
            assert ready, f"the tests do not know how to make the parents of {waiting}"
            for method in ready:
                record = await method.call(repositories, self.arguments(method))
                self._ids[_snake_case(type(record).__name__)] = record.id
                if method.repository not in self._first:
                    self._first[method.repository] = record.id
                    another = await method.call(repositories, self.arguments(method))
                    self._second[method.repository] = another.id
                self.creating.append(method)
                waiting.remove(method)

    def arguments(self, method: Method) -> Arguments:
        """Return the least valid arguments."""
        given: Arguments = {
            name: self._value(method, column)
            for name, column in method.parameters.items()
            if name in method.required
        }
        if required_keys(method.keywords):  # it makes a row, and does not change one
            given |= self._row(method, method.keywords)
        given |= {name: [self._row(method, row)] * 3 for name, row in method.rows.items()}
        given |= {name: [self._of_kind(method, name.removesuffix("s"))] * 3 for name in method.ids}
        given |= {name: [sample(column)] * 3 for name, column in method.several.items()}
        return given

    def _of_kind(self, method: Method, name: str) -> str:
        parent = self._parent(name)
        return self._second[method.repository] if parent is None else self._ids[parent]

    def _row(self, method: Method, typed_dict: type | None) -> Arguments:
        return {
            name: self._value(method, column)
            for name, column in columns_of(typed_dict, method.repository).items()
            if column.required or self._parent(name) in self._ids
        }

    def _value(self, method: Method, column: Column) -> Any:
        if column.name == "id" and method.repository in self._first and not method.keywords:
            return self._first[method.repository]
        if column.name == "id" and "id" in method.parameters:
            return self._first[method.repository]
        if column.name == "limit":
            return 1
        parent = self._parent(column.name)
        return self._ids[parent] if parent in self._ids else sample(column)

    def _has_parents(self, method: Method) -> bool:
        needed = [name for name, one in columns_of(method.keywords, "").items() if one.required]
        parents = {self._parent(name) for name in needed} - {None}
        return parents <= self._ids.keys()

    @staticmethod
    def _parent(name: str) -> str | None:
        """Return the kind of row that a key points to: `from_agent_id` is an agent's."""
        stem = name.removesuffix("_id")
        kinds = [kind for kind in KINDS if stem == kind or stem.endswith("_" + kind)]
        return max(kinds, key=len) if stem != name and kinds else None


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and hasattr(hint, "__dataclass_fields__")


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


KINDS = {
    _snake_case(method.returns.__name__)
    for method in METHODS
    if method.keywords and _is_record(method.returns)
}


# --- what came of a call ----------------------------------------------------------------------


async def outcome_of(call: Awaitable[Any]) -> Outcome:
    """Return what came of a call, as far as it has to be the same on both databases."""
    try:
        result = await call
    except StoreError as error:
        facts = [getattr(error, name, None) for name in ("table", "column", "columns", "reason")]
        return (type(error).__name__, *facts)
    except TypeError as error:
        return ("TypeError", _is_about_the_call(error))
    except Exception as error:
        return ("a foreign error", type(error).__module__, type(error).__name__, str(error)[:200])
    return ("returned", "nothing" if result is None else type(result).__name__)


def _is_about_the_call(error: TypeError) -> bool:
    return error.__cause__ is None


def complaint(place: Place, outcome: Outcome) -> str | None:
    if outcome[0] != InvalidValueError.__name__:
        return f"{outcome}"
    _, table, column, _, reason = outcome
    if table not in metadata.tables:
        return f"named the table {table}"
    if column != place.column.name and column not in metadata.tables[table].columns:
        return f"named the column {column}"
    if place.label.startswith("**") and column != place.column.name:
        return f"named the column {column}"
    return None if reason else "gave no reason"


async def contents(uow: UnitOfWork) -> dict[str, list[Any]]:
    """Return every row of every table."""
    found: dict[str, list[Any]] = {}
    for table in metadata.sorted_tables:
        statement = select(table).order_by(*table.primary_key.columns)
        found[table.name] = [tuple(row) for row in await uow.session.execute(statement)]
    return found


async def counts(uow: UnitOfWork) -> dict[str, int]:
    return {
        table.name: (
            await uow.session.execute(select(func.count()).select_from(table))
        ).scalar_one()
        for table in metadata.sorted_tables
    }


async def still_usable(uow: UnitOfWork) -> None:
    await uow.initiatives.find_all(limit=1)


Cases: TypeAlias = list[tuple[str, Outcome]]


async def same_on_both(
    both_stores: Mapping[str, Store], run: Callable[[Store], Awaitable[Cases]]
) -> int:
    """Run on each database, compare what came of each case, return how many there were."""
    results = {name: await run(store) for name, store in both_stores.items()}
    first, *others = results.values()
    for other in others:
        assert [case for case in first if case not in other] == []
        assert first == other
    return len(first) * len(results)


@pytest.fixture(scope="module")
def both_urls(
    tmp_path_factory: pytest.TempPathFactory, drill_server: PostgresServer
) -> Iterator[dict[str, str]]:
    """A database of each kind for the whole file: what is refused leaves it as it was."""
    postgres = drill_server.create_database()
    yield {"SQLite": str(tmp_path_factory.mktemp("bad-input") / "cw.db"), "PostgreSQL": postgres}
    drill_server.drop_database(postgres)


@pytest.fixture
async def both_stores(both_urls: Mapping[str, str]) -> AsyncIterator[dict[str, Store]]:
    """An open store on each database, which takes no long text."""
    async with AsyncExitStack() as stack:
        stores = {
            name: await stack.enter_async_context(Store(url, max_text_bytes=SMALL_TEXT))
            for name, url in both_urls.items()
        }
        yield stores
        assert [store.connections_in_use for store in stores.values()] == [0, 0]


# --- the drill --------------------------------------------------------------------------------


def test_the_ports_were_taken_apart_completely() -> None:
    """The rest of this file would hold for an empty matrix too."""
    assert {method.repository for method in METHODS} == set(OF_VALUES)
    assert len(OF_VALUES) == 15
    assert len(METHODS) >= 120
    keys = {f"{place}" for place in PLACES}
    assert {
        "tasks.create(**order)",
        "tasks.create_many(rows[1].parent_task_id)",
        "change_sets.create(entries[1].new_state)",
        "projects.set_initiative_projects(project_ids[1])",
        "chat_sessions.update_session(**status)",
        "log_chunks.stream_by_agent_id(session_number)",
        "accounts.mark_exhausted(until)",
        "proposals.update_many_by_agent_id(**metadata)",
        "tasks.set_dependencies(depends_on_ids[1])",
        "agents.find_by_status(*statuses[1])",
        "tasks.update(expected[parent_task_id])",
    } <= keys
    kinds = Counter(place.column.kind for place in PLACES)
    assert min(kinds.values()) >= 5, kinds
    assert len(kinds) == 7


async def test_every_method_takes_what_its_hints_say(both_stores: Mapping[str, Store]) -> None:
    """A bad value is refused for itself only if the rest of the call is good."""

    async def run(store: Store) -> Cases:
        rows = RowOfEveryKind()
        cases: Cases = []
        async with store.unit_of_work() as uow:
            await rows.add_all(uow)
            for method in METHODS:
                arguments = rows.arguments(method)
                cases.append((f"{method}", await tried(uow, method, arguments)))
        return cases

    await same_on_both(both_stores, run)
    for store in both_stores.values():
        for case, (kind, *_) in await run(store):
            expected = {"returned"}
            if case.endswith("_dependency") or case.endswith(".remove_initiative_project"):
                expected |= {"NotFoundError", "BrokenReferenceError"}
            if case == "change_sets.revert":
                expected = {"InvalidValueError"}  # of the set's own states, which are made up
            assert kind in expected, case


class Undo(Exception):
    pass


async def tried(uow: UnitOfWork, method: Method, arguments: Arguments) -> Outcome:
    """Return what comes of a call and undo it."""
    outcome: Outcome = ()
    try:
        async with uow.savepoint():
            outcome = await outcome_of(method.call(uow, arguments))
            raise Undo
    except Undo:
        return outcome


@pytest.mark.parametrize("through", ["unit of work", "store"])
async def test_every_kind_of_bad_input_is_refused_everywhere(
    both_stores: Mapping[str, Store], through: str, drill: Drill
) -> None:
    started = time.perf_counter()

    async def run(store: Store) -> Cases:
        rows = RowOfEveryKind()
        async with store.unit_of_work() as uow:
            await rows.add_all(uow)
        async with store.unit_of_work(read_only=True) as uow:
            before, counted = await contents(uow), await counts(uow)
        assert min(counted[name] for name in counted if "_dependencies" not in name) >= 0
        cases: Cases = []
        complaints: list[str] = []
        async with store.unit_of_work() as uow:
            for place in PLACES:
                arguments = rows.arguments(place.method)
                for value in place.bad():
                    repositories = uow if through == "unit of work" else store
                    call = place.method.call(repositories, place.put(arguments, value))
                    outcome = await outcome_of(call)
                    cases.append((f"{place} = {shown(value)}", outcome))
                    if said := complaint(place, outcome):
                        complaints.append(f"{place} = {shown(value)}: {said}")
                if through == "unit of work":
                    await still_usable(uow)
            assert complaints == []
            assert await contents(uow) == before
        assert uow.committed is True
        async with store.unit_of_work(read_only=True) as uow:
            assert await counts(uow) == counted
            assert await contents(uow) == before
        return cases

    number = await same_on_both(both_stores, run)
    drill.held(
        f"{number} cases, {len(PLACES)} places, {len(METHODS)} methods, "
        f"{len(both_stores)} databases, {time.perf_counter() - started:.1f} s",
    )


async def test_unknown_and_missing_keywords_are_type_errors(
    both_stores: Mapping[str, Store],
) -> None:
    async def run(store: Store) -> Cases:
        rows = RowOfEveryKind()
        cases: Cases = []
        async with store.unit_of_work() as uow:
            await rows.add_all(uow)
            before = await contents(uow)
            for method in METHODS:
                arguments = rows.arguments(method)
                for label, wrong in keyword_mistakes(method, arguments):
                    outcome = await outcome_of(_called(method, uow, wrong))
                    cases.append((f"{method} {label}", outcome))
                    assert outcome[0] == "TypeError", (f"{method} {label}", outcome)
            await still_usable(uow)
            assert await contents(uow) == before
        assert uow.committed is True
        return cases

    await same_on_both(both_stores, run)


async def _called(method: Method, uow: UnitOfWork, arguments: Arguments) -> Any:
    return await method.call(uow, arguments)


def keyword_mistakes(method: Method, arguments: Arguments) -> Iterator[tuple[str, Arguments]]:
    for unknown in ("nonsense", "created_at", "updated_at", "id; --", "", "ID"):
        yield f"with {unknown!r}", {**arguments, unknown: "x"}
        for name in method.rows:
            row = {**arguments[name][0], unknown: "x"}
            yield f"with {name}[1].{unknown!r}", _put_item(name, arguments, row)
    for missing in method.required | required_keys(method.keywords):
        yield f"without {missing}", _without(missing, arguments)
    for name, row in method.rows.items():
        for missing in required_keys(row):
            changed = _without(missing, arguments[name][0])
            yield f"without {name}[1].{missing}", _put_item(name, arguments, changed)


def required_keys(typed_dict: type | None) -> frozenset[str]:
    return getattr(typed_dict, "__required_keys__", frozenset())


def _without(missing: str, arguments: Arguments) -> Arguments:
    return {name: value for name, value in arguments.items() if name != missing}


async def test_what_is_no_sequence_of_rows_is_refused(both_stores: Mapping[str, Store]) -> None:
    async def run(store: Store) -> Cases:
        rows = RowOfEveryKind()
        cases: Cases = []
        async with store.unit_of_work() as uow:
            await rows.add_all(uow)
            before = await contents(uow)
            for method in METHODS:
                arguments = rows.arguments(method)
                for name in (*method.rows, *method.ids):
                    good = arguments[name][0]
                    wrongs = (None, 5, True, 1.5, object(), [good, None], [good, 5], [[good]])
                    for number, wrong in enumerate(wrongs):
                        call = _called(method, uow, {**arguments, name: wrong})
                        outcome = await outcome_of(call)
                        cases.append((f"{method}({name} = wrong {number})", outcome))
                        await still_usable(uow)
            refusals = ("TypeError", InvalidValueError.__name__)
            assert [case for case in cases if case[1][0] not in refusals] == []
            assert await contents(uow) == before
        assert uow.committed is True
        return cases

    await same_on_both(both_stores, run)


async def test_an_id_of_nothing_has_the_same_outcome_on_both_databases(
    both_stores: Mapping[str, Store], drill: Drill
) -> None:
    async def run(store: Store) -> Cases:
        rows = RowOfEveryKind()
        cases: Cases = []
        async with store.unit_of_work() as uow:
            await rows.add_all(uow)
            before = await contents(uow)
            for place in PLACES:
                if place.column.kind != "id":
                    continue
                arguments = place.put(rows.arguments(place.method), "unknown")
                outcome = await tried(uow, place.method, arguments)
                cases.append((f"{place}", outcome))
                assert outcome[0] != "a foreign error", (f"{place}", outcome)
                if outcome[0] == "BrokenReferenceError":
                    _, table, _, columns, _ = outcome
                    assert columns, f"{place} names no column"
                    assert set(columns) <= set(_references(table))
            assert await contents(uow) == before
            for method in rows.creating:
                other = await method.call(uow, rows.arguments(method))
                taken = {**rows.arguments(method), "id": other.id}
                outcome = await tried(uow, method, taken)
                cases.append((f"{method} twice", outcome))
                assert outcome[0] == "AlreadyExistsError", (f"{method} twice", outcome)
        assert uow.committed is True
        return cases

    number = await same_on_both(both_stores, run)
    drill.held(f"{number} cases")


def _references(table: Any) -> tuple[str, ...]:
    return tuple(key.parent.name for key in metadata.tables[table].foreign_keys)


async def test_text_over_sixteen_mebibytes_is_refused(both_urls: Mapping[str, str]) -> None:
    longest = "x" * (16 * 1024 * 1024)
    for url in both_urls.values():
        async with Store(url) as store, store.unit_of_work() as uow:
            created = await uow.initiatives.create(name=longest)
            assert created.name == longest
            for bad in (longest + "x", "ä" + longest[1:]):
                with pytest.raises(InvalidValueError):
                    await uow.initiatives.create(name=bad)
            await uow.rollback()
