"""The projects, and which initiatives use them."""

import asyncio
from typing import Any

import pytest

from builders import add_errand, add_initiative, add_project
from cw_store import (
    AlreadyExistsError,
    BrokenReferenceError,
    NotFoundError,
    Store,
)


async def linked(store: Store, initiative_id: str) -> list[str]:
    found = await store.projects.find_projects_by_initiative_id(initiative_id)
    return [project.id for project in found]


async def test_a_new_project_is_on_main_and_was_never_fetched(store: Store) -> None:
    async with store.unit_of_work() as uow:
        project = await uow.projects.create(name="api", url="https://git.example.org/api")
    assert (project.name, project.url) == ("api", "https://git.example.org/api")
    assert project.default_branch == "main"
    assert project.last_fetched_at is None


async def test_a_project_is_found_by_its_exact_name(store: Store) -> None:
    async with store.unit_of_work() as uow:
        lower, upper = await add_project(uow, name="api"), await add_project(uow, name="API")
        assert await uow.projects.find_by_name("api") == lower
        assert await uow.projects.find_by_name("API") == upper
        for other in ("ap", "ap%", "a_i", "api ", ""):
            assert await uow.projects.find_by_name(other) is None


async def test_name_and_url_are_taken_once(store: Store) -> None:
    async with store.unit_of_work() as uow:
        first = await add_project(uow, name="api", url="u1")
        second = await add_project(uow, name="web", url="u2")
    for values, column in (({"name": "api"}, "name"), ({"url": "u1"}, "url")):
        with pytest.raises(AlreadyExistsError) as caught:
            async with store.unit_of_work() as uow:
                await add_project(uow, **values)
        assert (caught.value.table, caught.value.columns) == ("projects", (column,))
    with pytest.raises(AlreadyExistsError) as caught:
        await store.projects.update(second.id, name="api")
    assert caught.value.columns == ("name",)
    with pytest.raises(AlreadyExistsError) as caught:
        await store.projects.update(second.id, url="u1")
    assert caught.value.columns == ("url",)
    assert await store.projects.find_all() == [first, second]
    kept = await store.projects.update(first.id, name="api", url="u1")
    assert (kept.name, kept.url) == ("api", "u1")


# --- projects of an initiative ----------------------------------------------------------------


async def test_projects_of_an_initiative_are_found_oldest_project_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow)
        projects = [await add_project(uow, id=id) for id in ("z", "a", "m")]
        await add_project(uow)
        for id in ("m", "a", "z"):
            assert await uow.projects.add_initiative_project(initiative.id, id) is None
        assert await uow.projects.find_projects_by_initiative_id(initiative.id) == projects
        assert await uow.projects.find_projects_by_initiative_id("unknown") == []


async def test_a_project_may_belong_to_many_initiatives(store: Store) -> None:
    async with store.unit_of_work() as uow:
        one, two = await add_initiative(uow), await add_initiative(uow)
        project = await add_project(uow)
        await uow.projects.add_initiative_project(one.id, project.id)
        await uow.projects.add_initiative_project(two.id, project.id)
        assert await uow.projects.remove_initiative_project(one.id, project.id) is None
    assert await linked(store, one.id) == []
    assert await linked(store, two.id) == [project.id]


