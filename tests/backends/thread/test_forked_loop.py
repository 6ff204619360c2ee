"""A child that is forked off while a store is open, and ends its copy of the event loop."""

from pathlib import Path

from programs import run_program

FORKS = """
import asyncio, os, sys
from pathlib import Path
from cw_store import Store

async def main(path):
    async with Store(path) as store:
        await store.initiatives.create(name="before")
        for _ in range(3):
            child = os.fork()
            if not child:
                sys.exit()  # through the end of asyncio.run
            async with asyncio.timeout(20):
                for _ in range(20):  # while the child ends
                    await store.initiatives.create(name="meanwhile")
                    await asyncio.sleep(0.01)
                # The child may find what the parent's threads held when it was forked, and wait.
                os.kill(child, 9)
                os.waitpid(child, 0)
                await asyncio.gather(*(store.initiatives.create(name="after") for _ in range(20)))
                await asyncio.to_thread(len, "what wakes the loop from another thread")
        print(len(await store.initiatives.find_all()), flush=True)

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_child_that_exits_in_its_copy_of_the_loop_does_not_disturb_the_parent(
    tmp_path: Path,
) -> None:
    ran = run_program(FORKS, tmp_path / "cw.db", cwd=tmp_path, timeout=90)
    assert ran.stdout.splitlines() == ["121"], ran.stderr
    assert ran.returncode == 0
