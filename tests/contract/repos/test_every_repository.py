"""What holds for every repository, checked for each of them."""

import asyncio
import inspect
import random
import string
from collections.abc import Awaitable
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from datetime import UTC
from typing import Any, cast, get_type_hints

import pytest
from sqlalchemy import func, select, table

from builders import (
    Repos,
    add_agent,
    add_page,
    add_phase,
    add_proposal,
    add_task,
    unique,
)
from cw_store import (
    AlreadyExistsError,
    BrokenReferenceError,
    InvalidValueError,
    NewTask,
    NotFoundError,
    ProposalStatus,
    StaleStateError,
    Store,
    StoreError,
    TaskExpected,
)
from cw_store.schema import metadata
from cw_store.testing import SteppableClock
from cw_store.types import MAX_INDEXED_BYTES, IndexedText
from every_port import (
    PORTS,
    PROTOCOLS,
    Column,
    Port,
    bad_values,
    column_of,
    disguised,
    nested,
    parts,
    sample,
    shown,
)

FOUND = [port for port in PORTS if port.find]
CHANGED = [port for port in PORTS if port.changes]
DELETED = [port for port in PORTS if port.delete]

HOSTILE_IDS = [
    "'",
    "''; DROP TABLE tasks; --",
    '"',
    "`",
    "%",
    "_",
    "a%b_c",
    "\\",
    "-- comment",
    "/* comment */",
    "#",
    ";",
    ":id",
    "?",
    "$1",
    "{0}",
    "%(id)s",
    " ",
    " padded ",
    "\t\r\n",
    "NULL",
    "0",
    "1e3",
    "ä",
    "a\u0308",
    "日本語",
    "\U0001f600",
    "\u202e",
    "\ufeff",
    "\x7f\x01",
    "x" * 2_000,
]


async def count_rows(repos: Store, name: str) -> int:
    async with repos.unit_of_work(read_only=True) as uow:
        return (
            await uow.session.execute(select(func.count()).select_from(table(name)))
        ).scalar_one()


async def refusal(call: Awaitable[object]) -> InvalidValueError | str:
    """Return the error that the call is refused with, or else what happened instead."""
    try:
        result = await call
    except InvalidValueError as error:
        return error
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    return f"returned {shown(result)}"


# --- create, find, delete ---------------------------------------------------------------------


@pytest.mark.parametrize("port", FOUND, ids=str)
async def test_what_was_created_is_found_again(store: Store, port: Port) -> None:
    async with store.unit_of_work() as uow:
        values = await port.minimal(uow)
        created = await port.method(uow, port.create)(**values)
        assert await port.method(uow, port.find)(created.id) == created
    async with store.unit_of_work(read_only=True) as uow:
        found = await port.method(uow, port.find)(created.id)
    assert type(created) is type(found) is port.record
    assert found == created
    for name, value in values.items():
        assert getattr(found, name) == value


@pytest.mark.parametrize("port", FOUND, ids=str)
async def test_every_column_that_create_takes_is_stored(store: Store, port: Port) -> None:
    async with store.unit_of_work() as uow:
        values = {column.name: sample(column) for column in port.free(port.new_columns())}
        created = await port.add(uow, **values)
    found = await port.method(store, port.find)(created.id)
    assert found == created
    assert {name: getattr(found, name) for name in values} == values


@pytest.mark.parametrize("port", FOUND, ids=str)
async def test_what_is_returned_is_what_is_read_in_type_too(store: Store, port: Port) -> None:
    values = {column.name: disguised(column) for column in port.free(port.new_columns())}
    created = await port.add(store, **values)
    found = await port.method(store, port.find)(created.id)
    assert parts_of(created) == parts_of(found)
    if port.changes:
        columns = port.free(port.changeable_columns())
        changes = {column.name: disguised(column) for column in columns}
        updated = await port.method(store, port.update)(created.id, **changes)
        found = await port.method(store, port.find)(created.id)
        assert parts_of(updated) == parts_of(found)


def parts_of(record: Any) -> dict[str, Any]:
    return {field.name: parts(getattr(record, field.name)) for field in fields(record)}


@pytest.mark.parametrize("port", FOUND, ids=str)
async def test_every_column_that_may_be_none_takes_none(store: Store, port: Port) -> None:
    nullable = [column.name for column in port.new_columns() if column.nullable]
    async with store.unit_of_work() as uow:
        created = await port.add(uow, **dict.fromkeys(nullable))
    found = await port.method(store, port.find)(created.id)
    assert found == created
    assert [name for name in nullable if getattr(found, name) is not None] == []


@pytest.mark.parametrize("port", PORTS, ids=str)
async def test_each_call_on_the_store_is_a_transaction_of_its_own(store: Store, port: Port) -> None:
    before = await count_rows(store, port.table)
    created = await port.add(store)
    assert await count_rows(store, port.table) == before + 1
    if port.find:
        assert await port.method(store, port.find)(created.id) == created
    if port.changes:
        assert (await port.method(store, port.update)(created.id)).id == created.id
    if port.delete:
        assert await port.method(store, port.delete)(created.id) is None
        assert await count_rows(store, port.table) == before


@pytest.mark.parametrize("port", FOUND, ids=str)
async def test_an_unknown_id_is_none(store: Store, port: Port) -> None:
    await port.add(store)
    for unknown in ("unknown", "%", "_", "' OR 1=1 --"):
        assert await port.method(store, port.find)(unknown) is None