async def test_a_project_is_not_linked_twice(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative, project = await add_initiative(uow), await add_project(uow)
        await uow.projects.add_initiative_project(initiative.id, project.id)
    with pytest.raises(AlreadyExistsError) as caught:
        async with store.unit_of_work() as uow:
            await uow.projects.add_initiative_project(initiative.id, project.id)
    assert caught.value.table == "initiative_projects"
    assert caught.value.columns == ("initiative_id", "project_id")
    with pytest.raises(AlreadyExistsError):
        await store.projects.add_initiative_project(initiative.id, project.id)
    assert await linked(store, initiative.id) == [project.id]


async def test_what_does_not_exist_is_not_linked(store: Store) -> None:
    initiative, project = await add_initiative(store), await add_project(store)
    for pair, column in (
        ((initiative.id, "unknown"), "project_id"),
        (("unknown", project.id), "initiative_id"),
    ):
        with pytest.raises(BrokenReferenceError) as caught:
            async with store.unit_of_work() as uow:
                await uow.projects.add_initiative_project(*pair)
        assert (caught.value.table, caught.value.columns) == ("initiative_projects", (column,))
        with pytest.raises(BrokenReferenceError):
            await store.projects.add_initiative_project(*pair)
    assert await linked(store, initiative.id) == []


async def test_what_is_not_linked_cannot_be_unlinked(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative, project = await add_initiative(uow), await add_project(uow)
        for pair in ((initiative.id, project.id), ("unknown", project.id), ("x", "y")):
            with pytest.raises(NotFoundError) as caught:
                await uow.projects.remove_initiative_project(*pair)
            assert caught.value.table == "initiative_projects"


async def test_the_projects_of_an_initiative_are_set_to_exactly_these(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative, other = await add_initiative(uow), await add_initiative(uow)
        for id in "abcd":
            await add_project(uow, id=id)
        await uow.projects.set_initiative_projects(other.id, ["a", "d"])
        assert await uow.projects.set_initiative_projects(initiative.id, ["b", "a"]) is None
        for wanted in (["b", "c"], ["d"], ["d"], ["a", "b", "c", "d"], [], ["c"], []):
            await uow.projects.set_initiative_projects(initiative.id, wanted)
            found = await uow.projects.find_projects_by_initiative_id(initiative.id)
            assert [project.id for project in found] == wanted
    assert await linked(store, other.id) == ["a", "d"]


async def test_the_order_and_kind_of_the_list_of_projects_do_not_matter(store: Store) -> None:
    initiative = await add_initiative(store)
    for id in "abc":
        await add_project(store, id=id)
    await store.projects.set_initiative_projects(initiative.id, ("c", "a", "c", "a"))
    assert await linked(store, initiative.id) == ["a", "c"]


async def test_an_unknown_project_leaves_the_links_as_they_were(store: Store) -> None:
    initiative = await add_initiative(store)
    for id in "ab":
        await add_project(store, id=id)
    await store.projects.set_initiative_projects(initiative.id, ["a"])
    for wanted in (["unknown"], ["b", "unknown"], ["unknown", "a"]):
        with pytest.raises(BrokenReferenceError) as caught:
            async with store.unit_of_work() as uow:
                await uow.projects.set_initiative_projects(initiative.id, wanted)
        assert caught.value.table == "initiative_projects"
        assert caught.value.columns == ("project_id",)
        with pytest.raises(BrokenReferenceError):
            await store.projects.set_initiative_projects(initiative.id, wanted)
        assert await linked(store, initiative.id) == ["a"]


async def test_an_unknown_initiative_has_no_projects_to_set(store: Store) -> None:
    project = await add_project(store)
    with pytest.raises(BrokenReferenceError) as caught:
        async with store.unit_of_work() as uow:
            await uow.projects.set_initiative_projects("unknown", [project.id])
    assert caught.value.table == "initiative_projects"
    assert caught.value.columns == ("initiative_id",)


async def test_a_list_of_projects_may_have_any_length(store: Store) -> None:
    initiative, project = await add_initiative(store), await add_project(store)
    await store.projects.set_initiative_projects(initiative.id, [project.id] * 40_000)
    assert await linked(store, initiative.id) == [project.id]
    unknown = [f"unknown-{number}" for number in range(40_000)]
    with pytest.raises(BrokenReferenceError):
        await store.projects.set_initiative_projects(initiative.id, [project.id, *unknown])
    assert await linked(store, initiative.id) == [project.id]


async def test_hundreds_of_projects_are_linked_and_unlinked_at_once(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow)
        ids = [(await add_project(uow)).id for _ in range(300)]
        await uow.projects.set_initiative_projects(initiative.id, ids)
        await uow.projects.set_initiative_projects(initiative.id, ids[100:])
    assert await linked(store, initiative.id) == ids[100:]


async def test_projects_set_at_once_are_those_of_one_of_the_callers(store: Store) -> None:
    initiative = await add_initiative(store)
    for id in "abcdef":
        await add_project(store, id=id)

    async def set_projects(ids: list[str]) -> None:
        async with store.unit_of_work() as uow:
            await uow.projects.set_initiative_projects(initiative.id, ids)

    wanted = [["a", "b"], ["c", "d"], ["e", "f"], ["a", "f"]]
    await asyncio.gather(*(set_projects(ids) for ids in wanted))
    assert await linked(store, initiative.id) in wanted


async def test_a_deleted_project_takes_its_errands_and_links_along(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow)
        project, other = await add_project(uow), await add_project(uow)
        errand = await add_errand(uow, project_id=project.id)
        kept = await add_errand(uow, project_id=other.id)
        await uow.projects.set_initiative_projects(initiative.id, [project.id, other.id])
        await uow.projects.delete(project.id)
        assert await uow.errands.find_by_id(errand.id) is None
        assert await uow.errands.find_by_id(kept.id) == kept
        assert await uow.projects.find_projects_by_initiative_id(initiative.id) == [other]
        assert await uow.initiatives.find_by_id(initiative.id) == initiative


async def test_projects_may_come_from_an_iterator(store: Store) -> None:
    initiative = await add_initiative(store)
    wanted = [(await add_project(store)).id for _ in range(3)]
    ids: Any = iter(wanted)
    await store.projects.set_initiative_projects(initiative.id, ids)
    assert await linked(store, initiative.id) == wanted
