"""Install the newest wheel of a folder into an empty environment, and open a store there.

python -m examples.supervisor.try_wheel dist
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

SCRIPT = """
import asyncio
import cw_store

async def main():
    async with cw_store.UnitOfWork() as uow:
        await uow.accounts.create(email="first@example.com")
    async with cw_store.UnitOfWork() as uow:
        account = await uow.accounts.find_next_available()
    print(f"{cw_store.__file__} has opened a store and found {account.email}")

asyncio.run(main())
"""


def main(wheel_folder: Path) -> None:
    """Try the wheel; any step that fails ends this process with an exit code other than 0."""
    wheel = max(wheel_folder.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    with tempfile.TemporaryDirectory(prefix="cw-wheel-") as folder:
        environment, empty = Path(folder, "environment"), Path(folder, "empty")
        empty.mkdir()
        venv.create(environment)
        pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
        subprocess.run([*pip, "install", "--quiet", str(wheel)], check=True)
        # -I: neither PYTHONPATH nor the folder may lend it a cw_store that is not the wheel's.
        subprocess.run(
            [str(environment / "bin" / "python"), "-I", "-c", SCRIPT],
            check=True,
            cwd=empty,
            env={},
        )
        if not (empty / "cw.db").is_file():
            raise FileNotFoundError("the store is not where it should be: cw.db in the folder")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