@pytest.mark.parametrize("port", PORTS, ids=str)
async def test_an_id_is_made_up_unless_it_is_given(store: Store, port: Port) -> None:
    if port.table != "errands":  # an errand's id is always the caller's
        created = {(await port.add(store)).id for _ in range(3)}
        assert len(created) == 3
        assert all(isinstance(id, str) and len(id) >= 10 for id in created)
    assert (await port.add(store, id="mine")).id == "mine"


@pytest.mark.parametrize("port", PORTS, ids=str)
async def test_an_id_is_given_only_once(store: Store, port: Port) -> None:
    async with store.unit_of_work() as uow:
        first = await port.add(uow, id="mine")
        values = {**await port.minimal(uow), "id": "mine"}
    with pytest.raises(AlreadyExistsError) as caught:
        async with store.unit_of_work() as uow:
            await port.method(uow, port.create)(**values)
    assert (caught.value.table, caught.value.columns) == (port.table, ("id",))
    assert caught.value.__cause__ is not None
    with pytest.raises(AlreadyExistsError):
        await port.method(store, port.create)(**values)
    if port.find:
        assert await port.method(store, port.find)("mine") == first


@pytest.mark.parametrize("port", DELETED, ids=str)
async def test_what_was_deleted_is_gone(store: Store, port: Port) -> None:
    async with store.unit_of_work() as uow:
        kept, created = await port.add(uow), await port.add(uow)
        assert await port.method(uow, port.delete)(created.id) is None
        assert await port.method(uow, port.find)(created.id) is None
        with pytest.raises(NotFoundError) as caught:
            await port.method(uow, port.delete)(created.id)
        assert (caught.value.table, caught.value.id) == (port.table, created.id)
        assert isinstance(caught.value, LookupError)
    assert await port.method(store, port.find)(created.id) is None
    assert await port.method(store, port.find)(kept.id) == kept
    with pytest.raises(NotFoundError):
        await port.method(store, port.delete)(created.id)


@pytest.mark.parametrize("port", FOUND, ids=str)
async def test_any_text_can_be_an_id(store: Store, port: Port) -> None:
    async with store.unit_of_work() as uow:
        created = {id: await port.add(uow, id=id) for id in HOSTILE_IDS}
        for id in HOSTILE_IDS:
            assert created[id].id == id
            if port.changes:
                created[id] = await port.method(uow, port.update)(id)
    async with store.unit_of_work() as uow:
        for id in HOSTILE_IDS:
            assert await port.method(uow, port.find)(id) == created[id]
        for number, id in enumerate(HOSTILE_IDS):
            await port.method(uow, port.delete)(id)
            assert await port.method(uow, port.find)(id) is None
            for other in HOSTILE_IDS[number + 1 : number + 3]:
                assert await port.method(uow, port.find)(other) == created[other]


# --- records and times ------------------------------------------------------------------------


@pytest.mark.parametrize("port", PORTS, ids=str)
async def test_a_record_is_a_plain_value(store: Store, port: Port) -> None:
    created = await port.add(store)
    name = fields(created)[-1].name
    with pytest.raises(FrozenInstanceError):
        setattr(created, name, None)
    assert not hasattr(created, "__dict__")
    assert replace(created) == created
    assert replace(created, id="another") != created
    assert repr(created).startswith(f"{port.record.__name__}(id=")


@pytest.mark.parametrize("port", PORTS, ids=str)
async def test_creation_order_is_created_at_order_whatever_the_clock_does(
    store: Store, clock: SteppableClock, port: Port
) -> None:
    start = clock.now
    times = [(await port.add(store)).created_at]
    for seconds in (0, 0, -3_600, 60, -1, 7_200):
        clock.advance(seconds)
        async with store.unit_of_work() as uow:
            times += [(await port.add(uow)).created_at for _ in range(2)]
    assert times == sorted(set(times))
    assert all(time.tzinfo is UTC for time in times)
    assert times[0] >= start
    assert times[-1] >= clock.now


@pytest.mark.parametrize("port", CHANGED, ids=str)
async def test_an_update_stamps_updated_at_whatever_the_clock_does(
    store: Store, clock: SteppableClock, port: Port
) -> None:
    created = await port.add(store)
    assert created.updated_at >= created.created_at
    last = created.updated_at
    for seconds in (0, -3_600, 10_000, 0):
        clock.advance(seconds)
        updated = await port.method(store, port.update)(created.id)
        assert updated.updated_at > last
        assert updated.updated_at.tzinfo is UTC
        assert replace(updated, updated_at=created.updated_at) == created
        last = updated.updated_at
    assert await port.method(store, port.find)(created.id) == updated


# --- update -----------------------------------------------------------------------------------


@pytest.mark.parametrize("port", CHANGED, ids=str)
async def test_an_update_changes_only_what_is_passed(store: Store, port: Port) -> None:
    async with store.unit_of_work() as uow:
        other = await port.add(uow)
        current = await port.add(uow)
        for column in port.free(port.changeable_columns()):
            values: list[Any] = [sample(column)]
            if column.nullable:
                values += [None, sample(column)]
            for value in values:
                updated = await port.method(uow, port.update)(current.id, **{column.name: value})
                expected = replace(
                    current, **{column.name: value, "updated_at": updated.updated_at}
                )
                assert updated == expected
                current = updated
    assert await port.method(store, port.find)(current.id) == current
    assert await port.method(store, port.find)(other.id) == other


