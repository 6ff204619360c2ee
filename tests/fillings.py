"""Stores with something in them: a log, trees, and everything that is hard to carry."""

import itertools
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from builders import (
    add_account,
    add_agent,
    add_change_set,
    add_chat_message,
    add_chat_session,
    add_conversation,
    add_errand,
    add_initiative,
    add_message,
    add_page,
    add_phase,
    add_project,
    add_proposal,
    add_review_comment,
    add_task,
)
from cw_store import Store, UnitOfWork, schema

CHUNKS = 5_000
HOSTILE = (
    "'; DROP TABLE tasks; --",
    "\\N\t\\.\r\n\x01\x7f",
    "quotes \"' and {braces}, null, ,,",
    "naïve 日本語 🦊 \u202e\ufeff\ufffd\U0010ffff",
    "e\u0301 and \u00e9 are not the same",
    " ",
    "",
)
JSON_VALUES: tuple[Any, ...] = (
    {"big": 1e16, "bigger": 1e308, "small": 5e-324, "zero": -0.0, "whole": 1.0, "tenth": 0.1},
    {"edge": 1.2345678901234568e18, "below": -9.2e18, "limits": [2**63 - 1, -(2**63)]},
    {"b": 1, "a": {"zz": None, "y": [True, False]}, "": "1.5e+17", 'e+17"\\': '\\" e+16 é🦊'},
    [[[[]]], {}, "", "\u0001\u007f"],
    "1e16",
    0,
    False,
)


async def fill_log(uow: UnitOfWork, chunks: int) -> None:
    await uow.log_chunks.insert_chunks(
        [
            {
                "agent_id": f"agent-{number % 7}",
                "agent_name": "brave-otter",
                "session_number": number % 3,
                "content": json.dumps({"n": number, "text": HOSTILE[number % len(HOSTILE)]}),
            }
            for number in range(chunks)
        ]
    )


async def fill_trees(uow: UnitOfWork) -> None:
    """Parents whose ids and places come after their children's."""
    initiative = await add_initiative(uow, id="i")
    for add, parent, values in (
        (add_task, "parent_task_id", {"initiative_id": initiative.id}),
        (add_message, "parent_message_id", {}),
        (add_page, "parent_page_id", {"initiative_id": initiative.id}),
    ):
        # A page without a parent is the root, of which there is one.
        root = await add(uow, id="zz", **values)
        between = {parent: root.id} if add is add_page else {}
        rows = [await add(uow, id=f"m{number}", **values, **between) for number in range(5)]
        for lower, upper in itertools.pairwise(rows):
            if add is add_task:
                await uow.tasks.update(lower.id, parent_task_id=upper.id)
            elif add is add_page:
                await uow.pages.update(lower.id, parent_page_id=upper.id)
            else:
                # The repository has no verb for it; an application's own SQL does.
                table = schema.messages
                await uow.session.execute(
                    table.update().where(table.c.id == lower.id).values(parent_message_id=upper.id)
                )


async def fill_everything(store: Store, chunks: int = CHUNKS) -> None:
    """Put rows into every table, with what is hard to carry, and so many chunks into the log."""
    instants = (
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC),
    )
    async with store.unit_of_work() as uow:
        await fill_trees(uow)
        await fill_log(uow, chunks)
        initiatives = [await add_initiative(uow, name=text, branch=text) for text in HOSTILE]
        projects = [await add_project(uow) for _ in initiatives]
        await uow.projects.set_initiative_projects(
            initiatives[0].id, [project.id for project in projects]
        )
        phases = [
            await add_phase(uow, initiative_id=initiatives[0].id, content=value)
            for value in JSON_VALUES
        ]
        tasks = [await add_task(uow, phase_id=phases[0].id, description=text) for text in HOSTILE]
        for earlier, later in itertools.pairwise(phases):
            await uow.phases.create_dependency(earlier.id, later.id)
        for earlier, later in itertools.pairwise(tasks):
            await uow.tasks.create_dependency(later.id, earlier.id)
        account = await add_account(uow)
        for text, instant in zip((*HOSTILE, None), instants * 2, strict=True):
            account = await add_account(uow, credentials=text, config_json=text)
            await uow.accounts.mark_exhausted(account.id, until=instant)
        agents = [
            await add_agent(
                uow,
                task_id=tasks[0].id,
                account_id=account.id,
                result=value,
                pending_questions=value,
                exit_code=-(2**31),
                pid=2**31 - 1,
            )
            for value in JSON_VALUES
        ]
        agent = agents[0].id
        await add_message(uow, sender_type="agent", sender_id=agent, requires_response=True)
        await add_proposal(uow, agent_id=agent, metadata=JSON_VALUES[0])
        await add_page(uow, content=JSON_VALUES[1])
        await add_conversation(uow, from_agent_id=agent, to_agent_id=agents[1].id)
        change_set = await add_change_set(
            uow,
            entries=[
                {
                    "entity_type": "page",
                    "entity_id": "p",
                    "action": "update",
                    "previous_state": value,
                    "new_state": None,
                }
                for value in JSON_VALUES
            ],
        )
        session = await add_chat_session(uow)
        await add_chat_message(uow, chat_session_id=session.id, change_set_id=change_set.id)
        await add_review_comment(uow, phase_id=phases[0].id)
        await add_errand(uow, project_id=projects[0].id)
        free = await add_task(uow)
        await uow.claims.take(free.id, holder=HOSTILE[0], worktree_id="w", provider=None)


async def contents(url: str, **settings: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, as the store reads it, in the order of storing."""
    async with Store(url, **settings) as store, store.unit_of_work(read_only=True) as uow:
        return {
            table.name: [
                tuple(row)
                for row in await uow.session.execute(
                    select(*schema.record_columns(table)).order_by(
                        *([table.c.seq] if "seq" in table.c else table.primary_key.columns)
                    )
                )
            ]
            for table in schema.metadata.sorted_tables
            if table is not schema.changes
        }
