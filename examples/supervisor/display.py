"""What a reader sees: the table of tasks while they run, and the summary at the end.

Both are read from the store alone, each in one read-only unit of work: a snapshot that waits for
no writer and makes none wait. Whatever is stored may hold anything, so all of it is shown through
`harmless`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from cw_store import Account, Agent, Phase, Store, Task, UnitOfWork

from .terminal import harmless

COLOURS = {"completed": "green", "in_progress": "yellow", "blocked": "red", "pending": "dim"}
LAST_LINES = 10


def plain(text: str, style: str = "") -> Text:
    """Return the text for a table or a console: harmless, and its brackets are no markup."""
    return Text(harmless(text), style=style)


@dataclass(frozen=True, slots=True)
class Progress:
    """The rows that the table of tasks is made of, of one snapshot."""

    tasks: list[Task]
    phases: list[Phase]
    agents: list[Agent]
    accounts: list[Account]


async def read_progress(uow: UnitOfWork, initiative_id: str) -> Progress:
    """Read how far the initiative is."""
    return Progress(
        await uow.tasks.find_by_initiative_id(initiative_id),
        await uow.phases.find_by_initiative_id(initiative_id),
        await uow.agents.find_all(),
        await uow.accounts.find_all(),
    )


async def next_progress(store: Store, initiative_id: str, shown: Progress) -> Progress:
    """Return how far the initiative is, as soon as that is not what is shown."""

    async def another(uow: UnitOfWork) -> Progress | None:
        progress = await read_progress(uow, initiative_id)
        return None if progress == shown else progress

    return await store.wait_for(another)


def progress_table(progress: Progress) -> Table:
    """Show every task with its newest agent, that agent's account, and how it goes."""
    phase_names = {phase.id: phase.name for phase in progress.phases}
    emails = {account.id: account.email for account in progress.accounts}
    agents_of: dict[str | None, list[Agent]] = {}
    for agent in progress.agents:
        agents_of.setdefault(agent.task_id, []).append(agent)

    table = Table("phase", "task", "status", "agent", "account")
    table.add_column("tries", justify="right")
    table.add_column("seconds", justify="right")
    for task in progress.tasks:
        tries = agents_of.get(task.id, [])
        newest = tries[-1] if tries else None
        table.add_row(
            plain(phase_names.get(task.phase_id or "", "")),
            plain(task.name),
            plain(task.status, COLOURS[task.status]),
            plain(f"{newest.name} ({newest.status})" if newest else ""),
            plain(emails.get(newest.account_id or "", "") if newest else ""),
            str(len(tries)) if tries else "",
            f"{seconds_of(newest):.1f}" if newest else "",
        )
    return table


async def task_table(store: Store, initiative_id: str) -> Table:
    """Show every task as it is now."""
    async with store.unit_of_work(read_only=True) as uow:
        return progress_table(await read_progress(uow, initiative_id))


async def summary_table(store: Store, initiative_id: str, seconds: float, store_url: str) -> Table:
    """Sum up what the store holds of the initiative, over all runs."""
    async with store.unit_of_work(read_only=True) as uow:
        initiative = await uow.initiatives.find_by_id(initiative_id)
        tasks = await uow.tasks.find_by_initiative_id(initiative_id)
        agents = [a for a in await uow.agents.find_all() if a.initiative_id == initiative_id]
        accounts = await uow.accounts.find_all()
        chunks, log_bytes = 0, 0
        for agent in agents:
            async for chunk in uow.log_chunks.stream_by_agent_id(agent.id):
                chunks += 1
                log_bytes += len(chunk.content.encode())
        questions = [
            conversation
            for agent in agents
            for conversation in await uow.conversations.find_by_from_agent_id(agent.id)
        ]
    uses = Counter(agent.account_id for agent in agents)
    exhaustions = Counter(agent.account_id for agent in agents if agent.exit_code == 75)

    table = Table(title=plain(initiative.name if initiative else ""), show_header=False)
    table.add_row("initiative", initiative.status if initiative else "not stored")
    table.add_row("tasks", counted(task.status for task in tasks))
    table.add_row("agents", counted(agent.status for agent in agents))
    for holder, count in Counter(agent.holder or "nobody" for agent in agents).items():
        table.add_row(plain(f"supervisor {holder}"), f"{count} agents")
    table.add_row("crashes", str(sum(task.retry_count for task in tasks)))
    for account in accounts:
        table.add_row(
            plain(f"account {account.email}"),
            f"{uses[account.id]} agents, of which {exhaustions[account.id]} exhausted it",
        )
    table.add_row("questions", counted(question.status for question in questions))
    table.add_row("log", f"{chunks} chunks, {log_bytes:,} bytes")
    table.add_row("seconds in this run", f"{seconds:.1f}")
    table.add_row("database", plain(store_url))
    return table


async def last_lines_of_blocked(store: Store, initiative_id: str) -> list[tuple[str, str]]:
    """Return each blocked task's name, with the end of what its last agent wrote."""
    found: list[tuple[str, str]] = []
    async with store.unit_of_work(read_only=True) as uow:
        for task in await uow.tasks.find_by_initiative_id(initiative_id):
            agent = await uow.agents.find_by_task_id(task.id)
            if task.status == "blocked" and agent is not None:
                chunks = await uow.log_chunks.find_by_agent_id(agent.id)
                lines = "".join(chunk.content for chunk in chunks).splitlines()
                found.append((task.name, "\n".join(lines[-LAST_LINES:])))
    return found


def counted(values: Iterable[str]) -> str:
    """Say how often each value occurs: `3 completed, 1 blocked`."""
    return ", ".join(f"{count} {value}" for value, count in Counter(values).items()) or "none"


def seconds_of(agent: Agent) -> float:
    """Return how long the agent has run, or did run."""
    runs = agent.status in ("running", "waiting_for_input")
    return ((datetime.now(UTC) if runs else agent.updated_at) - agent.created_at).total_seconds()
