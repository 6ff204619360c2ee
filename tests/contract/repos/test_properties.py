"""What holds for all values and for all orders of calls, looked for by Hypothesis.

An example uses rows of its own in the one store that the test has.
"""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, SearchStrategy

from builders import add_account, add_initiative, add_phase, add_project, add_task, unique
from cw_store import (
    AlreadyExistsError,
    DependencyCycleError,
    NotFoundError,
    PhaseRepository,
    Store,
    TaskRepository,
)
from cw_store.testing import START, SteppableClock
from every_port import PORTS, Column, Port


def examples(number: int) -> settings:
    return settings(
        max_examples=number,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
hostile = st.sampled_from(
    ["", " ", "'", '"', "\\", "%", "_", "\r\n", "--", "/*", "NULL", "\ufeff", "\U0010ffff", "\x7f"]
)
floats = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [1e308, -1e308, -0.0, 5e-324, 2.2250738585072014e-308, 0.1, 1e15, 1e16, 1e22, 2.0**63]
)
integers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**53 + 1, 2**63 - 1, -(2**63)])
documents: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | integers | floats | texts | hostile,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
zones = st.builds(
    timezone,
    st.integers(-86_399, 86_399).map(lambda seconds: timedelta(seconds=seconds)),
) | st.just(UTC)
timestamps = st.datetimes(
    min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=zones
)


def values_of(column: Column, port: Port) -> SearchStrategy[Any]:
    """Return all values that the column takes, `None` included where it may be."""
    match column.kind:
        case "id":
            values = texts.filter(bool)
        case "text":
            values = texts | hostile
        case "choice":
            values = st.sampled_from(column.choices)
        case "integer":
            values = st.integers(column.least, column.most)
        case "flag":
            values = st.booleans()
        case "timestamp":
            values = timestamps
        case "json":
            values = documents
    if column.name in port.unique:
        values = texts.map(unique)
    return st.none() | values if column.nullable else values


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [port for port in PORTS if port.find], ids=str)
@given(data=st.data())
@examples(25)
async def test_a_row_comes_back_as_it_was_given(store: Store, port: Port, data: DataObject) -> None:
    columns = [column for column in port.free(port.new_columns()) if column.name != "id"]
    values = {column.name: data.draw(values_of(column, port), column.name) for column in columns}
    id = unique(data.draw(texts, "id"))
    async with store.unit_of_work() as uow:
        created = await port.add(uow, **values, id=id)
    found = await port.method(store, port.find)(id)
    assert found == created
    assert {name: getattr(found, name) for name in values} == values


@pytest.mark.parametrize("port", [port for port in PORTS if port.changes], ids=str)
@given(data=st.data())
@examples(25)
async def test_an_update_changes_exactly_what_was_passed(
    store: Store, port: Port, data: DataObject
) -> None:
    columns = port.changeable_columns()
    names = data.draw(st.sets(st.sampled_from([column.name for column in columns])), "columns")
    async with store.unit_of_work() as uow:
        before = await port.add(uow)
        changes: dict[str, Any] = {}
        for column in columns:
            if column.name not in names:
                continue
            if column.name not in port.foreign_keys:
                changes[column.name] = data.draw(values_of(column, port), column.name)
            elif column.name in port.references:
                other = await port.references[column.name](uow)
                changes[column.name] = data.draw(st.sampled_from([None, other.id]), column.name)
        updated = await port.method(uow, port.update)(before.id, **changes)
    assert updated.updated_at > before.updated_at
    derived = {"agent_alias": updated.agent_alias} if port.table == "errands" else {}
    assert updated == replace(before, **changes, updated_at=updated.updated_at, **derived)
    assert await port.method(store, port.find)(before.id) == updated


@given(timestamp=timestamps, fold=st.sampled_from([0, 1]))
@examples(50)
async def test_a_time_in_any_zone_comes_back_equal_and_in_utc(
    store: Store, timestamp: datetime, fold: int
) -> None:
    project = await add_project(store, last_fetched_at=timestamp.replace(fold=fold))
    found = await store.projects.find_by_id(project.id)
    assert found is not None
    for time in (project.last_fetched_at, found.last_fetched_at):
        assert time is not None
        assert time == timestamp
        assert time.tzinfo is UTC
        assert time.microsecond == timestamp.microsecond


# --- rotation ---------------------------------------------------------------------------------

steps = st.sampled_from([0.0, 0.000001, 1.0, 3_600.0, -0.000001, -1.0, -86_400.0])


@given(
    accounts=st.lists(st.integers(-2, 2), min_size=1, max_size=5),
    walk=st.lists(steps, max_size=25),
    in_one=st.booleans(),
)
@examples(40)
async def test_rotation_stays_even_whatever_the_clock_does(
    store: Store, clock: SteppableClock, accounts: list[int], walk: list[float], in_one: bool
) -> None:
    clock.set(START)
    provider = unique("provider")
    async with store.unit_of_work() as uow:
        ids = [
            (await add_account(uow, provider=provider, sort_order=sort_order)).id
            for sort_order in accounts
        ]
    claims = Counter(dict.fromkeys(ids, 0))
    async with store.unit_of_work() as uow:
        for step in walk:
            repository = uow.accounts if in_one else store.accounts
            if not in_one:
                await uow.commit()
            account = await repository.find_next_available(provider)
            assert account is not None
            claims[account.id] += 1
            assert max(claims.values()) - min(claims.values()) <= 1
            clock.advance(step)


