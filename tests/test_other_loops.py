"""Event loops that are run within a task, or ended in the midst of one."""

from pathlib import Path

import pytest

from programs import run_program

NESTED = """
import asyncio, logging, sys, time
import nest_asyncio
if sys.argv[2] == "before":
    nest_asyncio.apply()
from cw_store import Store

complaints = []
logging.getLogger("asyncio").addFilter(lambda record: complaints.append(record) or False)

async def main():
    if sys.argv[2] == "after":
        nest_asyncio.apply()
    async with Store(sys.argv[1], busy_timeout=2) as store:
        agent = await store.agents.create(worktree_id="w")

        def tool():
            return asyncio.run(asyncio.wait_for(use(), 5))

        async def use():
            async with store.unit_of_work() as uow:
                found = await uow.agents.find_by_id(agent.id)
                await uow.agents.update(agent.id, worktree_id="v")
            return found.id if await store.agents.find_by_id(agent.id) else None

        found = 0
        for _ in range(20):
            await store.agents.find_by_id(agent.id)
            found += tool() == agent.id
            await store.agents.update(agent.id, worktree_id="w")
            found += tool() == agent.id
        print(found, "found,", len(complaints), "complaints,", time.process_time() < 8)

asyncio.run(main())
"""


@pytest.mark.parametrize("applied", ["before", "after"])
def test_a_loop_may_be_run_within_a_task(tmp_path: Path, applied: str) -> None:
    ran = run_program(NESTED, tmp_path / "cw.db", applied, cwd=tmp_path)
    assert (ran.stdout, ran.stderr) == ("40 found, 0 complaints, True\n", "")


ENDED = """
import asyncio
from cw_store import UnitOfWork

async def write():
    while True:
        async with UnitOfWork() as uow:
            await uow.initiatives.create(name="x")
            await uow.initiatives.find_all(limit=3)
        written.set()

written = asyncio.Event()

async def main():
    others = [asyncio.ensure_future(write()) for _ in range(8)]
    await written.wait()
    async with UnitOfWork() as uow:
        await uow.initiatives.create(name="last")
        raise SystemExit(3)

asyncio.run(main())
"""


def test_a_program_that_exits_within_a_unit_says_nothing(tmp_path: Path) -> None:
    for _ in range(3):
        ran = run_program(ENDED, cwd=tmp_path, options=("-X", "dev"))
        assert (ran.returncode, ran.stdout, ran.stderr) == (3, "", "")