@pytest.mark.parametrize("port", CHANGED, ids=str)
async def test_all_columns_can_be_changed_at_once(store: Store, port: Port) -> None:
    changes = {column.name: sample(column) for column in port.free(port.changeable_columns())}
    async with store.unit_of_work() as uow:
        created = await port.add(uow)
        for name, add in port.references.items():
            changes[name] = (await add(uow)).id
        updated = await port.method(uow, port.update)(created.id, **changes)
    found = await port.method(store, port.find)(created.id)
    assert found == updated
    assert {name: getattr(found, name) for name in changes} == changes


@pytest.mark.parametrize("port", CHANGED, ids=str)
async def test_an_update_of_an_unknown_id_finds_nothing(store: Store, port: Port) -> None:
    created = await port.add(store)
    async with store.unit_of_work() as uow:
        for column in port.free(port.changeable_columns()):
            with pytest.raises(NotFoundError) as caught:
                await port.method(uow, port.update)("unknown", **{column.name: sample(column)})
            assert (caught.value.table, caught.value.id) == (port.table, "unknown")
        with pytest.raises(NotFoundError):
            await port.method(uow, port.update)("unknown")
        # What is only found missing does not spend the unit of work.
        assert await port.method(uow, port.find)(created.id) == created
    assert uow.committed is True


# --- update, expecting something ---------------------------------------------------------------


def another(column: Column, value: Any) -> Any:
    """Return a value that the column takes and does not hold."""
    if column.kind == "choice":
        return next((choice for choice in column.choices if choice != value), None)
    return (not value) if column.kind == "flag" else sample(column)


@pytest.mark.parametrize("port", CHANGED, ids=str)
async def test_an_update_is_done_if_the_row_holds_what_is_expected(
    store: Store, port: Port
) -> None:
    columns = port.expected_columns()
    async with store.unit_of_work() as uow:
        others = await port.add(uow)
        current = await port.add(uow)
        for column in columns:
            expected = {column.name: getattr(current, column.name)}
            current = await port.method(uow, port.update)(current.id, expected=expected)
        whole = {column.name: getattr(current, column.name) for column in columns}
        current = await port.method(uow, port.update)(current.id, expected=whole)
        current = await port.method(uow, port.update)(current.id, expected={})
    assert await port.method(store, port.find)(current.id) == current
    assert await port.method(store, port.find)(others.id) == others


@pytest.mark.parametrize("port", CHANGED, ids=str)
async def test_an_update_changes_nothing_if_the_row_holds_anything_else(
    store: Store, port: Port
) -> None:
    changes = {column.name: sample(column) for column in port.free(port.changeable_columns())}
    async with store.unit_of_work() as uow:
        created = await port.add(uow)
        for column in port.expected_columns():
            value = getattr(created, column.name)
            for wrong in (another(column, value), None if column.nullable else value):
                if wrong == value:
                    continue
                expected = {"id": created.id, column.name: wrong}
                with pytest.raises(StaleStateError) as caught:
                    await port.method(uow, port.update)(created.id, expected=expected, **changes)
                assert (caught.value.table, caught.value.id) == (port.table, created.id)
                assert column.name in str(caught.value)
        with pytest.raises(NotFoundError):
            await port.method(uow, port.update)("unknown", expected={"id": "unknown"}, **changes)
        assert await port.method(uow, port.find)(created.id) == created
    assert uow.committed is True
    with pytest.raises(StaleStateError):
        await port.method(store, port.update)(created.id, expected={"id": "another"}, **changes)
    assert await port.method(store, port.find)(created.id) == created


@pytest.mark.parametrize("port", CHANGED, ids=str)
async def test_what_cannot_be_expected_is_refused(store: Store, port: Port) -> None:
    complaints: list[str] = []
    async with store.unit_of_work() as uow:
        created = await port.add(uow)
        update = port.method(uow, port.update)
        known = {column.name for column in port.expected_columns()}
        json = {column.name for column in port.new_columns()} - known
        for unknown in {"nonsense", "", "seq", *json}:
            with pytest.raises(TypeError, match="updated_at"):
                await update(created.id, expected={unknown: None})
        for wrong in ("status", ["status"], 5):
            with pytest.raises(TypeError):
                await update(created.id, expected=wrong)
        for column in port.expected_columns():
            for bad in bad_values(column):
                if bad is not None:
                    call = update(created.id, expected={column.name: bad})
                    if said := complaint(port, column, await refusal(call)):
                        complaints.append(f"{column.name} = {shown(bad)}: {said}")
    assert complaints == []
    assert uow.committed is True
    assert await port.method(store, port.find)(created.id) == created


@pytest.mark.parametrize("in_a_unit", [True, False])
async def test_of_many_who_expect_the_same_one_writes(store: Store, in_a_unit: bool) -> None:
    counter = await add_task(store, summary="0")

    async def increment() -> int:
        missed = 0
        while True:
            found = await store.tasks.find_by_id(counter.id)
            assert found is not None and found.summary is not None
            expected: TaskExpected = {"summary": found.summary}
            summary = str(int(found.summary) + 1)
            try:
                if in_a_unit:
                    async with store.unit_of_work() as uow:
                        await uow.tasks.update(counter.id, expected=expected, summary=summary)
                else:
                    await store.tasks.update(counter.id, expected=expected, summary=summary)
                return missed
            except StaleStateError:
                missed += 1

    missed = sum(await asyncio.gather(*(increment() for _ in range(12))))
    found = await store.tasks.find_by_id(counter.id)
    assert found is not None and found.summary == "12"
    assert missed > 0, "nobody was in anybody's way"


