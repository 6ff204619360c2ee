"""A command that fails at its first try and succeeds at the next, to show what happens then.

    python -m examples.supervisor.stumble 75

It keeps no memory of its own: it asks the store how the earlier agents of its task ended.
"""

import asyncio
import os
import sys

from cw_store import UnitOfWork


async def main(exit_code: int) -> int:
    """Return `exit_code`, or 0 when an earlier agent of this task has ended with it."""
    async with UnitOfWork() as uow:
        earlier = await uow.agents.find_all_by_task_id(os.environ["CW_TASK_ID"])
    if any(agent.exit_code == exit_code for agent in earlier):
        print(f"try {len(earlier)}: done")
        return 0
    print(f"try {len(earlier)}: ends with {exit_code}")
    return exit_code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]))))
