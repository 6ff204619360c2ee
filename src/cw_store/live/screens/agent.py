"""One agent: its log as it comes, its questions both ways, and who was at its task before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import bindparam, func, select

from cw_store import UnitOfWork, metadata, views
from cw_store.decoding import Lines, Said, said_in
from cw_store.live.pages import Page, Part, Region, Viewer
from cw_store.live.rendering import part
from cw_store.live.screens.head import empty, screen_url
from cw_store.views.inboxes import in_words

CHUNKS = 200
"""So many chunks of the end of a log are shown, and up to `STEP` more."""

STEP = 50
"""So many of the oldest go at once when there are more: each of them changes the page."""

LONGEST_CHUNK = 20_000
"""Characters of a chunk that are shown."""

LONGEST = 4_000
"""Characters of a line that are shown."""


class Chunk(NamedTuple):
    """What is shown of a chunk of a log; `is_cut` says that there is more of it."""

    id: str
    session_number: int
    created_at: datetime
    content: str
    is_cut: bool


async def agent(source: views.Source, viewer: Viewer, agent_id: str | None) -> Page:
    """Return the screen of an agent, by its id or name; NotFoundError when there is none."""
    return await _agent(source, viewer, agent_id or "", raw=False)


async def raw_agent(source: views.Source, viewer: Viewer, agent_id: str | None) -> Page:
    """Return the same with its log as it is."""
    return await _agent(source, viewer, agent_id or "", raw=True)


async def _agent(source: views.Source, viewer: Viewer, agent_id: str, *, raw: bool) -> Page:
    async with views.snapshot(source) as uow:
        seen = await views.agent(uow, agent_id)
        chunks = await _last_chunks(uow, seen)
        found = await uow.agents.find_by_id(seen.agent.id)
    here = viewer.url("agent", seen.agent.id)
    is_dismissed = found is not None and found.user_dismissed_at is not None
    return Page(
        seen.agent.name,
        "agent",
        (
            Region("about", (_about(viewer, seen),)),
            Region("facts", (_facts(viewer, seen, here, is_dismissed=is_dismissed),)),
            Region("log-ways", (_ways(viewer, seen, raw=raw),)),
            Region("log", tuple(_log(viewer, seen, chunks, raw=raw))),
            Region("asked", tuple(_questions(viewer, seen.asked, here, "asked"))),
            Region("asked-of-it", tuple(_questions(viewer, seen.asked_of_it, here, "of-it"))),
            Region("messages", tuple(_messages(viewer, seen, here))),
            Region("tries", tuple(_tries(viewer, seen))),
        ),
        seen.now,
    )


chunks = metadata.tables["agent_log_chunks"]

LAST = (
    select(
        chunks.c.id,
        chunks.c.session_number,
        chunks.c.created_at,
        func.substr(chunks.c.content, 1, LONGEST_CHUNK).label("content"),
        (func.length(chunks.c.content) > LONGEST_CHUNK).label("is_cut"),
    )
    .where(chunks.c.agent_id == bindparam("agent_id"))
    .order_by(chunks.c.seq.desc())
    .limit(bindparam("limit"))
)


async def _last_chunks(uow: UnitOfWork, seen: views.AgentView) -> list[Chunk]:
    """Return the end of the log, which begins where it began before for a while."""
    there = sum(session.chunks for session in seen.sessions)
    values = {"agent_id": seen.agent.id, "limit": CHUNKS + there % STEP}
    rows = (await uow.session.execute(LAST, values)).all()
    return [
        Chunk(row.id, row.session_number, row.created_at, row.content, bool(row.is_cut))
        for row in reversed(rows)
    ]


def _about(viewer: Viewer, seen: views.AgentView) -> Part:
    id = seen.agent.initiative_id
    return part(
        "about-agent",
        "agent_about.html",
        viewer,
        name=seen.agent.name,
        status=seen.agent.status,
        initiative=seen.initiative_name,
        url=None if id is None else screen_url(viewer, "now", id),
    )


def _facts(viewer: Viewer, seen: views.AgentView, here: str, *, is_dismissed: bool) -> Part:
    account = seen.account
    return part(
        "facts-all",
        "agent_facts.html",
        viewer,
        agent=seen.agent,
        phase=seen.phase_name,
        task_status=seen.task_status,
        retries=(seen.retry_count, seen.max_retries),
        account=(account.email, account.state, account.until) if account else None,
        claim=seen.claim,
        waits_for=in_words(seen.pending_questions),
        result=in_words(seen.result),
        session_id=seen.session_id,
        here=here,
        is_dismissed=is_dismissed,
    )


# The log: a part for each chunk, which never changes once it is whole.


def _ways(viewer: Viewer, seen: views.AgentView, *, raw: bool) -> Part:
    return part(
        "log-way",
        "log_ways.html",
        viewer,
        lines_url=viewer.url("agent", seen.agent.id),
        raw_url=viewer.url("agent", seen.agent.id, "raw"),
        is_raw=raw,
        chunks=sum(session.chunks for session in seen.sessions),
        shown=CHUNKS,
        sessions=len(seen.sessions),
        name=seen.agent.name,
    )


def _log(
    viewer: Viewer, seen: views.AgentView, chunks: Iterable[Chunk], *, raw: bool
) -> Iterator[Part]:
    lines = Lines()
    session = None
    has_ended = seen.agent.status in ("stopped", "crashed")
    for chunk, after in pairwise((*chunks, None)):
        assert chunk is not None
        if chunk.session_number != session:
            lines = Lines()
        told = as_it_is(chunk.content) if raw else [*decoded(lines.add(chunk.content))]
        is_last = has_ended if after is None else after.session_number != chunk.session_number
        if is_last or chunk.is_cut:
            # Nobody ends this line any more: what a crash cut off is what was written last.
            told += decoded(filter(None, [lines.rest()]))
        yield part(
            f"chunk-{chunk.id}",
            "log_chunk.html",
            viewer,
            at=chunk.created_at,
            begins=chunk.session_number if chunk.session_number != session else None,
            said=tuple(told),
            is_cut=chunk.is_cut,
        )
        session = chunk.session_number
    if session is None:
        yield empty("log-empty", viewer, "Nothing written yet.")


def as_it_is(content: str) -> list[Said]:
    """Return what a chunk holds, each line of it as it is."""
    return [Said("", line[:LONGEST]) for line in content.split("\n") if line]


def decoded(lines: Iterable[str]) -> Iterator[Said]:
    """Give what lines say; text that is longer than anybody reads is cut."""
    for line in lines:
        for said in said_in(line):
            yield Said(said.kind, said.text[:LONGEST])


# The rest.


def _questions(
    viewer: Viewer, questions: Iterable[views.QuestionSeen], here: str, which: str
) -> Iterator[Part]:
    is_none = True
    for question in reversed(list(questions)):
        is_none = False
        yield part(f"{which}-{question.id}", "question.html", viewer, question=question, here=here)
    if is_none:
        told = "It asked nobody." if which == "asked" else "Nobody asked it."
        yield empty(f"{which}-empty", viewer, told, "li")


def _messages(viewer: Viewer, seen: views.AgentView, here: str) -> Iterator[Part]:
    for message in reversed(seen.messages):
        yield part(
            f"message-{message.id}",
            "message.html",
            viewer,
            message=message,
            name=seen.agent.name,
            here=here,
        )
    if not seen.messages:
        yield empty("messages-empty", viewer, "No messages.", "li")


def _tries(viewer: Viewer, seen: views.AgentView) -> Iterator[Part]:
    for number, each in reversed([*enumerate(seen.tries, start=1)]):
        yield part(
            f"try-{each.id}",
            "try.html",
            viewer,
            number=number,
            agent=each,
            is_this=each.id == seen.agent.id,
        )
    if not seen.tries:
        yield empty("tries-empty", viewer, "It has no task.", "li")
