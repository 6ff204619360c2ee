"""`inbox` and `search`: views of `cw_store.views`, as tables."""

from __future__ import annotations

from dataclasses import replace

from cw_store import views
from cw_store.cli.blocks import Block, Table
from cw_store.cli.context import Context
from cw_store.cli.failures import UsageError
from cw_store.cli.finding import find

LONGEST = 400
"""Characters of what somebody wants that are shown; cw-store show shows all."""

WAITS = {
    "phase": "is to be reviewed",
    "initiative": "is to be reviewed",
    "account": "is exhausted until somebody brings it back",
    "agent": "waits for input",
}
"""What is said of something that waits by its state, and says nothing itself."""

INBOX = ("since", "kind", "what", "command")


async def show_inbox(here: Context, initiative: str | None, limit: int) -> None:
    """Show what waits for a person, oldest first."""
    if limit < 1:
        raise UsageError("--limit is at least 1")
    async with here.reading() as store, store.unit_of_work(read_only=True) as uow:
        of = None if initiative is None else (await find(uow, initiative, "initiative")).id
        inbox = await views.inbox(uow, initiative_id=of, limit=limit)
    items = tuple(replace(item, command=here.command(item.command)) for item in inbox.items)
    inbox = replace(inbox, items=items)
    rows = [(item.since, item.kind, what_waits(item), item.command) for item in inbox.items]
    table = Table(INBOX, rows, nothing="nothing waits for you")
    here.output.page(inbox, table, now=inbox.now)
    if inbox.total > len(inbox.items):
        here.output.remark(f"{inbox.total} wait in all; --limit shows more of them")


def what_waits(item: views.InboxItem) -> str:
    """Return one line that says who wants what."""
    if item.kind in WAITS and not item.text:
        return f"{item.title} {WAITS[item.kind]}"
    who = f"{item.who}: " if item.who and item.who not in item.title else ""
    said = f"{who}{item.title}" + (f": {item.text}" if item.text else "")
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}…"


async def show_search(here: Context, text: str, limit: int) -> None:
    """Show where a text is found, kind by kind; say where it was not looked."""
    if not text:
        raise UsageError("there is nothing to search for")
    if limit < 1:
        raise UsageError("--limit is at least 1")
    async with here.reading() as store:
        result = _about(here, await views.search(store, text, limit=limit))
    rows = [
        (hit.kind, hit.at, hit.title, hit.excerpt, hit.command)
        for group in result.groups
        for hit in group.hits
    ]
    columns = ("kind", "at", "title", "excerpt", "command")
    blocks: list[Block] = [Table(columns, rows, nothing="found nowhere")]
    here.output.page(result, *blocks, now=result.now)
    for group in result.groups:
        if group.cut is not None:
            here.output.remark(_where_it_was_cut(group))


def _about(here: Context, result: views.SearchResult) -> views.SearchResult:
    """Return what was found with commands for the store that was searched."""
    groups = (
        replace(
            group,
            hits=tuple(replace(hit, command=here.command(hit.command)) for hit in group.hits),
        )
        for group in result.groups
    )
    return replace(result, groups=tuple(groups))


def _where_it_was_cut(group: views.SearchGroup) -> str:
    match group.cut:
        case "hits":
            return f"{group.kind}: there may be more; --limit shows more of them"
        case "rows":
            return f"{group.kind}: only the newest {group.rows_looked_at} were looked at"
        case _:
            return f"{group.kind}: the time was over after {group.rows_looked_at} were looked at"
