"""What can be found by prefix, page by page, and by whom a row belongs to; and what answers it."""

import pytest

from builders import (
    add_account,
    add_agent,
    add_chat_session,
    add_conversation,
    add_initiative,
    add_log_chunk,
    add_message,
    add_phase,
    add_project,
    add_task,
)
from cw_store import (
    BrokenReferenceError,
    DependencyCycleError,
    InvalidValueError,
    NotFoundError,
    StaleStateError,
    Store,
)
from every_port import PORTS, Port

LISTED = [port for port in PORTS if port.find]


@pytest.mark.parametrize("port", LISTED, ids=str)
async def test_ids_are_found_by_what_they_begin_with(store: Store, port: Port) -> None:
    ids = ["a", "a%", "a%b", "a_", "aa", "ab", "b", "ä", "a\ud7fb", "a\ue000", "a\U0010ffff!"]
    async with store.unit_of_work() as uow:
        for id in ids:
            await port.add(uow, id=id)
    find_ids = port.method(store, "find_ids")
    for prefix in ("a", "a%", "a_", "ab", "b", "ä", "a\ud7fb", "a\U0010ffff", "zz"):
        assert await find_ids(prefix) == sorted(id for id in ids if id.startswith(prefix)), prefix
    assert set(ids) <= set(await find_ids(""))
    assert await find_ids("a", limit=2) == ["a", "a%"]
    for wrong in (0, "1", True):
        with pytest.raises(InvalidValueError):
            await find_ids("a", limit=wrong)


@pytest.mark.parametrize(
    "port", [port for port in LISTED if port.table not in ("agent_log_chunks", "errands")], ids=str
)
async def test_every_repository_lists_all_page_by_page(store: Store, port: Port) -> None:
    async with store.unit_of_work() as uow:
        created = [await port.add(uow, id=id) for id in ("m", "z", "a")]
    find_all = port.method(store, "find_all")
    assert await find_all() == created
    assert await find_all(limit=2) == created[:2]
    assert await find_all(after="z", limit=2) == created[2:]
    with pytest.raises(NotFoundError):
        await find_all(after="unknown")


async def test_agents_are_found_by_what_they_work_on(store: Store) -> None:
    task, initiative, account = (
        await add_task(store),
        await add_initiative(store),
        await add_account(store),
    )
    first = await add_agent(
        store, task_id=task.id, initiative_id=initiative.id, account_id=account.id
    )
    second = await add_agent(store, task_id=task.id, status="crashed")
    third = await add_agent(store, status="stopped", account_id=account.id)
    agents = store.agents
    assert await agents.find_all_by_task_id(task.id) == [first, second]
    assert await agents.find_by_initiative_id(initiative.id) == [first]
    assert await agents.find_by_account_id(account.id) == [first, third]
    assert await agents.find_by_status("stopped", "crashed", "stopped") == [second, third]
    assert await agents.find_by_status("idle") == [first]
    assert await agents.find_by_status() == []


async def test_initiatives_are_found_by_project(store: Store) -> None:
    project = await add_project(store)
    first, second = await add_initiative(store), await add_initiative(store)
    for initiative in (second, first):
        await store.projects.add_initiative_project(initiative.id, project.id)
    assert await store.initiatives.find_by_project_id(project.id) == [first, second]
    assert await store.initiatives.find_by_project_id("unknown") == []


async def test_tasks_are_counted_by_phase_and_status(store: Store) -> None:
    phase = await add_phase(store)
    for status in ("pending", "pending", "completed"):
        await add_task(store, phase_id=phase.id, status=status)
    await add_task(store, status="blocked")
    of_phase = {phase.id: {"pending": 2, "completed": 1}}
    assert await store.tasks.count_by_status() == {**of_phase, None: {"blocked": 1}}
    assert await store.tasks.count_by_status(phase.initiative_id) == of_phase
    assert await store.tasks.count_by_status("unknown") == {}


