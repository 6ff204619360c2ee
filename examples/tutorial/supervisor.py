"""Give the tasks in cw.db to agents until all is completed.

python supervisor.py NAME [LEASE_SECONDS]
"""

import asyncio
import os
import sys
from datetime import timedelta

from cw_store import Claim, LeaseLostError, Store, UnitOfWork

HOLDER = sys.argv[1]
LEASE = timedelta(seconds=float(sys.argv[2]) if sys.argv[2:] else 30)


async def run_agent(store: Store, claim: Claim) -> None:
    """Run the agent of a claim as a process, keep its log, and say how it ended."""
    task, agent = claim.task, claim.agent
    print(f"{task.name}: begins", flush=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "agent.py", task.name),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "CW_AGENT_ID": agent.id},
    )
    assert process.stdout is not None
    try:
        async with store.keep(claim, lease=LEASE):
            async with store.unit_of_work(claim=claim) as uow:
                await uow.agents.update(agent.id, pid=process.pid)
            async for line in process.stdout:
                text = line.decode(errors="replace")
                await store.log_chunks.insert_chunk(agent.id, agent.name, 1, text, claim=claim)
            exit_code = await process.wait()
        if exit_code == 0:
            ended = await store.claims.complete(claim, exit_code=0)
        else:
            ended = await store.claims.fail(claim, exit_code=exit_code)
        print(f"{task.name}: {ended.task.status}", flush=True)
    except LeaseLostError:
        print(f"{task.name}: another has it now", flush=True)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def start_agents(store: Store, agents: asyncio.TaskGroup) -> None:
    """Start an agent on each task that becomes ready; there is no end to this."""
    while True:
        claim = await store.wait_for_claim(holder=HOLDER, worktree_id="trees/one", lease=LEASE)
        agents.create_task(run_agent(store, claim))


async def all_completed(uow: UnitOfWork) -> bool:
    return not await uow.initiatives.find_by_status("active")


async def main() -> None:
    async with Store("cw.db") as store:
        for agent in await store.claims.recover(holder=HOLDER):
            print(f"{agent.name} was interrupted", flush=True)
        async with asyncio.TaskGroup() as agents:
            starting = agents.create_task(start_agents(store, agents))
            await store.wait_for(all_completed)
            starting.cancel()


asyncio.run(main())
