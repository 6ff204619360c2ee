"""Text that means something to terminals, to markup and to programs, in every place of a store."""

from collections.abc import Iterable

from cw_store import Store

HOSTILE = (
    "a\x1b]52;c;aGVsbG8=\x07\x1b[31;5m\u202eb\u2066c\u2028d\u2029e\u0085f\u009b2Jg\r\nh\ti"
    "\u200bj [/bold] [red]k[/] :bomb: \\l \x7f{m}"
)
"""Text that means something to terminals, to Rich, and to whoever reads lines and tabs."""


def harmful(shown: str, *, lets: Iterable[str] = "\n") -> list[str]:
    """Return the characters that do something other than being seen."""
    return [each for each in shown if not each.isprintable() and each not in lets]


async def fill_with(store: Store, text: str) -> dict[str, str]:
    """Store this text wherever text can be stored; return the ids by kind."""
    name = text[:400]
    async with store.unit_of_work() as uow:
        initiative = await uow.initiatives.create(name=text, branch=text)
        other = await uow.initiatives.create(name="other", status="pending_review")
        project = await uow.projects.create(name=name, url=name, default_branch=text)
        await uow.projects.add_initiative_project(initiative.id, project.id)
        phase = await uow.phases.create(
            initiative_id=initiative.id, name=text, content=text, merge_base=text
        )
        review = await uow.phases.create(
            initiative_id=initiative.id, name=text, status="pending_review"
        )
        await uow.phases.create_dependency(review.id, phase.id)
        task = await uow.tasks.create(phase_id=phase.id, name=text, description=text, summary=text)
        blocked = await uow.tasks.create(phase_id=phase.id, name=text, status="blocked")
        await uow.tasks.create_dependency(blocked.id, task.id)
        waiting = await uow.tasks.create(phase_id=phase.id, name=text, parent_task_id=task.id)
        await uow.tasks.create_dependency(waiting.id, blocked.id)
        account = await uow.accounts.create(
            email=name, provider=name, credentials=text, config_json=text
        )
        await uow.accounts.mark_exhausted(account.id)
        agent = await uow.agents.create(
            name=name,
            worktree_id=text,
            task_id=task.id,
            initiative_id=initiative.id,
            session_id=name,
            provider=text,
            account_id=account.id,
            status="waiting_for_input",
            output_file_path=text,
            result=[text],
            pending_questions={text: text},
        )
        crashed = await uow.agents.create(name=f"{name}2", worktree_id=text, status="crashed")
        question = await uow.conversations.create(
            from_agent_id=agent.id, to_agent_id=crashed.id, task_id=task.id, question=text
        )
        message = await uow.messages.create(
            sender_type="agent",
            sender_id=agent.id,
            recipient_type="user",
            content=text,
            requires_response=True,
        )
        await uow.messages.create(
            sender_type="user",
            recipient_type="agent",
            recipient_id=agent.id,
            content=text,
            parent_message_id=message.id,
        )
        proposal = await uow.proposals.create(
            agent_id=agent.id,
            initiative_id=initiative.id,
            target_type="task",
            title=text,
            summary=text,
            content=text,
            metadata={text: text},
        )
        page = await uow.pages.create(initiative_id=initiative.id, title=text, content=[text])
        errand = await uow.errands.create(
            id="errand-1",
            description=text,
            branch=text,
            base_branch=text,
            agent_id=agent.id,
            project_id=project.id,
            status="conflict",
        )
        comment = await uow.review_comments.create(
            phase_id=phase.id,
            file_path=text,
            line_number=3,
            line_type="added",
            body=text,
            author=text,
        )
        chat = await uow.chat_sessions.create_session(
            target_type="phase", target_id=phase.id, initiative_id=initiative.id, agent_id=agent.id
        )
        change_set = await uow.change_sets.create(
            initiative_id=initiative.id, agent_name=text, mode="plan", summary=text, entries=[]
        )
        for content in (text, f'{{"type": "assistant", "text": "{text[:1]}"}}\n', f"{text}\n"):
            await uow.log_chunks.insert_chunk(agent.id, agent.name, 1, content)
    return {
        "initiative": initiative.id,
        "other": other.id,
        "phase": phase.id,
        "task": task.id,
        "blocked": blocked.id,
        "account": account.id,
        "agent": agent.id,
        "crashed": crashed.id,
        "question": question.id,
        "message": message.id,
        "proposal": proposal.id,
        "page": page.id,
        "project": project.id,
        "errand": errand.id,
        "comment": comment.id,
        "chat": chat.id,
        "change_set": change_set.id,
    }
