"""The benchmark compares like with like; how fast anything is, is not a test's business."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_all_contenders_give_the_same_answers_and_leave_the_same_rows() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "bench", "--check", "--database", "sqlite", "--rows", "find_task"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "the same answers" in found.stdout
