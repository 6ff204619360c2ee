"""The pages: one root per initiative, and the tree below it."""

import asyncio

import pytest

from builders import add_initiative, add_page
from cw_store import AlreadyExistsError, InvalidValueError, NotFoundError, Page, PageExpected, Store


async def test_a_new_page_is_empty_and_the_root(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow)
        page = await uow.pages.create(initiative_id=initiative.id, title="Notes")
        assert (page.parent_page_id, page.content, page.sort_order) == (None, None, 0)
        assert await uow.pages.find_root_page(initiative.id) == page


async def test_an_initiative_may_have_no_root_page(store: Store) -> None:
    initiative = await add_initiative(store)
    assert await store.pages.find_root_page(initiative.id) is None
    assert await store.pages.find_root_page("unknown") is None


async def test_an_initiative_has_one_root_page(store: Store) -> None:
    async with store.unit_of_work() as uow:
        root = await add_page(uow)
        child = await add_page(uow, initiative_id=root.initiative_id, parent_page_id=root.id)
        await add_page(uow)  # another initiative's
    with pytest.raises(AlreadyExistsError) as caught:
        async with store.unit_of_work() as uow:
            await uow.pages.create(initiative_id=root.initiative_id, title="Second")
    assert caught.value.table == "pages"
    assert "initiative_id" in caught.value.columns
    with pytest.raises(AlreadyExistsError):
        await store.pages.update(child.id, parent_page_id=None)
    assert await store.pages.find_by_initiative_id(root.initiative_id) == [root, child]


async def test_the_root_page_is_made_when_there_is_none(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow, name="User auth")
        root = await uow.pages.get_or_create_root_page(initiative.id)
        assert (root.initiative_id, root.parent_page_id) == (initiative.id, None)
        assert (root.title, root.content, root.sort_order) == ("User auth", None, 0)
        assert await uow.pages.get_or_create_root_page(initiative.id) == root
    assert await store.pages.find_root_page(initiative.id) == root
    assert await store.pages.get_or_create_root_page(initiative.id) == root


async def test_the_root_page_that_is_there_is_returned_as_it_is(store: Store) -> None:
    page = await add_page(store, title="Mine", content={"type": "doc"}, sort_order=3)
    assert await store.pages.get_or_create_root_page(page.initiative_id) == page


async def test_an_unknown_initiative_gets_no_root_page(store: Store) -> None:
    async with store.unit_of_work() as uow:
        with pytest.raises(NotFoundError) as caught:
            await uow.pages.get_or_create_root_page("unknown")
        assert (caught.value.table, caught.value.id) == ("initiatives", "unknown")
        # What is only found missing does not spend the unit of work.
        assert await uow.initiatives.find_all() == []
    with pytest.raises(NotFoundError):
        await store.pages.get_or_create_root_page("unknown")


async def test_all_who_ask_for_a_root_page_at_once_get_the_same(store: Store) -> None:
    initiative = await add_initiative(store)

    async def ask() -> Page:
        async with store.unit_of_work() as uow:
            return await uow.pages.get_or_create_root_page(initiative.id)

    calls = (store.pages.get_or_create_root_page(initiative.id) for _ in range(6))
    pages = await asyncio.gather(*(ask() for _ in range(6)), *calls)
    assert len(set(page.id for page in pages)) == 1
    assert await store.pages.find_by_initiative_id(initiative.id) == [pages[0]]


async def test_pages_of_every_level_are_found_by_initiative_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        root = await add_page(uow, id="z")
        child = await add_page(
            uow, id="a", initiative_id=root.initiative_id, parent_page_id="z", sort_order=-1
        )
        grandchild = await add_page(
            uow, id="m", initiative_id=root.initiative_id, parent_page_id="a"
        )
        await add_page(uow)
        found = await uow.pages.find_by_initiative_id(root.initiative_id)
        assert found == [root, child, grandchild]
        assert await uow.pages.find_by_initiative_id("unknown") == []


async def test_children_are_found_by_sort_order_then_age(store: Store) -> None:
    async with store.unit_of_work() as uow:
        root = await add_page(uow)

        async def add_child(id: str, sort_order: int, parent: str = root.id) -> Page:
            return await add_page(
                uow,
                id=id,
                initiative_id=root.initiative_id,
                parent_page_id=parent,
                sort_order=sort_order,
            )

        second, third = await add_child("z", 1), await add_child("a", 1)
        first = await add_child("m", -5)
        below = await add_child("b", -9, parent="z")
        assert await uow.pages.find_by_parent_page_id(root.id) == [first, second, third]
        assert await uow.pages.find_by_parent_page_id("z") == [below]
        assert await uow.pages.find_by_parent_page_id("a") == []
        assert await uow.pages.find_by_parent_page_id("unknown") == []