async def test_of_many_proposals_those_change_that_hold_what_is_expected(store: Store) -> None:
    agent = await add_agent(store)
    statuses: list[ProposalStatus] = ["pending", "accepted", "pending", "dismissed"]
    made = [await add_proposal(store, agent_id=agent.id, status=status) for status in statuses]
    update = store.proposals.update_many_by_agent_id
    assert await update(agent.id, expected={"status": "pending"}, status="dismissed") == 2
    assert await update(agent.id, expected={"status": "pending"}, status="accepted") == 0
    assert await update(agent.id, expected={"summary": None, "id": made[1].id}, title="t") == 1
    found = await store.proposals.find_by_agent_id(agent.id)
    assert [one.status for one in found] == ["dismissed", "accepted", "dismissed", "dismissed"]
    assert [one.title == "t" for one in found] == [False, True, False, False]
    with pytest.raises(TypeError, match="metadata"):
        await cast(Any, update)(agent.id, expected={"metadata": None})


# --- keywords ---------------------------------------------------------------------------------


@pytest.mark.parametrize("port", PORTS, ids=str)
async def test_an_unknown_keyword_is_a_type_error(store: Store, port: Port) -> None:
    values = await port.minimal(store)
    before = await count_rows(store, port.table)
    takes = rf"it takes .*{list(values)[-1]}"
    for unknown in ("nonsense", "ID", "created_at", "id; --", "", "self"):
        with pytest.raises(TypeError, match=takes if unknown != "self" else None):
            await port.method(store, port.create)(**values, **{unknown: "x"})
    assert await count_rows(store, port.table) == before
    if port.changes:
        created = await port.method(store, port.create)(**values)
        known = get_type_hints(port.changes)
        owned = {field.name for field in fields(created)} - set(known) - {"id"}
        for unknown in {"nonsense", "ID", "id; --", "", *owned}:
            with pytest.raises(TypeError):
                await port.method(store, port.update)(created.id, **{unknown: None})
        assert await port.method(store, port.find)(created.id) == created


@pytest.mark.parametrize("port", PORTS, ids=str)
async def test_a_missing_keyword_is_a_type_error(store: Store, port: Port) -> None:
    values = await port.minimal(store)
    before = await count_rows(store, port.table)
    required = [column.name for column in port.new_columns() if column.required]
    assert set(required) <= set(values)
    for missing in required:
        with pytest.raises(TypeError):
            await port.method(store, port.create)(
                **{name: value for name, value in values.items() if name != missing}
            )
    assert await count_rows(store, port.table) == before


# --- references -------------------------------------------------------------------------------

REFERRING = [port for port in PORTS if port.foreign_keys]
REFERRING_CHANGED = [
    port for port in CHANGED if {c.name for c in port.changeable_columns()} & {*port.foreign_keys}
]


@pytest.mark.parametrize("port", REFERRING, ids=str)
async def test_a_row_is_not_created_with_a_broken_reference(store: Store, port: Port) -> None:
    least = await port.minimal(store)
    before = await count_rows(store, port.table)
    for name in port.foreign_keys:
        values = {**least, name: "unknown"}
        with pytest.raises(BrokenReferenceError) as caught:
            async with store.unit_of_work() as uow:
                await port.method(uow, port.create)(**values)
        assert (caught.value.table, caught.value.columns) == (port.table, (name,))
        with pytest.raises(BrokenReferenceError) as caught:
            await port.method(store, port.create)(**values)
        assert (caught.value.table, caught.value.columns) == (port.table, (name,))
    assert await count_rows(store, port.table) == before


@pytest.mark.parametrize("port", REFERRING_CHANGED, ids=str)
async def test_a_row_is_not_changed_to_a_broken_reference(store: Store, port: Port) -> None:
    created = await port.add(store)
    for name in {column.name for column in port.changeable_columns()} & {*port.foreign_keys}:
        with pytest.raises(BrokenReferenceError) as caught:
            async with store.unit_of_work() as uow:
                await port.method(uow, port.update)(created.id, **{name: "unknown"})
        assert (caught.value.table, caught.value.columns) == (port.table, (name,))
        with pytest.raises(BrokenReferenceError):
            await port.method(store, port.update)(created.id, **{name: "unknown"})
    assert await port.method(store, port.find)(created.id) == created


# --- bad input --------------------------------------------------------------------------------


def complaint(port: Port, column: Column, outcome: InvalidValueError | str) -> str | None:
    if isinstance(outcome, str):
        return outcome
    if (outcome.table, outcome.column) != (port.table, column.name):
        return f"named {outcome.table}.{outcome.column}"
    if not outcome.reason or ValueError not in type(outcome).__mro__:
        return "gave no reason"
    if f"{port.table}.{column.name}" not in str(outcome):
        return f"said {outcome}"
    return None


@pytest.mark.parametrize("port", PORTS, ids=str)
async def test_bad_input_is_refused_when_a_row_is_created(store: Store, port: Port) -> None:
    complaints: list[str] = []
    async with store.unit_of_work() as uow:
        values = await port.minimal(uow)
        for column in port.new_columns():
            for bad in bad_values(column):
                call = port.method(uow, port.create)(**{**values, column.name: bad})
                if said := complaint(port, column, await refusal(call)):
                    complaints.append(f"{column.name} = {shown(bad)}: {said}")
    # Nothing reached the database, so the unit of work was not spent.
    assert uow.committed is True
    assert complaints == []
    assert await count_rows(store, port.table) == 0


