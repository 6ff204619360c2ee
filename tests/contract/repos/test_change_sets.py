"""What agents changed in one go, entry by entry."""

import asyncio
from typing import Any, cast

import pytest

from builders import add_agent, add_change_set, add_initiative
from cw_store import (
    AlreadyExistsError,
    ChangeSet,
    InvalidValueError,
    NewChangeSetEntry,
    NotFoundError,
    StaleStateError,
    Store,
)
from cw_store.testing import SteppableClock
from every_port import bad_values, columns_of


def entry(**values: Any) -> NewChangeSetEntry:
    least = {"entity_type": "page", "entity_id": "p1", "action": "update"}
    return cast(NewChangeSetEntry, {**least, **values})


async def test_a_new_change_set_is_applied_and_may_have_no_entries(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow)
        change_set = await uow.change_sets.create(
            initiative_id=initiative.id, agent_name="brave-otter", mode="refine"
        )
        assert await uow.change_sets.find_entries(change_set.id) == []
    assert (change_set.initiative_id, change_set.agent_id) == (initiative.id, None)
    assert (change_set.agent_name, change_set.mode) == ("brave-otter", "refine")
    assert (change_set.summary, change_set.status) == (None, "applied")
    assert change_set.reverted_at is None


async def test_entries_are_created_with_their_change_set(store: Store) -> None:
    before, after = {"title": "Old", "n": [1, None]}, {"title": "New", "n": 2.5}
    async with store.unit_of_work() as uow:
        change_set = await add_change_set(
            uow,
            entries=[
                entry(id="mine", previous_state=before, new_state=after, sort_order=4),
                entry(entity_type="task", entity_id="t1", action="create", new_state={}),
            ],
        )
        other = await add_change_set(uow, entries=[entry()])
    second, first = await store.change_sets.find_entries(change_set.id)
    assert (first.id, first.change_set_id) == ("mine", change_set.id)
    assert (first.entity_type, first.entity_id, first.action) == ("page", "p1", "update")
    assert (first.previous_state, first.new_state, first.sort_order) == (before, after, 4)
    assert (second.entity_type, second.entity_id, second.action) == ("task", "t1", "create")
    assert (second.previous_state, second.new_state, second.sort_order) == (None, {}, 0)
    assert len(second.id) >= 10
    assert len(await store.change_sets.find_entries(other.id)) == 1
    assert await store.change_sets.find_entries("unknown") == []


async def test_entries_are_found_by_sort_order_then_in_the_order_given(store: Store) -> None:
    entries = [
        entry(id=id, sort_order=order)
        for id, order in (("z", 1), ("a", 1), ("m", 0), ("b", 1), ("y", -1), ("c", 0))
    ]
    async with store.unit_of_work() as uow:
        change_set = await add_change_set(uow, entries=tuple(entries))
        found = await uow.change_sets.find_entries(change_set.id)
    assert [row.id for row in found] == ["y", "m", "c", "z", "a", "b"]


async def test_a_bad_entry_leaves_neither_change_set_nor_entries(store: Store) -> None:
    initiative = await add_initiative(store)
    for column in columns_of(NewChangeSetEntry, "change_set_entries"):
        for bad in bad_values(column):
            entries = [entry(), entry(**{column.name: bad}), entry()]
            async with store.unit_of_work() as uow:
                with pytest.raises(InvalidValueError) as caught:
                    await add_change_set(uow, id="c", initiative_id=initiative.id, entries=entries)
            assert uow.committed is True
            assert (caught.value.table, caught.value.column) == (
                "change_set_entries",
                column.name,
            )
    for wrong in ({"nonsense": 1}, {"change_set_id": "x"}, {"created_at": None}):
        with pytest.raises(TypeError):
            await add_change_set(
                store, id="c", initiative_id=initiative.id, entries=[entry(), entry(**wrong)]
            )
    for missing in ("entity_type", "entity_id", "action"):
        lacking = {name: value for name, value in entry().items() if name != missing}
        with pytest.raises(TypeError):
            await add_change_set(
                store, id="c", initiative_id=initiative.id, entries=[entry(), lacking]
            )
    assert await store.change_sets.find_by_id("c") is None
    assert await store.change_sets.find_entries("c") == []


