"""Remarks on single lines of a phase's diff."""

import pytest

from builders import add_phase, add_review_comment
from cw_store import NotFoundError, Store


async def test_a_new_comment_is_yours_and_not_resolved(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase = await add_phase(uow)
        comment = await uow.review_comments.create(
            phase_id=phase.id, file_path="src/a.py", line_number=7, line_type="added", body="Why?"
        )
    assert (comment.phase_id, comment.file_path) == (phase.id, "src/a.py")
    assert (comment.line_number, comment.line_type) == (7, "added")
    assert (comment.body, comment.author) == ("Why?", "you")
    assert comment.resolved is False


async def test_comments_on_a_phase_are_found_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase = await add_phase(uow)
        comments = [await add_review_comment(uow, id=id, phase_id=phase.id) for id in "zam"]
        await add_review_comment(uow)
        assert await uow.review_comments.find_by_phase_id(phase.id) == comments
        resolved = await uow.review_comments.resolve("a")
        found = await uow.review_comments.find_by_phase_id(phase.id)
        assert found == [comments[0], resolved, comments[2]]
        assert await uow.review_comments.find_by_phase_id("unknown") == []


async def test_a_comment_is_resolved_and_opened_again(store: Store) -> None:
    async with store.unit_of_work() as uow:
        comment, other = await add_review_comment(uow), await add_review_comment(uow)
        resolved = await uow.review_comments.resolve(comment.id)
        assert resolved.resolved is True
        assert resolved.updated_at > comment.updated_at
        assert (await uow.review_comments.resolve(comment.id)).resolved is True
        opened = await uow.review_comments.unresolve(comment.id)
        assert opened.resolved is False
        assert opened.updated_at > resolved.updated_at
        again = await uow.review_comments.unresolve(comment.id)
        assert again.resolved is False
        assert await uow.review_comments.find_by_id(comment.id) == again
        assert await uow.review_comments.find_by_id(other.id) == other


async def test_an_unknown_comment_cannot_be_resolved_or_opened(store: Store) -> None:
    async with store.unit_of_work() as uow:
        for call in (uow.review_comments.resolve, uow.review_comments.unresolve):
            with pytest.raises(NotFoundError) as caught:
                await call("unknown")
            assert (caught.value.table, caught.value.id) == ("review_comments", "unknown")


async def test_a_comment_may_be_created_resolved_by_someone_else(store: Store) -> None:
    comment = await add_review_comment(store, author="ada", resolved=True)
    assert (comment.author, comment.resolved) == ("ada", True)
    assert await store.review_comments.find_by_id(comment.id) == comment
