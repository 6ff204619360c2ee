"""How soon `cw-store` answers, in starts of an empty Python: `python -m bench.startup`.

The limits are those of a command that one types by the way: 4 for `--version`, 8 for `--help`. What
opens a store loads SQLAlchemy, which alone takes 25. Tests look at what is loaded, and not at time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

COMMAND = Path(sys.executable).with_name("cw-store")
ROUNDS = 15
LIMITS = {"--version": 4.0, "--help": 8.0}
OTHERS = ("ls --help", "__complete show x")


def seconds(*words: str) -> float:
    """Return the shortest time that a process took; others only make it longer."""
    times: list[float] = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> int:
    """Print each command's time in empty Pythons; 1 when one takes longer than it may."""
    empty = seconds(sys.executable, "-c", "")
    print(f"an empty Python  {empty * 1000:5.1f} ms")
    missed = False
    for typed in (*LIMITS, *OTHERS):
        times = seconds(str(COMMAND), *typed.split()) / empty
        limit = LIMITS.get(typed)
        missed |= limit is not None and times > limit
        print(f"{typed:17}{times:5.1f}" + (f"  (at most {limit:g})" if limit else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