@given(data=st.data())
@examples(40)
async def test_a_claim_takes_the_least_recently_used_of_those_that_can_be_used(
    store: Store, clock: SteppableClock, data: DataObject
) -> None:
    clock.set(START)
    provider = unique("provider")
    names = data.draw(st.lists(st.sampled_from("aAbBcZ"), min_size=1, max_size=5, unique=True))
    ids = [unique(name) for name in names]
    order = {id: data.draw(st.integers(0, 1), "sort_order") for id in ids}
    async with store.unit_of_work() as uow:
        for id in ids:
            await add_account(uow, id=id, provider=provider, sort_order=order[id])
    turns = count(1)
    used = dict.fromkeys(ids, 0)
    out: dict[str, datetime | None] = {}
    for _ in range(data.draw(st.integers(0, 20), "calls")):
        match data.draw(st.sampled_from(["claim", "claim", "claim", "out", "in", "clear", "wait"])):
            case "claim":
                usable = [
                    id
                    for id in ids
                    if id not in out or ((until := out[id]) is not None and until < clock.now)
                ]
                claimed = await store.accounts.find_next_available(provider)
                if not usable:
                    assert claimed is None
                    continue
                assert claimed is not None
                assert claimed.id == min(usable, key=lambda id: (used[id], order[id], id))
                used[claimed.id] = next(turns)
            case "out":
                id = data.draw(st.sampled_from(ids))
                # Half a second, so that no time is exactly the clock's.
                seconds = data.draw(st.none() | st.integers(-3, 10))
                until = None if seconds is None else clock.after(seconds + 0.5)
                await store.accounts.mark_exhausted(id, until)
                former = out.get(id, until)
                out[id] = None if until is None or former is None else max(until, former)
            case "in":
                id = data.draw(st.sampled_from(ids))
                out.pop(id, None)
                await store.accounts.mark_available(id)
            case "clear":
                expired = [id for id, until in out.items() if until and until < clock.now]
                assert await store.accounts.clear_expired_exhaustion() >= len(expired)
                for id in expired:
                    del out[id]
                    account = await store.accounts.find_by_id(id)
                    assert account is not None
                    assert (account.is_exhausted, account.exhausted_until) == (False, None)
            case _:
                clock.advance(data.draw(st.integers(0, 5), "seconds"))


# --- dependencies -----------------------------------------------------------------------------

Edge = tuple[int, int]
edges = st.tuples(st.integers(0, 4), st.integers(0, 4))
calls = st.lists(st.tuples(st.sampled_from(["create", "create", "create", "delete"]), edges))


def leads(graph: set[Edge], start: int, end: int) -> bool:
    """Tell whether there is a way from `start` to `end`, of any length, nought included."""
    seen = {start}
    for _ in range(5):
        seen |= {target for source, target in graph if source in seen}
    return end in seen


@pytest.mark.parametrize("nodes", ["phases", "tasks"])
@given(calls=calls)
@examples(40)
async def test_dependencies_never_form_a_cycle(
    store: Store, nodes: str, calls: list[tuple[str, Edge]]
) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow)
        add = add_phase if nodes == "phases" else add_task
        ids = [(await add(uow, initiative_id=initiative.id)).id for _ in range(5)]
    repository: PhaseRepository | TaskRepository = getattr(store, nodes)
    graph: set[Edge] = set()
    for call, (start, end) in calls:
        if call == "delete":
            if (start, end) in graph:
                await repository.delete_dependency(ids[start], ids[end])
                graph.remove((start, end))
            else:
                with pytest.raises(NotFoundError):
                    await repository.delete_dependency(ids[start], ids[end])
        elif (start, end) in graph:
            with pytest.raises(AlreadyExistsError):
                await repository.create_dependency(ids[start], ids[end])
        elif leads(graph, end, start):
            with pytest.raises(DependencyCycleError) as caught:
                await repository.create_dependency(ids[start], ids[end])
            path = [ids.index(id) for id in caught.value.path]
            assert path[0] == path[-1]
            steps = set(pairwise(path))
            assert (start, end) in steps
            assert steps <= graph | {(start, end)}
        else:
            await repository.create_dependency(ids[start], ids[end])
            graph.add((start, end))
    found = await repository.find_dependencies_by_initiative_id(initiative.id)
    column = nodes.removesuffix("s")
    pairs = {
        (
            ids.index(getattr(edge, f"{column}_id")),
            ids.index(getattr(edge, f"depends_on_{column}_id")),
        )
        for edge in found
    }
    assert pairs == graph
    assert len(found) == len(graph)
