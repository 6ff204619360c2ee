"""Acting: `answer`, `retry`, `account`, `accept`, `dismiss`, `resolve`.

Nothing is ever deleted here.
"""

from typing import Annotated, Literal

from cyclopts import Parameter

from cw_store.cli.context import Here
from cw_store.cli.parameters import flag, id_of, word


async def answer(
    id: Annotated[str, id_of("A message to you, or an agent's question.", "message", "question")],
    text: Annotated[str, word("The answer; - reads it from stdin.")],
    /,
    *,
    here: Here,
) -> None:
    """Answer a message to you, or an agent's question.

    A message gets a reply and is then responded to; a question gets its one answer, for which the
    agent that asked may be waiting. Whoever answers second is told so, and changes nothing.
    """
    from cw_store.cli.acting import answer_one, typed_or_read

    await answer_one(here, id, typed_or_read(text))


async def retry(
    *tasks: Annotated[str, id_of("Blocked tasks.", "blocked task")],
    blocked: Annotated[bool, flag("All tasks that are blocked.")] = False,
    initiative: Annotated[str | None, id_of("With --blocked, of this alone.", "initiative")] = None,
    here: Here,
) -> None:
    """Begin blocked tasks anew: pending, with no retry counted.

    All of them or none; one that is not blocked any more is somebody else's by now.
    """
    from cw_store.cli.acting import retry_tasks

    await retry_tasks(here, tasks, is_all=blocked, initiative=initiative)


async def account(
    action: Annotated[
        Literal["available", "exhaust"], Parameter(help="Bring it back, or take it out.")
    ],
    email: Annotated[str, id_of("The account's address or id.", "account")],
    /,
    *,
    until: Annotated[
        str | None,
        Parameter(
            metavar="TIME", help="Take it out until then: 2026-11-30T09:00 (UTC), or 2h from now."
        ),
    ] = None,
    here: Here,
) -> None:
    """Bring an account back, or take it out.

    Without `--until` it stays out until it is brought back. What an agent has reported before is
    never shortened by taking it out.
    """
    from cw_store.cli.acting import mark_account

    await mark_account(here, action, email, until)


async def accept(
    proposal: Annotated[str, id_of("A pending proposal.", "proposal")], /, *, here: Here
) -> None:
    """Accept what an agent proposes.

    The proposal is marked; whoever supervises the agents does what it says.
    """
    from cw_store.cli.acting import accept_proposal

    await accept_proposal(here, proposal)


async def dismiss(
    id: Annotated[
        str, id_of("A pending proposal, or an agent that crashed.", "proposal", "crashed agent")
    ],
    /,
    *,
    here: Here,
) -> None:
    """Dismiss what an agent proposes, or an agent that crashed.

    Of an agent it is noted that a person has seen that it crashed; nothing else of it changes.
    """
    from cw_store.cli.acting import dismiss_one

    await dismiss_one(here, id)


async def resolve(
    *comments: Annotated[str, id_of("Review comments.", "comment"), Parameter(required=True)],
    here: Here,
) -> None:
    """Mark review comments resolved.

    All of them or none; one that is resolved already was somebody else's.
    """
    from cw_store.cli.acting import resolve_comments

    await resolve_comments(here, comments)
