"""Looking: `ls`, `show`, `ready`, `inbox`, `logs`, `search`, and drawings, reports, `watch`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from cw_store.cli.context import Here
from cw_store.cli.parameters import flag, id_of, word

What = Literal[
    "initiatives",
    "phases",
    "tasks",
    "agents",
    "accounts",
    "conversations",
    "messages",
    "proposals",
    "pages",
    "projects",
    "errands",
    "reviews",
    "chats",
    "changesets",
]

AGENTS = ("agent name", "agent")
SHOWN = (*AGENTS, "initiative", "phase", "task", "question", "message", "proposal")

Initiative = Annotated[str | None, id_of("Only of this initiative (id or name).", "initiative")]
File = Annotated[
    str | None,
    Parameter(
        alias="-o",
        metavar="FILE",
        allow_leading_hyphen=True,
        help="Write it to this file instead of stdout; - is stdout.",
    ),
]
Statuses = Annotated[
    tuple[str, ...],
    Parameter(
        metavar="STATUS",
        negative="",
        show_default=False,
        help="Only those in this status; may be repeated.",
    ),
]


async def ls(
    what: Annotated[What, Parameter(help="What to list.")],
    /,
    *,
    status: Statuses = (),
    initiative: Initiative = None,
    phase: Annotated[str | None, id_of("Only those of this phase.", "phase")] = None,
    task: Annotated[str | None, id_of("Only those of this task.", "task")] = None,
    agent: Annotated[
        str | None, id_of("Only those of, from or to this agent.", "agent name", "agent")
    ] = None,
    account: Annotated[
        str | None, id_of("Only those of this account (or address).", "account")
    ] = None,
    project: Annotated[
        str | None, id_of("Only those of this project (or name).", "project")
    ] = None,
    provider: Annotated[
        str | None, Parameter(metavar="NAME", help="Only those of this provider.")
    ] = None,
    sort: Annotated[
        str | None,
        word("Order by this column; with a hyphen before it the other way round.", "COLUMN"),
    ] = None,
    limit: Annotated[int, Parameter(help="At most so many.")] = 100,
    after: Annotated[str | None, word("Go on behind the one with this id.", "ID")] = None,
    columns: Annotated[
        str | None, Parameter(metavar="COLUMNS", help="Show these columns: id,name,…")
    ] = None,
    here: Here,
) -> None:
    """List what is stored, in the order of storing.

    References are shown by name; `--columns` takes a table's columns, `phase_id` as well as
    `phase`. What is left over is said on stderr.
    """
    from cw_store.cli.listing import Asked, list_rows

    references = {
        "initiative": initiative,
        "phase": phase,
        "task": task,
        "agent": agent,
        "account": account,
        "project": project,
    }
    asked = Asked(status, references, provider, sort, limit, after, columns)
    await list_rows(here, what, asked)


async def show(
    id: Annotated[str, id_of("An id, its beginning, or a name.", *SHOWN)],
    /,
    *,
    here: Here,
) -> None:
    """Show one thing, and what belongs to it.

    A task with why it waits, its agents and the questions about it; an agent with its questions and
    sessions.
    """
    from cw_store.cli.showing import show_one

    await show_one(here, id)


async def ready(
    initiative: Initiative = None,
    /,
    *,
    explain: Annotated[bool, flag("Each task that is not completed, and what holds it.")] = False,
    provider: Annotated[
        str | None,
        Parameter(metavar="NAME", help="Whose account has to be free; anybody's unless given."),
    ] = None,
    limit: Annotated[int, Parameter(help="At most so many.")] = 100,
    here: Here,
) -> None:
    """Show what could start now, or what holds each task.

    In the order in which tasks would be claimed.
    """
    from cw_store.cli.readying import show_ready

    await show_ready(here, initiative, provider, limit, explains=explain)


async def inbox(
    initiative: Initiative = None,
    /,
    *,
    limit: Annotated[int, Parameter(help="At most so many.")] = 100,
    here: Here,
) -> None:
    """Show what waits for a person, and how to answer it.

    Oldest first: messages to you, agents that wait for input, questions that nobody can answer any
    more, blocked tasks, what is to be reviewed, proposals, comments, and accounts that only a
    person brings back.
    """
    from cw_store.cli.inboxes import show_inbox

    await show_inbox(here, initiative, limit)


async def search(
    text: Annotated[str, word("What to find, in any case; or the beginning of an id.")],
    /,
    *,
    limit: Annotated[int, Parameter(help="At most so many of each kind.")] = 20,
    here: Here,
) -> None:
    """Find a text in names, questions, pages and logs.

    The newest first. A search looks at so many rows, and for so long; where it was cut off is said
    on stderr.
    """
    from cw_store.cli.inboxes import show_search

    await show_search(here, text, limit)


async def logs(
    agent: Annotated[str, id_of("The agent's name, its id, or the beginning of that.", *AGENTS)],
    /,
    *,
    follow: Annotated[bool, flag("Go on with what comes, until Ctrl-C.", "-f")] = False,
    session: Annotated[int | None, Parameter(help="Only this session: 1 is the first.")] = None,
    since: Annotated[
        str | None, Parameter(metavar="AGE", help="Only the last 10m, 2h, 3d.")
    ] = None,
    grep: Annotated[
        str | None, word("Only what has this text in it, in capitals or small letters.")
    ] = None,
    raw: Annotated[bool, flag("As it was written, not decoded.")] = False,
    here: Here,
) -> None:
    """Show what an agent wrote, and what it writes from now on.

    In a pipe each line is time, session, kind and text; with `--json` each is an object in an
    envelope of its own. The log of a deleted agent is found by the agent's whole id.
    """
    from cw_store.cli.logs import Asked, show_log
    from cw_store.lengths import length_of

    begin = None if since is None else here.now() - length_of(since)
    await show_log(here, agent, Asked(session, begin, grep, raw, follow))


async def graph(
    initiative: Initiative = None,
    /,
    *,
    format: Annotated[
        Literal["text", "svg", "html", "mermaid", "dot"],
        Parameter(help="A list, a drawing, or what draws one."),
    ] = "text",
    output: File = None,
    here: Here,
) -> None:
    """Show a plan: who waits for whom, as text or a drawing.

    As text it is a list by phase, each task with its lane and what it still waits for. As `svg` it
    is a drawing and as `html` a page with it, in one file each, for which the extra live is needed;
    the others are the source of a picture for Mermaid and for Graphviz (`dot -Tsvg`).
    """
    from cw_store.cli.graphs import show_graph

    await show_graph(here, initiative, format, output)


async def timeline(
    initiative: Initiative = None,
    /,
    *,
    format: Annotated[
        Literal["text", "svg", "html"], Parameter(help="A table, or a drawing.")
    ] = "text",
    output: File = None,
    here: Here,
) -> None:
    """Show who was at what, and when.

    A row for each task that an agent was at, with its tries side by side, those first that were
    begun first. In a pipe it is a line for each try. As `svg` it is a drawing and as `html` a page
    with it, in one file each, for which the extra live is needed.
    """
    from cw_store.cli.timelines import show_timeline

    await show_timeline(here, initiative, format, output)


async def report(
    initiative: Initiative = None,
    /,
    *,
    output: File = None,
    here: Here,
) -> None:
    """Write all that is to be seen into one HTML file.

    What waits for a person, the board, the graph, the timeline, questions and accounts, of an
    initiative or of all that are not archived. The file needs no other and asks nobody for
    anything. The extra live is needed for it.
    """
    from cw_store.cli.reporting import write_report

    await write_report(here, initiative, output)


async def watch(
    initiative: Initiative = None,
    /,
    *,
    every: Annotated[
        str, Parameter(metavar="TIME", help="How often to look: 1s, 500ms, 1min.")
    ] = "1s",
    here: Here,
) -> int:
    """Show what happens until the initiative ends.

    Without one, until none is active. What waits for you, agents and accounts; drawn anew on a
    terminal, in a pipe a line for what is new. When nothing goes on until a person does something,
    it ends with the exit code 1.
    """
    from cw_store.cli.watching import watch as watch_store
    from cw_store.lengths import length_of

    return await watch_store(here, initiative, length_of(every).total_seconds())
