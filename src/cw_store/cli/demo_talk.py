"""What is said in the demo store: questions, messages, proposals, pages, comments, errands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cw_store import Agent, ChatRole, ErrandStatus, NewChangeSetEntry, ProposalStatus
from cw_store.cli.demo_story import Story


def talk(story: Story) -> None:
    """Have everything be said, each thing at its time."""
    told = _Talk(story)
    for minutes, happens in (
        (359, told.add_projects),
        (353, told.write_pages),
        (336, told.plan_billing),
        (240, told.discuss_prices),
        (212, told.ask_and_be_answered),
        (130, told.review_prices),
        (118, told.chat),
        (96, told.run_errands),
        (47, told.ask_one_that_has_crashed),
        (31, told.tell_the_user),
        (9, told.ask_around),
        (5, told.ask_the_user),
    ):
        story.at(minutes, happens)


def _document(*paragraphs: str) -> Any:
    """Return the content of a page, as the editor keeps it."""
    return {
        "type": "doc",
        "content": [
            {"type": "paragraph", "content": [{"type": "text", "text": text}]}
            for text in paragraphs
        ],
    }


class _Talk:
    """Stores what is said, with the ids and agents of the story."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._uow = story.uow
        self._new_id = story.new_id

    async def add_projects(self) -> None:
        for name in ("web", "api"):
            self._story.ids[name] = self._new_id()
            await self._uow.projects.create(
                id=self._story.ids[name], name=name, url=f"https://git.example.com/{name}.git"
            )

    async def write_pages(self) -> None:
        ids = self._story.ids
        for initiative, title, text in (
            ("User auth", "Threats", "A stolen session is worth more than a stolen password."),
            ("Billing", "Rates", "The rate is that of the day on which the service was done."),
            ("Docs site", "Outline", "A tutorial first, then what people look up."),
        ):
            root = await self._uow.pages.create(
                id=self._new_id(),
                initiative_id=ids[initiative],
                title=initiative,
                content=_document(f"What {initiative} is about, and what is decided."),
            )
            await self._uow.pages.create(
                id=self._new_id(),
                initiative_id=ids[initiative],
                parent_page_id=root.id,
                title=title,
                content=_document(text),
            )
        await self._uow.projects.set_initiative_projects(ids["User auth"], [ids["web"], ids["api"]])
        await self._uow.projects.set_initiative_projects(ids["Billing"], [ids["api"]])

    async def _add_agent(self, what_for: str, **values: Any) -> Agent:
        name = self._story.new_name()
        agent = self._story.agents[what_for] = await self._uow.agents.create(
            id=self._new_id(), name=name, worktree_id=f"worktrees/{name}", **values
        )
        return agent

    async def plan_billing(self) -> None:
        ids = self._story.ids
        planner = await self._add_agent(
            "planning", mode="plan", status="stopped", exit_code=0, initiative_id=ids["Billing"]
        )
        created = ("Export as PDF", "Mail the invoices")
        await self._uow.change_sets.create(
            id=self._new_id(),
            initiative_id=ids["Billing"],
            agent_id=planner.id,
            agent_name=planner.name,
            mode="plan",
            summary="Split the mailing of invoices from their making",
            entries=self._entries(created),
        )
        proposed: tuple[tuple[str, ProposalStatus, str], ...] = (
            ("Number invoices without gaps", "accepted", "Some countries ask for it."),
            ("Keep the old numbers", "dismissed", "They would meet the new ones."),
            ("Split Refunds", "pending", "Whole refunds first, parts of one later."),
            ("Add a dry run for the bank", "pending", "So that nothing is booked by a test."),
        )
        for title, status, summary in proposed:
            await self._uow.proposals.create(
                id=self._new_id(),
                agent_id=planner.id,
                initiative_id=ids["Billing"],
                target_type="task",
                target_id=ids["Refunds"] if title == "Split Refunds" else None,
                title=title,
                summary=summary,
                status=status,
            )

    def _entries(self, names: Sequence[str]) -> list[NewChangeSetEntry]:
        return [
            {
                "id": self._new_id(),
                "entity_type": "task",
                "entity_id": self._story.ids[name],
                "action": "create",
                "new_state": {"id": self._story.ids[name], "name": name},
                "sort_order": place,
            }
            for place, name in enumerate(names)
        ]

    async def discuss_prices(self) -> None:
        await self._add_agent(
            "prices", mode="discuss", status="stopped", initiative_id=self._story.ids["Billing"]
        )

    async def _ask(self, asking: str, asked: str, question: str) -> str:
        agents = self._story.agents
        id = self._new_id()
        await self._uow.conversations.create(
            id=id,
            from_agent_id=agents[asking].id,
            to_agent_id=agents[asked].id,
            initiative_id=agents[asking].initiative_id,
            task_id=agents[asking].task_id,
            question=question,
        )
        return id

    async def ask_and_be_answered(self) -> None:
        question = "Are invoices numbered per year, or through?"
        id = await self._ask("Tax rules", "Number the invoices", question)
        await self._uow.conversations.answer(id, "Per year, beginning with 1.")

    async def ask_one_that_has_crashed(self) -> None:
        """Ask the first agent at a task that has another by now."""
        tries = await self._uow.agents.find_all_by_task_id(self._story.ids["Session store"])
        asking = self._story.agents["Password reset"]
        await self._uow.conversations.create(
            id=self._new_id(),
            from_agent_id=asking.id,
            to_agent_id=tries[0].id,
            initiative_id=asking.initiative_id,
            task_id=asking.task_id,
            question="Does ending all sessions wait for their last request?",
        )

    async def ask_around(self) -> None:
        await self._ask("Session store", "Admin screen", "Is the token opaque, or a JWT?")
        await self._ask("Admin screen", "Password reset", "Which table holds the devices?")
        await self._ask("Password reset", "Session store", "May I change the mail template?")

    async def review_prices(self) -> None:
        for line, body, resolved in (
            (14, "Which currency is this in?", False),
            (31, "The discount is taken off twice.", False),
            (52, "This name is taken.", True),
        ):
            await self._uow.review_comments.create(
                id=self._new_id(),
                phase_id=self._story.ids["Prices"],
                file_path="src/prices.py",
                line_number=line,
                line_type="added",
                body=body,
                resolved=resolved,
            )

    async def chat(self) -> None:
        ids = self._story.ids
        session = await self._uow.chat_sessions.create_session(
            id=self._new_id(),
            target_type="phase",
            target_id=ids["Core"],
            initiative_id=ids["User auth"],
        )
        said: tuple[tuple[ChatRole, str], ...] = (
            ("user", "Do we need Remember me for the first release?"),
            ("assistant", "Nothing but Sign-in journey waits for it. It can come later."),
            ("user", "Then give it a low priority."),
        )
        for role, content in said:
            await self._uow.chat_sessions.create_message(
                id=self._new_id(), chat_session_id=session.id, role=role, content=content
            )

    async def run_errands(self) -> None:
        ids = self._story.ids
        idle = await self._add_agent("errand", status="idle")
        wanted: tuple[tuple[str, str, ErrandStatus, str | None], ...] = (
            ("bump-node", "Bump Node to the next long-term release", "active", idle.id),
            ("fix-typo", "Mend the typo in the footer", "pending_review", None),
            ("pin-ruff", "Pin the linter, so that it says the same tomorrow", "conflict", None),
            ("old-logo", "Replace the old logo", "merged", None),
        )
        for name, description, status, agent_id in wanted:
            await self._uow.errands.create(
                id=f"errand-{name}",
                description=description,
                branch=f"errand/{name}",
                project_id=ids["web"],
                status=status,
                agent_id=agent_id,
            )

    async def _tell(self, sender: str, content: str, **values: Any) -> str:
        id = self._new_id()
        await self._uow.messages.create(
            id=id,
            sender_type="agent",
            sender_id=self._story.agents[sender].id,
            recipient_type="user",
            content=content,
            **values,
        )
        return id

    async def tell_the_user(self) -> None:
        asked = await self._tell(
            "Invoice template", "Shall the logo be on it?", type="question", requires_response=True
        )
        agent = self._story.agents["Invoice template"]
        await self._uow.messages.create(
            id=self._new_id(),
            sender_type="user",
            recipient_type="agent",
            recipient_id=agent.id,
            type="response",
            content="Yes, at the top, on the left.",
            parent_message_id=asked,
        )
        await self._uow.messages.update(asked, status="responded")
        await self._tell(
            "Recovery codes", "The code of the first try was half done; I began anew.", type="info"
        )

    async def ask_the_user(self) -> None:
        await self._tell(
            "Admin screen",
            "The spec says both 15 and 30 minutes for sessions. Which is it?",
            type="question",
            requires_response=True,
        )
