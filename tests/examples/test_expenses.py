"""Expense reports are checked once each, and a person is asked once, whatever is killed."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from examples.expenses.__main__ import alone_in, run
from examples.expenses.desk import PROVIDER, check_all, describe, plan

from cw_store import Message, Store, UnitOfWork
from cw_store.testing import killed_while

MARCH = "what,amount\ntrain,40.00\nhotel,240.00\ntotal,280.00\n"
APRIL = "what,amount\ntaxi,20.00\ntaxi,20.00\ntotal,45.00\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "march.csv").write_text(MARCH)
    (tmp_path / "april.csv").write_text(APRIL)
    return tmp_path


async def a_question(uow: UnitOfWork) -> Message | None:
    return next(iter(await uow.messages.find_requiring_response()), None)


async def check_and_answer(store: Store, folder: Path, answer: str) -> None:
    """Have all reports checked, and say this to the first question."""
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(check_all(store, folder))
        question = await store.wait_for(a_question)
        await store.messages.respond(question.id, content=answer)


async def found(store: Store) -> list[str]:
    return [
        f"{comment.file_path}:{comment.line_number}: {comment.body}"
        for comment in await store.review_comments.find_all()
    ]


async def test_what_checks_find_and_what_a_person_does_not_allow_is_found(
    cw_store: Store, folder: Path
) -> None:
    await check_and_answer(cw_store, folder, "no, 120 at most")
    assert sorted(await found(cw_store)) == [
        "april.csv:3: taxi for 20.00 is there twice",
        "april.csv:4: the total is 45.00, and the lines are 40.00",
        "march.csv:3: Is hotel for 240.00 all right? no, 120 at most",
    ]


async def test_what_a_person_allows_is_not_found(cw_store: Store, folder: Path) -> None:
    (folder / "april.csv").unlink()
    await check_and_answer(cw_store, folder, "Yes")
    assert await found(cw_store) == []


async def test_both_accounts_are_used(cw_store: Store, folder: Path) -> None:
    await check_and_answer(cw_store, folder, "yes")
    agents = await cw_store.agents.find_all()
    assert len({agent.account_id for agent in agents}) == 2


async def test_no_report_is_judged_before_all_are_added_up(cw_store: Store, folder: Path) -> None:
    await plan(cw_store, folder)
    first = await cw_store.claims.take(
        "add-up/april.csv", holder="h", worktree_id="w", provider=None
    )
    await cw_store.claims.complete(first)
    assert await ready(cw_store) == ["add-up/march.csv"]
    second = await cw_store.claims.take(
        "add-up/march.csv", holder="h", worktree_id="w", provider=None
    )
    await cw_store.claims.complete(second)
    assert await ready(cw_store) == ["judge/april.csv", "judge/march.csv"]


async def ready(store: Store) -> list[str]:
    return [task.id for task in await store.claims.find_ready(provider=PROVIDER)]


async def killed_when_it_has_asked(here: Callable[[], None], url: str, folder: Path) -> None:
    async with Store(url) as store, asyncio.TaskGroup() as tasks:
        tasks.create_task(check_all(store, folder))
        await store.wait_for(a_question)
        await store.wait_for(three_are_done)
        here()


async def three_are_done(uow: UnitOfWork) -> bool:
    return len(await uow.tasks.find_by_status("completed")) == 3


async def test_after_a_kill_nothing_is_lost_or_done_or_asked_again(
    cw_store: Store, cw_store_url: str, folder: Path
) -> None:
    await killed_while(killed_when_it_has_asked, cw_store_url, folder)
    [question] = await cw_store.messages.find_requiring_response()
    await cw_store.messages.respond(question.id, content="no")
    async with asyncio.timeout(30):
        await check_all(cw_store, folder)

    assert [message.type for message in await cw_store.messages.find_all()] == [
        "question",
        "response",
    ]
    assert len(await found(cw_store)) == 3
    tries = [str(agent.task_id) for agent in await cw_store.agents.find_all()]
    assert sorted(tries) == [
        "add-up/april.csv",
        "add-up/march.csv",
        "judge/april.csv",
        "judge/march.csv",
        "judge/march.csv",  # the one that waited when it was killed
    ]
    assert {task.retry_count for task in await cw_store.tasks.find_all()} == {0}


async def test_a_check_that_was_answered_and_taken_away_asks_no_second_time(
    cw_store: Store, folder: Path
) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(check_all(cw_store, folder))
        question = await cw_store.wait_for(a_question)
        await cw_store.claims.revoke("judge/march.csv")
        await cw_store.messages.respond(question.id, content="no")
    assert len(await cw_store.messages.find_all()) == 2
    assert len(await found(cw_store)) == 3


async def test_who_waits_for_a_person_keeps_nobody_from_asking(
    cw_store: Store, folder: Path
) -> None:
    (folder / "april.csv").write_text(MARCH)

    async def both_ask(uow: UnitOfWork) -> list[Message] | None:
        questions = await uow.messages.find_requiring_response()
        return questions if len(questions) == 2 else None

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(check_all(cw_store, folder, processes=1))
        for question in await cw_store.wait_for(both_ask):
            await cw_store.messages.respond(question.id, content="yes")


async def test_a_file_that_is_no_report_waits_for_a_person(cw_store: Store, tmp_path: Path) -> None:
    report = tmp_path / "march.csv"
    report.write_text("what,amount\ntrain,forty\n")

    async def blocked(uow: UnitOfWork) -> bool:
        return bool(await uow.tasks.find_by_status("blocked"))

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(check_all(cw_store, tmp_path))
        await cw_store.wait_for(blocked)
        assert await describe(cw_store) == [
            "0 of 2 checks are done",
            "waits: march.csv: 1 failed try",
            "    cw-store retry add-up/march.csv",
        ]
        report.write_text("what,amount\ntrain,40.00\ntotal,40.00\n")
        await cw_store.tasks.update("add-up/march.csv", status="pending")
    assert await describe(cw_store) == ["2 of 2 checks are done"]


async def test_what_waits_is_shown_with_the_command_that_answers_it(
    cw_store: Store, folder: Path
) -> None:
    assert await describe(cw_store) == ["nothing is planned"]
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(check_all(cw_store, folder))
        await cw_store.wait_for(three_are_done)
        await cw_store.wait_for(a_question)
        done, waits, command, *rest = await describe(cw_store)
        assert done == "3 of 4 checks are done"
        assert waits.endswith(" asks you: march.csv:3: Is hotel for 240.00 all right?")
        assert command == "    cw-store answer judge/march.csv:3 TEXT"
        assert len(rest) == 2
        await cw_store.messages.respond("judge/march.csv:3", content="yes")


async def test_two_processes_do_not_check_one_folder(cw_store_url: str, folder: Path) -> None:
    with alone_in(folder), pytest.raises(SystemExit, match="another process"):
        await run(cw_store_url, folder)


async def test_a_folder_without_reports_is_refused(cw_store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no report"):
        await check_all(cw_store, tmp_path)
    assert await cw_store.initiatives.find_all() == []


async def test_a_store_is_for_the_reports_of_one_folder(cw_store: Store, folder: Path) -> None:
    await plan(cw_store, folder)
    other = folder / "other"
    other.mkdir()
    (other / "may.csv").write_text(MARCH)
    with pytest.raises(ValueError, match="another store"):
        await plan(cw_store, other)
