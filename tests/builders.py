"""Rows for tests: each function adds one, with the parents it needs, and returns its record.

`repos` is a unit of work, or a store, whose repositories make each call a transaction of its own.
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from cw_store import (
    Account,
    Agent,
    ChangeSet,
    ChatMessage,
    ChatSession,
    Conversation,
    Errand,
    Initiative,
    LogChunk,
    Message,
    Page,
    Phase,
    Project,
    Proposal,
    ReviewComment,
    Store,
    Task,
    UnitOfWork,
)

Repos: TypeAlias = Store | UnitOfWork

_numbers = itertools.count(1)


def unique(prefix: str) -> str:
    """Return a text that no other call returns."""
    return f"{prefix}-{next(_numbers)}"


async def collected(stream: AsyncIterator[LogChunk]) -> list[LogChunk]:
    return [chunk async for chunk in stream]


def _with(values: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    return {**defaults, **values}


async def _fill(
    repos: Repos, values: dict[str, Any], column: str, add: Callable[[Repos], Awaitable[Any]]
) -> None:
    if column not in values:
        values[column] = (await add(repos)).id


async def add_initiative(repos: Repos, **values: Any) -> Initiative:
    return await repos.initiatives.create(**_with(values, name="User auth"))


async def add_phase(repos: Repos, **values: Any) -> Phase:
    await _fill(repos, values, "initiative_id", add_initiative)
    return await repos.phases.create(**_with(values, name="Groundwork"))


async def add_task(repos: Repos, **values: Any) -> Task:
    return await repos.tasks.create(**_with(values, name="Write the schema"))


async def add_agent(repos: Repos, **values: Any) -> Agent:
    return await repos.agents.create(**_with(values, worktree_id="/worktrees/1"))


async def add_account(repos: Repos, **values: Any) -> Account:
    return await repos.accounts.create(**_with(values, email="ada@example.org"))


async def add_project(repos: Repos, **values: Any) -> Project:
    name = unique("project")
    url = f"https://git.example.org/{name}"
    return await repos.projects.create(**_with(values, name=name, url=url))


async def add_page(repos: Repos, **values: Any) -> Page:
    await _fill(repos, values, "initiative_id", add_initiative)
    return await repos.pages.create(**_with(values, title="Notes"))


async def add_message(repos: Repos, **values: Any) -> Message:
    return await repos.messages.create(
        **_with(values, sender_type="user", recipient_type="user", content="hello")
    )


async def add_proposal(repos: Repos, **values: Any) -> Proposal:
    await _fill(repos, values, "agent_id", add_agent)
    await _fill(repos, values, "initiative_id", add_initiative)
    return await repos.proposals.create(**_with(values, target_type="task", title="Split it"))


async def add_log_chunk(repos: Repos, **values: Any) -> LogChunk:
    origin = _with(values, agent_id="a1", agent_name="brave-otter", session_number=1)
    return await repos.log_chunks.create(**_with(origin, content="{}\n"))


async def add_conversation(repos: Repos, **values: Any) -> Conversation:
    await _fill(repos, values, "from_agent_id", add_agent)
    await _fill(repos, values, "to_agent_id", add_agent)
    return await repos.conversations.create(**_with(values, question="Which port?"))


async def add_chat_session(repos: Repos, **values: Any) -> ChatSession:
    await _fill(repos, values, "initiative_id", add_initiative)
    return await repos.chat_sessions.create_session(
        **_with(values, target_type="phase", target_id="p1")
    )


async def add_chat_message(repos: Repos, **values: Any) -> ChatMessage:
    await _fill(repos, values, "chat_session_id", add_chat_session)
    return await repos.chat_sessions.create_message(**_with(values, role="user", content="hi"))


async def add_review_comment(repos: Repos, **values: Any) -> ReviewComment:
    await _fill(repos, values, "phase_id", add_phase)
    place = _with(values, file_path="src/a.py", line_number=7, line_type="added")
    return await repos.review_comments.create(**_with(place, body="Why?"))


async def add_errand(repos: Repos, **values: Any) -> Errand:
    await _fill(repos, values, "project_id", add_project)
    work = _with(values, description="Bump it", branch="errand/bump")
    return await repos.errands.create(**_with(work, id=unique("errand")))


async def add_change_set(repos: Repos, **values: Any) -> ChangeSet:
    await _fill(repos, values, "initiative_id", add_initiative)
    return await repos.change_sets.create(**_with(values, agent_name="brave-otter", mode="plan"))