@pytest.mark.parametrize("port", CHANGED, ids=str)
async def test_bad_input_is_refused_when_a_row_is_changed(store: Store, port: Port) -> None:
    complaints: list[str] = []
    async with store.unit_of_work() as uow:
        created = await port.add(uow)
        for column in port.changeable_columns():
            for bad in bad_values(column):
                call = port.method(uow, port.update)(created.id, **{column.name: bad})
                if said := complaint(port, column, await refusal(call)):
                    complaints.append(f"{column.name} = {shown(bad)}: {said}")
    assert uow.committed is True
    assert complaints == []
    assert await port.method(store, port.find)(created.id) == created


@pytest.mark.parametrize("port", PORTS, ids=str)
async def test_bad_input_is_refused_by_a_call_on_the_store(store: Store, port: Port) -> None:
    values = await port.minimal(store)
    before = await count_rows(store, port.table)
    for column in port.new_columns():
        with pytest.raises(InvalidValueError) as caught:
            await port.method(store, port.create)(**{**values, column.name: bad_values(column)[0]})
        assert (caught.value.table, caught.value.column) == (port.table, column.name)
    assert await count_rows(store, port.table) == before


@pytest.mark.store_settings(max_text_bytes=64)
@pytest.mark.parametrize("port", PORTS, ids=str)
async def test_text_longer_than_the_store_allows_is_refused(store: Store, port: Port) -> None:
    columns = [
        column for column in port.free(port.new_columns()) if column.kind in ("id", "text", "json")
    ]
    changeable = {column.name for column in port.changeable_columns()}
    complaints: list[str] = []
    async with store.unit_of_work() as uow:
        values = await port.minimal(uow)
        longest = {**values}
        for column in columns:
            for bad in ("x" * 65, "ä" * 33, "\U0001f600" * 17):
                call = port.method(uow, port.create)(**{**values, column.name: bad})
                if said := complaint(port, column, await refusal(call)):
                    complaints.append(f"create {column.name} = {bad}: {said}")
            longest[column.name] = "x" * 62 if column.kind == "json" else "ä" * 32
        created = await port.method(uow, port.create)(**longest)
        for column in columns:
            if column.name in changeable:
                call = port.method(uow, port.update)(created.id, **{column.name: "x" * 65})
                if said := complaint(port, column, await refusal(call)):
                    complaints.append(f"update {column.name}: {said}")
    assert complaints == []
    assert await count_rows(store, port.table) == 1
    assert {name: getattr(created, name) for name in longest} == longest


# Random letters, as the databases compress what repeats itself.
LONGEST = "".join(random.Random(1).choices(string.ascii_letters, k=MAX_INDEXED_BYTES))


@pytest.mark.parametrize("port", PORTS, ids=str)
async def test_text_that_an_index_holds_is_limited(store: Store, port: Port) -> None:
    columns = [column for column in port.new_columns() if column.kind in ("id", "text")]
    indexed = [
        c for c in columns if isinstance(metadata.tables[port.table].c[c.name].type, IndexedText)
    ]
    assert "id" in [column.name for column in indexed]
    complaints: list[str] = []
    async with store.unit_of_work() as uow:
        values = await port.minimal(uow)
        for column in indexed:
            call = port.method(uow, port.create)(**{**values, column.name: "ä" + LONGEST[1:]})
            if said := complaint(port, column, await refusal(call)):
                complaints.append(f"{column.name}: {said}")
    assert complaints == []
    for column in port.free(indexed):
        created = await port.add(store, **{column.name: LONGEST})
        assert getattr(created, column.name) == LONGEST
        if port.find:
            assert await port.method(store, port.find)(created.id) == created
    if port.find:
        with pytest.raises(InvalidValueError):
            await port.method(store, port.find)(LONGEST + "x")


async def test_the_extremes_of_numbers_and_json_are_kept(store: Store) -> None:
    extremes: list[Any] = [2**63 - 1, -(2**63), 1e308, -1e308, 5e-324, 0.1, -1e-7]
    extremes += [1e16, 66646293237074968.0, -9.2e18, 2.0**63, 1e15 + 0.5]
    deepest = [nested(100, "inmost"), nested(99, []), nested(99, {})]
    for number in (2**31 - 1, -(2**31), 0, -1):
        task = await add_task(store, order=number)
        assert await store.tasks.find_by_id(task.id) == task
        assert task.order == number
    for value in [*extremes, *deepest, extremes, {"all": extremes}, [], {}, "", [None], False, 0]:
        agent = await add_agent(store, result=value)
        found = await store.agents.find_by_id(agent.id)
        assert found == agent
        assert agent.result == value
        assert type(agent.result) is type(value)


# --- filters and verbs ------------------------------------------------------------------------

OTHERWISE: dict[str, Any] = {
    "project_ids": [],
    "rows": [],
    "entries": [],
    "expected": None,
    "depends_on_ids": [],
    "claim": None,
}


@dataclass(frozen=True)
class Parameter:
    """A plain parameter of a method, and valid arguments for its others."""

    method: str
    column: Column
    others: dict[str, Any]


