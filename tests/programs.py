"""Programs that a test runs as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with the library's source first on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CW_STORE_")}
    if kept.get("MUTANT_UNDER_TEST") == "stats":
        del kept["MUTANT_UNDER_TEST"]  # mutmut counts calls in its own process only
    return {**kept, "PYTHONPATH": str(SOURCE), **variables}


def run_program(
    code: str,
    *arguments: object,
    cwd: Path,
    options: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
    timeout: float = 30,
) -> subprocess.CompletedProcess[str]:
    """Run `code` with its arguments in `sys.argv[1:]`; whatever hangs is killed and raises."""
    return subprocess.run(
        [sys.executable, *options, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=environment(**(variables or {})),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start_program(code: str, *arguments: object, cwd: Path) -> subprocess.Popen[str]:
    """Start `code`; its input and output are pipes of lines."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