async def test_an_entry_id_given_twice_leaves_neither_change_set_nor_entries(
    store: Store,
) -> None:
    initiative = await add_initiative(store)
    for repeated in range(2):
        entries = [entry(id="a"), entry(id="b"), entry(id="ab"[repeated])]
        with pytest.raises(AlreadyExistsError) as caught:
            async with store.unit_of_work() as uow:
                await add_change_set(uow, id="c", initiative_id=initiative.id, entries=entries)
        assert (caught.value.table, caught.value.columns) == ("change_set_entries", ("id",))
        with pytest.raises(AlreadyExistsError):
            await add_change_set(store, id="c", initiative_id=initiative.id, entries=entries)
        assert await store.change_sets.find_by_id("c") is None
        assert await store.change_sets.find_entries("c") == []


async def test_thousands_of_entries_are_created_at_once(store: Store) -> None:
    change_set = await add_change_set(
        store, entries=[entry(entity_id=str(n)) for n in range(4_000)]
    )
    found = await store.change_sets.find_entries(change_set.id)
    assert [row.entity_id for row in found] == [str(n) for n in range(4_000)]


async def test_change_sets_are_found_by_initiative_and_by_agent_oldest_first(
    store: Store,
) -> None:
    async with store.unit_of_work() as uow:
        initiative, agent = await add_initiative(uow), await add_agent(uow)
        z = await add_change_set(uow, id="z", initiative_id=initiative.id, agent_id=agent.id)
        m = await add_change_set(uow, id="m", initiative_id=initiative.id)
        await add_change_set(uow, id="a", agent_id=agent.id)
        a = await uow.change_sets.mark_reverted("a")
        assert await uow.change_sets.find_by_initiative_id(initiative.id) == [z, m]
        assert await uow.change_sets.find_by_agent_id(agent.id) == [z, a]
        assert await uow.change_sets.find_by_initiative_id("unknown") == []
        assert await uow.change_sets.find_by_agent_id("unknown") == []


async def test_a_change_set_is_reverted_once(store: Store, clock: SteppableClock) -> None:
    async with store.unit_of_work() as uow:
        change_set = await add_change_set(uow)
        clock.advance(60)
        reverted = await uow.change_sets.mark_reverted(change_set.id)
        assert reverted.status == "reverted"
        assert reverted.reverted_at is not None
        assert reverted.reverted_at >= clock.now
        assert reverted.updated_at > change_set.updated_at
        with pytest.raises(StaleStateError, match="is reverted already") as caught:
            await uow.change_sets.mark_reverted(change_set.id)
        assert (caught.value.table, caught.value.id) == ("change_sets", change_set.id)
        # What has only moved on does not spend the unit of work.
        assert await uow.change_sets.find_by_id(change_set.id) == reverted
    assert uow.committed is True
    with pytest.raises(StaleStateError):
        await store.change_sets.mark_reverted(change_set.id)


async def test_an_unknown_change_set_cannot_be_reverted(store: Store) -> None:
    async with store.unit_of_work() as uow:
        with pytest.raises(NotFoundError) as caught:
            await uow.change_sets.mark_reverted("unknown")
        assert (caught.value.table, caught.value.id) == ("change_sets", "unknown")


async def test_of_many_who_revert_at_once_one_does(store: Store) -> None:
    change_set = await add_change_set(store)

    async def revert() -> ChangeSet:
        async with store.unit_of_work() as uow:
            return await uow.change_sets.mark_reverted(change_set.id)

    outcomes = await asyncio.gather(*(revert() for _ in range(6)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in refused] == [StaleStateError] * 5


async def test_a_deleted_change_set_takes_its_entries_along(store: Store) -> None:
    async with store.unit_of_work() as uow:
        doomed = await add_change_set(uow, entries=[entry(), entry()])
        kept = await add_change_set(uow, entries=[entry()])
        await uow.change_sets.delete(doomed.id)
        assert await uow.change_sets.find_entries(doomed.id) == []
        assert len(await uow.change_sets.find_entries(kept.id)) == 1
