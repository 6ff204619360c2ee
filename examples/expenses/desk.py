"""The desk: it plans the checks, has them done, asks a person, and keeps what was found."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from cw_store import Claim, Initiative, LeaseLostError, Message, Store, UnitOfWork, views

INITIATIVE = "expenses"
PROVIDER = "ledger"
HOLDER = "expenses-desk"  # one process at a time has this name: see the lock in __main__
PHASES = {"add-up": "Add up", "judge": "Judge"}  # by id; each waits for the one before it
CHECKS = Path(__file__).with_name("checks.py")


@dataclass(frozen=True)
class Remark:
    """What a check says about a line of a report; `asks` is whether it wants an answer."""

    line: int
    text: str
    asks: bool


def names_of_reports(folder: Path) -> list[str]:
    """Return the names of the reports in the folder; without one there is nothing to plan."""
    names = sorted(path.name for path in folder.glob("*.csv"))
    if not names:
        raise FileNotFoundError(f"there is no report (*.csv) in {folder}")
    return names


async def plan(store: Store, folder: Path) -> None:
    """Plan the checks of all reports in the folder; a plan that is there stays as it is."""
    reports, name = names_of_reports(folder), f"Expenses in {folder}"
    async with store.unit_of_work() as uow:
        planned = await uow.initiatives.find_by_id(INITIATIVE)
        if planned is not None and planned.name != name:
            raise ValueError(f"this store is for {planned.name}; give {folder} another store")
        if planned is not None:
            return
        for email in ("first@example.com", "second@example.com"):
            await uow.accounts.create(email=email, provider=PROVIDER)
        await uow.initiatives.create(id=INITIATIVE, name=name)
        before: str | None = None
        for phase, title in PHASES.items():
            await uow.phases.create(id=phase, initiative_id=INITIATIVE, name=title)
            if before is not None:
                await uow.phases.create_dependency(phase, before)
            for report in reports:
                await uow.tasks.create(id=f"{phase}/{report}", phase_id=phase, name=report)
            before = phase


async def check_all(store: Store, folder: Path, *, processes: int = 2) -> None:
    """Have every report checked, at most so many at a time; go on where a life before ended."""
    await plan(store, folder)
    while interrupted := await store.claims.recover(holder=HOLDER):
        print(f"{len(interrupted)} checks were interrupted, and begin anew", flush=True)

    places = asyncio.Semaphore(processes)
    async with asyncio.TaskGroup() as checks:
        starting = checks.create_task(start_checks(store, folder, places, checks))
        await store.wait_for(completed)
        starting.cancel()


async def completed(uow: UnitOfWork) -> Initiative | None:
    """Return the initiative if all of it is done."""
    initiative = await uow.initiatives.find_by_id(INITIATIVE)
    return initiative if initiative is not None and initiative.status == "completed" else None


async def start_checks(
    store: Store, folder: Path, places: asyncio.Semaphore, checks: asyncio.TaskGroup
) -> None:
    """Begin a check whenever there is a task and a place for its process; there is no end."""
    while True:
        await places.acquire()
        claim = await store.wait_for_claim(
            holder=HOLDER, worktree_id=str(folder), provider=PROVIDER, initiative_id=INITIATIVE
        )
        checks.create_task(check(store, claim, folder, places))


async def check(store: Store, claim: Claim, folder: Path, places: asyncio.Semaphore) -> None:
    """Do the check that is claimed: run it, ask what it asks, store what was found."""
    try:
        async with store.keep(claim):
            try:
                exit_code, remarks = await run_check(store, claim, folder)
            finally:
                places.release()  # who waits for a person takes no place from others
            if exit_code != 0:  # it would not go better a second time, so a person is to look
                await store.claims.fail(claim, exit_code=exit_code, block=True)
                return
            found = [remark for remark in remarks if not remark.asks]
            found += await ask_a_person(store, claim, [each for each in remarks if each.asks])
            await finish(store, claim, found)
    except LeaseLostError as error:
        print(error, flush=True)


async def run_check(store: Store, claim: Claim, folder: Path) -> tuple[int, list[Remark]]:
    """Run the process of a check and keep what it writes; return how it ended and what it said."""
    agent, report = claim.agent, folder / claim.task.name
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(CHECKS), str(claim.task.phase_id), str(report)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        remarks: list[Remark] = []
        async for line in process.stdout:
            text = line.decode(errors="replace")
            await store.log_chunks.insert_chunk(agent.id, agent.name, 1, text, claim=claim)
            match text.rstrip("\n").split("\t"):
                case [number, "wrong" | "ask" as verb, said]:
                    remarks.append(Remark(int(number), said, asks=verb == "ask"))
                case _:  # of a traceback, say; the log has it
                    pass
        return await process.wait(), remarks
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ask_a_person(store: Store, claim: Claim, questions: list[Remark]) -> list[Remark]:
    """Ask all at once, wait for all answers, and return what a person did not say yes to."""
    ids = [f"{claim.task.id}:{question.line}" for question in questions]
    async with store.unit_of_work(claim=claim) as uow:
        for id, question in zip(ids, questions, strict=True):
            if await uow.messages.find_by_id(id) is None:  # else a life before has asked
                await uow.messages.create(
                    id=id,
                    sender_type="agent",
                    sender_id=claim.agent.id,
                    recipient_type="user",
                    type="question",
                    content=f"{claim.task.name}:{question.line}: {question.text}",
                    requires_response=True,
                )
    found: list[Remark] = []
    for id, question in zip(ids, questions, strict=True):
        answer = (await wait_for_reply(store, id)).content
        if answer.strip().lower() not in ("y", "yes"):
            found.append(Remark(question.line, f"{question.text} {answer}", asks=False))
    return found


async def wait_for_reply(store: Store, id: str) -> Message:
    """Return the reply to a message, as soon as there is one."""

    async def reply(uow: UnitOfWork) -> Message | None:
        return next(iter(await uow.messages.find_replies(id)), None)

    return await store.wait_for(reply)


async def finish(store: Store, claim: Claim, found: list[Remark]) -> None:
    """Store what was found and that the task is completed: both, or neither."""
    phase, report = str(claim.task.phase_id), claim.task.name
    async with store.unit_of_work(claim=claim) as uow:
        for remark in sorted(found, key=lambda each: each.line):
            await uow.review_comments.create(
                phase_id=phase,
                file_path=report,
                line_number=remark.line,
                line_type="context",
                body=remark.text,
                author=claim.agent.name,
            )
        await uow.claims.complete(claim, exit_code=0, summary=f"{len(found)} found")
    print(f"{PHASES[phase]}: {report}: {len(found)} found", flush=True)


async def describe(store: Store) -> list[str]:
    """Return how far it is, what waits for a person, and what was found, of one moment."""
    async with store.unit_of_work(read_only=True) as uow:
        if await uow.initiatives.find_by_id(INITIATIVE) is None:
            return ["nothing is planned"]
        tasks = await uow.tasks.find_by_initiative_id(INITIATIVE)
        inbox = await views.inbox(uow, initiative_id=INITIATIVE)
        found = [await uow.review_comments.find_by_phase_id(phase) for phase in PHASES]
    done = sum(task.status == "completed" for task in tasks)
    lines = [f"{done} of {len(tasks)} checks are done"]
    for item in inbox.items:
        if item.kind != "comment":  # these are what was found
            lines += [f"waits: {item.title}: {item.text}", f"    {item.command}"]
    for comment in (comment for comments in found for comment in comments):
        lines.append(f"found: {comment.file_path}:{comment.line_number}: {comment.body}")
    return lines