def parameters(repository: str) -> list[Parameter]:
    """Return every plain parameter of every method that the port of the repository has."""
    found: list[Parameter] = []
    for name, method in inspect.getmembers(PROTOCOLS[repository], inspect.isfunction):
        if name.startswith("_"):
            continue
        hints = get_type_hints(method)
        all_of_them = [
            parameter
            for parameter in inspect.signature(method).parameters.values()
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            and parameter.name != "self"
        ]
        columns = {
            parameter.name: column_of(parameter.name, hints[parameter.name], repository)
            for parameter in all_of_them
            if parameter.name not in OTHERWISE
        }
        for column in columns.values():
            others = {
                other.name: sample(columns[other.name])
                if other.name in columns
                else OTHERWISE[other.name]
                for other in all_of_them
                if other.name != column.name and other.default is other.empty
            }
            found.append(Parameter(name, column, others))
    return found


async def outcome_of(repository: object, parameter: Parameter, value: object) -> Any:
    call = getattr(repository, parameter.method)
    result = call(**parameter.others, **{parameter.column.name: value})
    if hasattr(result, "__aiter__"):
        return [item async for item in result]
    if hasattr(result, "__aenter__"):
        async with result as entered:
            return entered
    return await result


def bad_arguments(column: Column) -> list[Any]:
    if column.name == "limit":
        return [0, -1, -(2**31), -(2**63) - 1, "5", "", 1.0, float("nan"), True, b"1"]
    return [value for value in bad_values(column) if value is not None]


@pytest.mark.parametrize("repository", PROTOCOLS)
async def test_bad_arguments_are_refused(store: Store, repository: str) -> None:
    complaints: list[str] = []
    async with store.unit_of_work() as uow:
        for parameter in parameters(repository):
            for value in bad_arguments(parameter.column):
                outcome = await refusal(outcome_of(getattr(uow, repository), parameter, value))
                if isinstance(outcome, str) or not outcome.table or not outcome.column:
                    said = f"{parameter.method}({parameter.column.name}={shown(value)})"
                    complaints.append(f"{said}: {outcome}")
    # Nothing reached the database, so the unit of work was not spent.
    assert uow.committed is True
    assert complaints == []


@pytest.mark.parametrize("repository", PROTOCOLS)
async def test_none_is_no_argument_where_a_value_is_needed(store: Store, repository: str) -> None:
    complaints: list[str] = []
    async with store.unit_of_work() as uow:
        for parameter in parameters(repository):
            if not parameter.column.nullable:
                outcome = await refusal(outcome_of(getattr(uow, repository), parameter, None))
                if isinstance(outcome, str):
                    complaints.append(
                        f"{parameter.method}({parameter.column.name}=None): {outcome}"
                    )
    assert complaints == []


@pytest.mark.parametrize("bad", ["", "a\0", "\ud800", 5, None, b"x"], ids=ascii)
async def test_a_bad_id_in_a_list_of_ids_is_refused(store: Store, bad: Any) -> None:
    page = await add_page(store)
    project = await store.projects.create(name="api", url="u")
    async with store.unit_of_work() as uow:
        with pytest.raises(InvalidValueError) as caught:
            await uow.projects.set_initiative_projects(page.initiative_id, [project.id, bad])
        assert caught.value.table == "initiative_projects"
        assert caught.value.column == "project_id"
    assert await store.projects.find_projects_by_initiative_id(page.initiative_id) == []


@pytest.mark.parametrize("wrong", ["abc", None, 5], ids=str)
async def test_what_is_no_list_of_ids_is_a_type_error_and_changes_nothing(
    store: Store, wrong: Any
) -> None:
    for id in "abcd":
        await store.tasks.create(id=id, name=id)
    await store.tasks.set_dependencies("d", ["a"])
    page = await add_page(store)
    for call in (
        store.tasks.set_dependencies("d", wrong),
        store.projects.set_initiative_projects(page.initiative_id, wrong),
    ):
        with pytest.raises(TypeError, match=f"a list of ids, not {type(wrong).__name__}"):
            await call
    assert [task.id for task in await store.tasks.get_dependencies("d")] == ["a"]


async def test_what_is_no_list_of_rows_is_a_type_error_that_says_so(store: Store) -> None:
    row: Any = {"name": "a"}
    chunk: Any = {"agent_id": "a", "agent_name": "a", "session_number": 1, "content": "x"}
    with pytest.raises(TypeError, match="a new row of tasks is a dict, not str"):
        await store.tasks.create_many(row)
    with pytest.raises(TypeError, match="a new row of agent_log_chunks is a dict, not str"):
        await store.log_chunks.insert_chunks(chunk)


async def test_a_list_of_statuses_is_no_status(store: Store) -> None:
    statuses: Any = ["running", "stopped"]
    with pytest.raises(InvalidValueError, match=r"agents\.status takes text, not list") as caught:
        await store.agents.find_by_status("running", statuses)
    assert (caught.value.column, caught.value.value) == ("status", statuses)
    with pytest.raises(InvalidValueError, match=r"tasks\.status takes text, not list"):
        await store.tasks.find_by_status(statuses)


def test_every_parameter_is_covered() -> None:
    covered = {
        (repository, parameter.method, parameter.column.name)
        for repository in PROTOCOLS
        for parameter in parameters(repository)
    }
    for expected in (
        ("tasks", "find_by_status", "status"),
        ("messages", "find_by_sender", "type"),
        ("errands", "find_all", "limit"),
        ("chat_sessions", "find_active_session", "target_type"),
        ("accounts", "mark_exhausted", "until"),
        ("conversations", "answer", "answer"),
        ("log_chunks", "stream_by_agent_id", "session_number"),
        ("projects", "set_initiative_projects", "initiative_id"),
    ):
        assert expected in covered


