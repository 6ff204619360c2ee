"""`make mutants`: mutmut changes the code a little, again and again; does a test notice?

Started here: one PostgreSQL server for all mutants. Chosen here: the tests that a mutant has to
get past, since mutmut would run every test that passes through the changed function, which for
the innermost is all of them. Counted here: mutants by file, which mutmut itself does not tell.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from cw_store.testing.postgres_server import EXTERNAL_URL, PostgresServer

ROOT = Path(__file__).parents[1]
MUTMUT = Path(sys.executable).with_name("mutmut")
ENOUGH = 85.0
"""Percent of the mutants that have to be killed."""

MOST_TESTS = 60
"""So many tests a mutant has to get past: of its own file, then of its folder, then the fastest."""

FEW = "cw_store.backends.sqlite.statements.x_undo_to*"
"""Mutants that few tests reach: run first, because mutmut finds out only then who reaches what."""

AT_ONCE = 4
"""So many mutants are tried at the same time; many of them only wait for an end."""

END_WHAT_HANGS = "-o faulthandler_timeout=5 -o faulthandler_exit_on_timeout=true"
"""A mutant that makes a test hang is killed by it."""

STATISTICS = ROOT / "mutants" / "mutmut-stats.json"

# A mutant that ends the tests with a crash or never ends them is noticed as well.
KILLED = ("killed", "timeout", "segfault")
RESULT = re.compile(r" +([\w.]+)\.(x[_ǁ]\S+): (.+)")


def main(files: list[str]) -> int:
    """Run the mutants of these files, or all of them from the beginning."""
    modules = [".".join(Path(file).with_suffix("").parts).removeprefix("src.") for file in files]
    if not modules:
        shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    with PostgresServer() as server:
        environment = {**os.environ, EXTERNAL_URL: server.url("postgres")}

        def run(*mutants: str) -> None:
            command = [MUTMUT, "run", f"--max-children={AT_ONCE}", *mutants]
            subprocess.run(command, cwd=ROOT, env=environment, check=True)

        if not STATISTICS.exists():
            run(FEW)
        choose_tests()
        environment["PYTEST_ADDOPTS"] = END_WHAT_HANGS
        run(*(f"{module}.x*" for module in modules))
    return report(modules)


def choose_tests() -> None:
    """Leave each function so many of the tests that reach it."""
    statistics = json.loads(STATISTICS.read_text())
    seconds: dict[str, float] = statistics["duration_by_test"]
    reached_by: dict[str, list[str]] = statistics["tests_by_mangled_function_name"]
    for function, tests in reached_by.items():
        *_, folder, module, _ = function.split(".")
        own, near = f"_{module}.py", f"/{folder}/"
        tests.sort(key=lambda test: (own not in test, near not in test, seconds[test]))
        del tests[MOST_TESTS:]
    STATISTICS.write_text(json.dumps(statistics))


def report(modules: list[str]) -> int:
    """Print the survivors and a table; 1 when too many survived."""
    command = [MUTMUT, "results", "--all=true"]
    results = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    killed, total = Counter[str](), Counter[str]()
    for module, mutant, status in RESULT.findall(results):
        if modules and module not in modules:
            continue
        total[module] += 1
        killed[module] += status in KILLED
        if status not in KILLED:
            print(f"{status}: {module}.{mutant}")
    print(f"\n{'':36}mutants  killed  survived  percent")
    for module in (*sorted(total), None):
        name = module or "all"
        count = total[module] if module else total.total()
        dead = killed[module] if module else killed.total()
        print(f"{name:36}{count:7}{dead:8}{count - dead:10}{100 * dead / count:9.1f}")
    print(f"\n{MUTMUT.relative_to(ROOT)} show NAME tells what a mutant is.")
    return killed.total() / total.total() * 100 < ENOUGH


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