async def test_a_page_is_never_its_own_ancestor(store: Store) -> None:
    async with store.unit_of_work() as uow:
        root = await add_page(uow)
        child = await add_page(uow, initiative_id=root.initiative_id, parent_page_id=root.id)
        leaf = await add_page(uow, initiative_id=root.initiative_id, parent_page_id=child.id)
        for id, parent in (
            (root.id, root.id),
            (root.id, child.id),
            (root.id, leaf.id),
            (child.id, leaf.id),
            (leaf.id, leaf.id),
        ):
            with pytest.raises(InvalidValueError) as caught:
                await uow.pages.update(id, parent_page_id=parent, title="moved")
            assert (caught.value.table, caught.value.column) == ("pages", "parent_page_id")
        with pytest.raises(InvalidValueError) as caught:
            await uow.pages.create(
                id="own", initiative_id=root.initiative_id, title="x", parent_page_id="own"
            )
        assert (caught.value.table, caught.value.column) == ("pages", "parent_page_id")
    assert uow.committed is True
    found = await store.pages.find_by_initiative_id(root.initiative_id)
    assert found == [root, child, leaf]


async def test_the_parent_of_a_page_is_one_of_its_initiative(store: Store) -> None:
    async with store.unit_of_work() as uow:
        root, other = await add_page(uow), await add_page(uow)
        child = await add_page(uow, initiative_id=root.initiative_id, parent_page_id=root.id)
        with pytest.raises(InvalidValueError) as caught:
            await uow.pages.create(
                initiative_id=root.initiative_id, title="x", parent_page_id=other.id
            )
        assert (caught.value.table, caught.value.column) == ("pages", "parent_page_id")
        for expected in (None, PageExpected(title=child.title)):
            with pytest.raises(InvalidValueError) as caught:
                await uow.pages.update(
                    child.id, parent_page_id=other.id, title="moved", expected=expected
                )
            assert (caught.value.table, caught.value.column) == ("pages", "parent_page_id")
    assert uow.committed is True
    with pytest.raises(InvalidValueError):
        await store.pages.create(
            initiative_id=other.initiative_id, title="x", parent_page_id=child.id
        )
    assert await store.pages.find_all() == [root, other, child]


async def test_a_page_moves_below_another(store: Store) -> None:
    async with store.unit_of_work() as uow:
        root = await add_page(uow)
        one = await add_page(uow, initiative_id=root.initiative_id, parent_page_id=root.id)
        two = await add_page(uow, initiative_id=root.initiative_id, parent_page_id=root.id)
        moved = await uow.pages.update(two.id, parent_page_id=one.id, sort_order=7)
        assert (moved.parent_page_id, moved.sort_order) == (one.id, 7)
        assert await uow.pages.find_by_parent_page_id(one.id) == [moved]
        assert await uow.pages.find_by_parent_page_id(root.id) == [one]


async def test_two_pages_moved_below_one_another_at_once_do_not_lose_their_root(
    store: Store,
) -> None:
    async with store.unit_of_work() as uow:
        root = await add_page(uow)
        one = await add_page(uow, initiative_id=root.initiative_id, parent_page_id=root.id)
        two = await add_page(uow, initiative_id=root.initiative_id, parent_page_id=root.id)

    async def move(id: str, below: str) -> Page:
        async with store.unit_of_work() as uow:
            return await uow.pages.update(id, parent_page_id=below)

    outcomes = await asyncio.gather(
        move(one.id, two.id), move(two.id, one.id), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in refused] == [InvalidValueError]


async def test_a_deleted_page_takes_all_pages_below_it_along(store: Store) -> None:
    async with store.unit_of_work() as uow:
        root = await add_page(uow)
        child = await add_page(uow, initiative_id=root.initiative_id, parent_page_id=root.id)
        leaf = await add_page(uow, initiative_id=root.initiative_id, parent_page_id=child.id)
        sibling = await add_page(uow, initiative_id=root.initiative_id, parent_page_id=root.id)
        await uow.pages.delete(child.id)
        assert await uow.pages.find_by_id(leaf.id) is None
        assert await uow.pages.find_by_initiative_id(root.initiative_id) == [root, sibling]
        await uow.pages.delete(root.id)
        assert await uow.pages.find_by_initiative_id(root.initiative_id) == []
        # There is room for a new root.
        assert (await uow.pages.get_or_create_root_page(root.initiative_id)).id != root.id
