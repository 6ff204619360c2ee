"""Which other Pythons this machine has: `python tests/pythons.py` prints a path for each.

Of every minor version that pyproject.toml's classifiers name, but the one that runs this, oldest
first. Looked for where they usually are: on the path, and among pyenv's.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CLASSIFIER = re.compile(r"Programming Language :: Python :: 3\.(\d+)")


def minor_versions() -> list[int]:
    project = Path(__file__).parents[1] / "pyproject.toml"
    return sorted({int(minor) for minor in CLASSIFIER.findall(project.read_text())})


def candidates(name: str) -> Iterator[str]:
    on_path = shutil.which(name)
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(map(str, pyenv.glob(f"versions/*/bin/{name}")), reverse=True)


def is_there(python: str, minor: int) -> bool:
    """Whether it runs and is that version; what pyenv puts on the path may be neither."""
    check = f"import sys; sys.exit(sys.version_info[:2] != (3, {minor}))"
    return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def main() -> None:
    for minor in minor_versions():
        if minor != sys.version_info.minor:
            found = (each for each in candidates(f"python3.{minor}") if is_there(each, minor))
            python = next(found, None)
            if python:
                print(python)


if __name__ == "__main__":
    main()