# --- lists ------------------------------------------------------------------------------------

KEYSETS = [
    port for port in PORTS if port.table in ("initiatives", "agents", "projects", "accounts")
]


@pytest.mark.parametrize("port", KEYSETS, ids=str)
async def test_all_rows_are_listed_oldest_first(store: Store, port: Port) -> None:
    find_all = port.method(store, "find_all")
    assert await find_all() == []
    # Ids in an order that is not that of creation.
    created = [await port.add(store, id=id) for id in ("m", "z", "a", "Z", "b")]
    assert await find_all() == created
    await port.method(store, port.update)("m")
    assert [row.id for row in await find_all()] == ["m", "z", "a", "Z", "b"]


@pytest.mark.parametrize("port", KEYSETS, ids=str)
async def test_a_list_is_read_page_by_page(store: Store, port: Port) -> None:
    async with store.unit_of_work() as uow:
        created = [await port.add(uow, id=unique(prefix)) for prefix in "mzaZb"]
    find_all = port.method(store, "find_all")
    assert await find_all(limit=2) == created[:2]
    assert await find_all(limit=5) == await find_all(limit=6) == created
    assert await find_all(limit=2**31 - 1) == created
    assert await find_all(after=created[1].id) == created[2:]
    assert await find_all(limit=2, after=created[1].id) == created[2:4]
    assert await find_all(limit=2, after=created[3].id) == created[4:]
    assert await find_all(limit=2, after=created[4].id) == []
    # A row that is deleted or added meanwhile does not shift what follows.
    await port.method(store, port.delete)(created[0].id)
    assert await find_all(limit=2, after=created[1].id) == created[2:4]


@pytest.mark.parametrize("port", KEYSETS, ids=str)
async def test_a_list_cannot_go_on_after_a_row_that_does_not_exist(
    store: Store, port: Port
) -> None:
    await port.add(store)
    async with store.unit_of_work() as uow:
        with pytest.raises(NotFoundError) as caught:
            await port.method(uow, "find_all")(after="unknown")
        assert (caught.value.table, caught.value.id) == (port.table, "unknown")
        with pytest.raises(NotFoundError):
            await port.method(uow, "find_all")(after="unknown", limit=1)


@pytest.mark.parametrize("port", KEYSETS, ids=str)
async def test_a_limit_is_at_least_one(store: Store, port: Port) -> None:
    created = await port.add(store)
    for limit in (0, -1, True, "1", 1.0):
        with pytest.raises(InvalidValueError) as caught:
            await port.method(store, "find_all")(limit=limit)
        assert (caught.value.table, caught.value.column) == (port.table, "limit")
    assert await port.method(store, "find_all")(limit=1) == [created]
    assert await port.method(store, "find_all")(limit=None, after=None) == [created]


# --- many at once -----------------------------------------------------------------------------

MANY = [
    pytest.param(port, name, id=f"{port.table}.{name}")
    for table_name, name in (
        ("tasks", "create_many"),
        ("proposals", "create_many"),
        ("messages", "create_many"),
        ("agent_log_chunks", "create_many"),
        ("agent_log_chunks", "insert_chunks"),
    )
    for port in PORTS
    if port.table == table_name
]


@pytest.mark.parametrize(("port", "name"), MANY)
async def test_many_rows_are_created_in_the_order_given(
    store: Store, port: Port, name: str
) -> None:
    async with store.unit_of_work() as uow:
        values = await port.minimal(uow)
        assert await port.method(uow, name)([]) == []
        rows: list[dict[str, Any]] = [{**values, "id": id} for id in ("m", "z", "a", "Z")]
        rows.append(dict(values))
        created = await port.method(uow, name)(tuple(rows))
        for record in created:
            assert await port.method(uow, port.find)(record.id) == record
    assert [record.id for record in created[:4]] == ["m", "z", "a", "Z"]
    times = [record.created_at for record in created]
    assert times == sorted(set(times))
    single = await port.method(store, port.create)(**values)
    assert single.created_at > times[-1]
    alike = replace(
        single,
        id="m",
        created_at=created[0].created_at,
        **{"updated_at": created[0].updated_at} if hasattr(single, "updated_at") else {},
    )
    assert created[0] == alike
    assert rows[-1] == values, "the caller's rows are left as they were"


@pytest.mark.parametrize(("port", "name"), MANY)
async def test_each_of_many_rows_has_its_own_columns(store: Store, port: Port, name: str) -> None:
    values = await port.minimal(store)
    columns = port.free(port.new_columns())
    full = {**values, **{column.name: sample(column) for column in columns}}
    rows = [values, full, values]
    first, second, third = await port.method(store, name)(rows)
    assert {key: getattr(second, key) for key in full} == full
    optional = {column.name for column in columns if column.name not in values} - {"id"}
    for key in optional:
        assert getattr(first, key) == getattr(third, key) != getattr(second, key) or key == "type"
    for record in (first, second, third):
        assert await port.method(store, port.find)(record.id) == record


