"""What the example shows of what is stored, whatever that holds."""

import io

import pytest
from examples.supervisor.display import plain, summary_table, task_table
from examples.supervisor.terminal import harmless
from rich.console import Console

from cw_store import Store

HOSTILE = {
    "brackets that look like markup": "Close the [/details] tag [bold]now[/bold]",
    "a sequence that writes to the clipboard": "\x1b]52;c;ZXZpbA==\x07done",
    "a sequence in one character": "\x9b31mred",
    "a carriage return and a backspace": "all good\rdeleted\b\b",
    "text that runs from right to left": "\u202egnp.exe",
    "a null width": "pass\u200bword",
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_tables_show_any_text_and_let_none_of_it_act(what: str, store: Store) -> None:
    text = HOSTILE[what]
    initiative = await store.initiatives.create(name=text)
    phase = await store.phases.create(initiative_id=initiative.id, name=text)
    task = await store.tasks.create(phase_id=phase.id, name=text)
    account = await store.accounts.create(email=text)
    await store.agents.create(
        worktree_id=text,
        name=text,
        task_id=task.id,
        initiative_id=initiative.id,
        account_id=account.id,
    )
    for table in (
        await task_table(store, initiative.id),
        await summary_table(store, initiative.id, 1.0, text),
    ):
        shown = io.StringIO()
        Console(file=shown, width=300).print(table)
        assert harmless(text) in shown.getvalue()
        assert all(character.isprintable() or character == "\n" for character in shown.getvalue())


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("naïve café — 日本語 🚀", "two\nlines\tand a tab", ""):
        assert harmless(text) == text == plain(text).plain