async def test_the_last_chunks_of_a_log_are_found(store: Store) -> None:
    chunks = [await add_log_chunk(store) for _ in range(5)]
    assert await store.log_chunks.find_last("a1", limit=2) == chunks[3:]
    assert await store.log_chunks.find_last("a1", limit=9) == chunks
    assert await store.log_chunks.find_last("unknown", limit=9) == []


async def test_pending_questions_are_found_and_those_nobody_will_answer(store: Store) -> None:
    gone = await add_agent(store, status="crashed")
    lost = await add_conversation(store, to_agent_id=gone.id)
    asked, answered = await add_conversation(store), await add_conversation(store)
    await store.conversations.answer(answered.id, "yes")
    assert await store.conversations.find_pending() == [lost, asked]
    assert await store.conversations.find_unanswerable() == [lost]


async def test_a_response_and_the_status_of_what_it_answers_are_one(store: Store) -> None:
    agent = await add_agent(store)
    question = await add_message(
        store, sender_type="agent", sender_id=agent.id, requires_response=True
    )
    with pytest.raises(InvalidValueError):
        await store.messages.respond(question.id, content="\0")
    assert await store.messages.find_by_id(question.id) == question
    reply = await store.messages.respond(question.id, content="yes")
    assert (reply.sender_type, reply.recipient_type, reply.recipient_id) == (
        "user",
        "agent",
        agent.id,
    )
    assert (reply.type, reply.content, reply.parent_message_id) == ("response", "yes", question.id)
    assert await store.messages.find_replies(question.id) == [reply]
    assert await store.messages.find_requiring_response() == []
    with pytest.raises(StaleStateError, match="is responded to already"):
        await store.messages.respond(question.id, content="no")
    with pytest.raises(NotFoundError):
        await store.messages.respond("unknown", content="no")
    assert await store.messages.find_replies(question.id) == [reply]


async def test_a_message_of_a_chat_stamps_its_session(store: Store) -> None:
    session = await add_chat_session(store)
    chat = store.chat_sessions
    made = [
        await chat.create_message(chat_session_id=session.id, role="user", content=f"{n}")
        for n in range(3)
    ]
    found = await chat.find_session_by_id(session.id)
    assert found is not None and found.updated_at > session.updated_at
    assert await chat.find_messages_by_session_id(session.id, limit=2) == made[:2]
    assert await chat.find_messages_by_session_id(session.id, after=made[1].id) == made[2:]
    assert await chat.find_by_target(session.target_type, session.target_id) == [found]
    with pytest.raises(BrokenReferenceError):
        await chat.create_message(chat_session_id="unknown", role="user", content="x")


async def test_dependencies_are_set_as_a_whole_or_not_at_all(store: Store) -> None:
    a, b, c, d = [await add_task(store, id=id) for id in "abcd"]
    await store.tasks.set_dependencies("a", ["b", "c", "b"])
    assert await store.tasks.get_dependencies("a") == [b, c]
    await store.tasks.set_dependencies("a", ["d", "c"])
    assert await store.tasks.get_dependencies("a") == [c, d]
    for wrong, error in ((["a"], DependencyCycleError), (["b", "x"], BrokenReferenceError)):
        with pytest.raises(error):
            await store.tasks.set_dependencies("d" if wrong == ["a"] else "a", wrong)
        assert await store.tasks.get_dependencies("a") == [c, d]
    await store.tasks.create_dependency("b", "a")
    async with store.unit_of_work() as uow:
        with pytest.raises(DependencyCycleError):  # which does not spend the unit
            await uow.tasks.set_dependencies("a", ["d", "b"])
    assert await store.tasks.get_dependencies("a") == [c, d]
    await store.tasks.set_dependencies("a", [])
    assert await store.tasks.get_dependencies("a") == []
    for others in ([], ["a"]):
        with pytest.raises(BrokenReferenceError) as caught:
            await store.tasks.set_dependencies("unknown", others)
        assert caught.value.columns == ("task_id",)
    phase = await add_phase(store)
    other = await add_phase(store)
    await store.phases.set_dependencies(phase.id, [other.id])
    assert await store.phases.get_dependencies(phase.id) == [other]
    assert await store.tasks.get_dependents("b") == [] and a != b
