"""What a person does on the page: `POST /act/{what}/{id}`, each one unit of work by `acting`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import NamedTuple, TypeAlias
from urllib.parse import parse_qsl

from starlette.requests import Request

from cw_store import (
    InvalidValueError,
    NotFoundError,
    ReadOnlyError,
    Store,
    StoreBusyError,
    UnitOfWork,
    acting,
)
from cw_store.acting import NotForYouError, TooLateError
from cw_store.lengths import NoTimeError, time_of

LABEL = "cw-store live"
"""What others are told who wait for the turn meanwhile."""

LARGEST_FORM = 300_000
"""Bytes of what is typed into a form, at most."""

FORM_SECONDS = 10.0
"""Seconds until a form has to be here."""

MOST_FIELDS = 10

Form: TypeAlias = Mapping[str, str]
Act: TypeAlias = Callable[[UnitOfWork, str, Form], Awaitable[str]]
"""Does something about the row of this id, and says what it did."""


class Outcome(NamedTuple):
    """What came of an action: a status of HTTP, and a sentence."""

    status: int
    told: str


class FormError(Exception):
    """A form has not what it needs; the message says what."""


async def _answer_message(uow: UnitOfWork, id: str, form: Form) -> str:
    return (await acting.answer_message(uow, id, _text(form))).told


async def _answer_question(uow: UnitOfWork, id: str, form: Form) -> str:
    return (await acting.answer_question(uow, id, _text(form))).told


async def _retry(uow: UnitOfWork, id: str, form: Form) -> str:
    return f"{(await acting.begin_anew(uow, id)).name} begins anew"


async def _account_available(uow: UnitOfWork, id: str, form: Form) -> str:
    marked = await acting.mark_account(uow, id, "available", expected=_was_out(form))
    return f"{marked.email} is available"


async def _account_exhausted(uow: UnitOfWork, id: str, form: Form) -> str:
    until = await _until(uow, form)
    marked = await acting.mark_account(uow, id, "exhaust", until, expected=_was_out(form))
    longer = ", for longer than that, as was reported before" if marked.stays_longer else ""
    return f"{marked.email} is exhausted{longer}"


async def _accept(uow: UnitOfWork, id: str, form: Form) -> str:
    return f"accepted: {(await acting.decide(uow, id, 'accepted')).title}"


async def _dismiss(uow: UnitOfWork, id: str, form: Form) -> str:
    return f"dismissed: {(await acting.decide(uow, id, 'dismissed')).title}"


async def _resolve(uow: UnitOfWork, id: str, form: Form) -> str:
    comment = await acting.resolve_comment(uow, id)
    return f"resolved the comment on {comment.file_path}:{comment.line_number}"


async def _dismiss_agent(uow: UnitOfWork, id: str, form: Form) -> str:
    agent = await acting.dismiss_agent(uow, id, await uow.claims.now())
    return f"{agent.name} is dismissed"


ACTS: Mapping[str, Act] = {
    "answer-message": _answer_message,
    "answer-question": _answer_question,
    "retry": _retry,
    "account-available": _account_available,
    "account-exhausted": _account_exhausted,
    "accept": _accept,
    "dismiss": _dismiss,
    "resolve": _resolve,
    "dismiss-agent": _dismiss_agent,
}
"""All that can be done, by the name in the address."""


async def perform(store: Store, act: Act, id: str, form: Form) -> Outcome:
    """Do it in one unit of work; whatever keeps it from being done is told and not raised."""
    try:
        return Outcome(200, await store.run(lambda uow: act(uow, id, form), label=LABEL))
    except TooLateError as error:
        return Outcome(409, f"someone was faster: {error}")
    except NotFoundError:
        return Outcome(404, "it is gone: someone deleted it")
    except StoreBusyError:
        return Outcome(503, "others are writing; try again in a moment")
    except ReadOnlyError:
        return Outcome(403, "this store is open to be looked at, and nothing can be changed")
    except (FormError, InvalidValueError, NoTimeError, NotForYouError) as error:
        return Outcome(400, str(error))


async def form_of(request: Request) -> Form:
    """Return the fields of a form that was sent; FormError when it is none, or too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise FormError("a form is sent as application/x-www-form-urlencoded")
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_FORM:
                    raise FormError("this is longer than what can be sent at once")
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except (TimeoutError, ValueError) as error:
        raise FormError("the form did not come whole") from error
    # Browsers send an end of a line as two characters.
    return {name: value.replace("\r\n", "\n") for name, value in fields}


def _text(form: Form) -> str:
    text = form.get("text", "")
    if not text.strip():
        raise FormError("an answer has some text")
    return text


async def _until(uow: UnitOfWork, form: Form) -> datetime | None:
    """Return until when, None for without end."""
    typed = form.get("until", "").strip()
    if not typed:
        return None
    now = await uow.claims.now()
    until = time_of(typed, now)
    if until <= now:
        raise FormError("a rest ends at a time that is still to come")
    return until


def _was_out(form: Form) -> bool | None:
    """Return whether the account was exhausted in the eyes of whoever acts."""
    return {"exhausted": True, "available": False}.get(form.get("expected", ""))
