"""Errands, each with the name of its agent."""

import pytest

from builders import add_agent, add_errand, add_project
from cw_store import Errand, InvalidValueError, NotFoundError, Store


def ids(errands: list[Errand]) -> list[str]:
    return [errand.id for errand in errands]


async def test_a_new_errand_is_active_and_from_main(store: Store) -> None:
    async with store.unit_of_work() as uow:
        project = await add_project(uow)
        errand = await uow.errands.create(
            id="e1", description="Bump it", branch="errand/bump", project_id=project.id
        )
    assert (errand.id, errand.project_id) == ("e1", project.id)
    assert (errand.description, errand.branch) == ("Bump it", "errand/bump")
    assert (errand.base_branch, errand.status) == ("main", "active")
    assert (errand.agent_id, errand.agent_alias) == (None, None)


async def test_an_errand_carries_the_name_of_its_agent(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent = await add_agent(uow, name="brave-otter")
        errand = await add_errand(uow, agent_id=agent.id)
        assert errand.agent_alias == "brave-otter"
        found = await uow.errands.find_by_id(errand.id)
        assert found == errand
        assert await uow.errands.find_all() == [errand]
        await uow.agents.update(agent.id, name="calm-lynx")
        found = await uow.errands.find_by_id(errand.id)
        assert found is not None and found.agent_alias == "calm-lynx"
        [found] = await uow.errands.find_all()
        assert found.agent_alias == "calm-lynx"


async def test_an_errand_is_given_to_another_agent(store: Store) -> None:
    async with store.unit_of_work() as uow:
        one, two = await add_agent(uow, name="one"), await add_agent(uow, name="two")
        errand = await add_errand(uow, agent_id=one.id)
        updated = await uow.errands.update(errand.id, agent_id=two.id)
        assert (updated.agent_id, updated.agent_alias) == (two.id, "two")
        assert await uow.errands.find_by_id(errand.id) == updated
        updated = await uow.errands.update(errand.id, status="merged")
        assert (updated.status, updated.agent_alias) == ("merged", "two")
        updated = await uow.errands.update(errand.id, agent_id=None)
        assert (updated.agent_id, updated.agent_alias) == (None, None)


async def test_errands_are_listed_newest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        assert await uow.errands.find_all() == []
        created = [await add_errand(uow, id=id) for id in "zamb"]
        assert await uow.errands.find_all() == created[::-1]
    assert await store.errands.find_all() == created[::-1]


async def test_errands_are_found_by_project_by_status_and_by_both(store: Store) -> None:
    async with store.unit_of_work() as uow:
        here, there = await add_project(uow), await add_project(uow)
        for id, project, status in (
            ("a", here, "active"),
            ("b", there, "merged"),
            ("c", here, "merged"),
            ("d", here, "active"),
            ("e", there, "active"),
        ):
            await add_errand(uow, id=id, project_id=project.id, status=status)
        find_all = uow.errands.find_all
        assert ids(await find_all(here.id)) == ["d", "c", "a"]
        assert ids(await find_all(project_id=there.id)) == ["e", "b"]
        assert ids(await find_all(status="active")) == ["e", "d", "a"]
        assert ids(await find_all(here.id, "active")) == ["d", "a"]
        assert ids(await find_all(project_id=there.id, status="merged")) == ["b"]
        assert ids(await find_all(None, None)) == ["e", "d", "c", "b", "a"]
        assert await find_all(status="abandoned") == []
        assert await find_all("unknown") == []


async def test_errands_are_listed_page_by_page_to_older_ones(store: Store) -> None:
    async with store.unit_of_work() as uow:
        here, there = await add_project(uow), await add_project(uow)
        for number, id in enumerate("zamby"):
            project = there if id == "m" else here
            status = "merged" if number % 2 else "active"
            await add_errand(uow, id=id, project_id=project.id, status=status)
        find_all = uow.errands.find_all
        assert ids(await find_all(limit=2)) == ["y", "b"]
        assert ids(await find_all(limit=2, after="b")) == ["m", "a"]
        assert ids(await find_all(limit=2, after="a")) == ["z"]
        assert await find_all(after="z") == []
        assert ids(await find_all(here.id, limit=2, after="y")) == ["b", "a"]
        assert ids(await find_all(here.id, after="m")) == ["a", "z"]
        assert ids(await find_all(status="active", after="y")) == ["m", "z"]
        assert ids(await find_all(here.id, "active", after="y", limit=5)) == ["z"]
        assert ids(await find_all(limit=5)) == ids(await find_all(limit=6)) == list("ybmaz")


async def test_errands_are_not_listed_after_one_that_does_not_exist(store: Store) -> None:
    errand = await add_errand(store)
    with pytest.raises(NotFoundError) as caught:
        await store.errands.find_all(after="unknown")
    assert (caught.value.table, caught.value.id) == ("errands", "unknown")
    with pytest.raises(NotFoundError):
        await store.errands.find_all(errand.project_id, "active", after="unknown", limit=1)


async def test_a_list_of_errands_has_at_least_one(store: Store) -> None:
    errand = await add_errand(store)
    for limit in (0, -1):
        with pytest.raises(InvalidValueError) as caught:
            await store.errands.find_all(limit=limit)
        assert (caught.value.table, caught.value.column) == ("errands", "limit")
    assert await store.errands.find_all(limit=1) == [errand]