@pytest.mark.parametrize(("port", "name"), MANY)
async def test_one_bad_row_among_many_leaves_nothing(store: Store, port: Port, name: str) -> None:
    values = await port.minimal(store)
    good = [{**values, "id": f"row-{number}"} for number in range(4)]
    for column in port.new_columns():
        bad = {**values, column.name: bad_values(column)[0]}
        async with store.unit_of_work() as uow:
            with pytest.raises(InvalidValueError) as caught:
                await port.method(uow, name)([*good[:2], bad, *good[2:]])
            assert (caught.value.table, caught.value.column) == (port.table, column.name)
        assert uow.committed is True
        assert await count_rows(store, port.table) == 0
    for wrong in ({**values, "nonsense": 1}, {**values, "created_at": None}, {}):
        async with store.unit_of_work() as uow:
            with pytest.raises(TypeError):
                await port.method(uow, name)([*good[:2], wrong, *good[2:]])
        assert await count_rows(store, port.table) == 0
    for name_of_key in port.foreign_keys:
        with pytest.raises(BrokenReferenceError) as broken:
            await port.method(store, name)([*good[:2], {**values, name_of_key: "unknown"}, good[2]])
        assert (broken.value.table, broken.value.columns) == (port.table, (name_of_key,))
        assert await count_rows(store, port.table) == 0


@pytest.mark.parametrize(("port", "name"), MANY)
async def test_an_id_given_twice_among_many_leaves_nothing(
    store: Store, port: Port, name: str
) -> None:
    values = await port.minimal(store)
    rows = [{**values, "id": id} for id in ("a", "b", "a", "c")]
    with pytest.raises(AlreadyExistsError) as caught:
        async with store.unit_of_work() as uow:
            await port.method(uow, name)(rows)
    assert (caught.value.table, caught.value.columns) == (port.table, ("id",))
    with pytest.raises(AlreadyExistsError):
        await port.method(store, name)(rows)
    assert await count_rows(store, port.table) == 0
    # Within a savepoint the unit of work goes on, and still nothing of the batch is there.
    async with store.unit_of_work() as uow:
        kept = await port.method(uow, port.create)(**values)
        with pytest.raises(AlreadyExistsError):
            async with uow.savepoint():
                await port.method(uow, name)(rows)
    assert await count_rows(store, port.table) == 1
    assert await port.method(store, port.find)(kept.id) == kept


async def test_the_broken_reference_among_many_is_the_one_that_is_named(store: Store) -> None:
    phase = await add_phase(store)
    rows: list[NewTask] = [{"id": f"t{n}", "name": "n", "phase_id": phase.id} for n in range(2_000)]
    # What comes later in the list exists when its turn comes, and what is missing first is named.
    rows.append({"id": "child", "name": "n", "parent_task_id": "t0"})
    for broken, column in (
        (NewTask(name="n", parent_task_id="later"), "parent_task_id"),
        (NewTask(name="n", initiative_id="nowhere"), "initiative_id"),
    ):
        later: list[NewTask] = [
            {"id": "later", "name": "n", "initiative_id": phase.initiative_id},
            {"name": "n", "parent_task_id": "later", "initiative_id": phase.initiative_id},
        ]
        with pytest.raises(BrokenReferenceError) as caught:
            await store.tasks.create_many([*rows, broken, *later])
        assert caught.value.columns == (column,)
        assert await count_rows(store, "tasks") == 0


@pytest.mark.parametrize(("port", "name"), MANY)
async def test_a_long_list_is_refused_for_what_a_short_one_is(
    store: Store, port: Port, name: str
) -> None:
    values = await port.minimal(store)
    kept = await port.method(store, port.create)(**values)
    rows = [values] * 300
    for bad in ([{**values, "id": kept.id}], [{**values, "id": "twice"}] * 2):
        with pytest.raises(AlreadyExistsError) as caught:
            await port.method(store, name)([*rows, *bad, values])
        assert (caught.value.table, caught.value.columns) == (port.table, ("id",))
        assert caught.value.__cause__ is not None
    for column in port.foreign_keys:
        with pytest.raises(BrokenReferenceError) as broken:
            async with store.unit_of_work() as uow:
                await port.method(uow, name)([*rows, {**values, column: "nowhere"}])
        assert (broken.value.table, broken.value.columns) == (port.table, (column,))
        assert broken.value.__cause__ is not None
    assert await count_rows(store, port.table) == 1


@pytest.mark.parametrize(("port", "name"), MANY)
async def test_thousands_of_rows_are_created_at_once(store: Store, port: Port, name: str) -> None:
    values = await port.minimal(store)
    created = await port.method(store, name)([values] * 3_000)
    assert len({record.id for record in created}) == 3_000
    assert await count_rows(store, port.table) == 3_000
    assert await port.method(store, port.find)(created[1_500].id) == created[1_500]


# --- one failing call -------------------------------------------------------------------------


async def test_no_error_of_the_database_reaches_the_application_bare(store: Store) -> None:
    async def taken(repos: Repos) -> None:
        await repos.projects.create(id="p", name="api", url="u")

    await taken(store)
    with pytest.raises(StoreError) as caught:
        await taken(store)
    assert type(caught.value).__module__ == "cw_store.errors"
    assert caught.value.__cause__ is not None
    assert not isinstance(caught.value.__cause__, StoreError)


@pytest.mark.parametrize("repository", PROTOCOLS)
async def test_help_shows_the_words_of_the_port(repository: str, store: Store) -> None:
    port = PROTOCOLS[repository]
    for name, promised in vars(port).items():
        if not name.startswith("_"):
            offered = getattr(getattr(store, repository), name)
            assert inspect.getdoc(offered) == inspect.getdoc(promised) is not None, name
