"""The process of one contender: it is told on stdin what to run, and reports on stdout.

`Worker` is the other end, in the process that leads the run.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import traceback
from types import TracebackType
from typing import Any, Self, TypedDict

from bench.answers import answers_of
from bench.contenders import load
from bench.measure import count_passes, keep_to_one_core, time_calls
from bench.seed import make_seed
from bench.work import Work


class Assignment(TypedDict):
    """What a worker is given at its start."""

    module: str
    url: str
    synchronous: str
    any_core: bool


class Worker:
    """A contender's process, seen from outside."""

    def __init__(self, name: str, assignment: Assignment) -> None:
        self.name = name
        self.url = assignment["url"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", json.dumps(assignment)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        """Return itself; the process is on its way up."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process, patiently unless something is wrong."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(10 if kind is None else 1)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()

    def ask(self, **command: Any) -> Any:
        """Have a command done and return its result."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.name} has ended unexpectedly")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name} failed at {command}:\n{answer['error']}")
        return answer["result"]


async def _serve(assignment: Assignment) -> None:
    seed = make_seed()
    contender = load(assignment["module"])
    await contender.open(assignment["url"], synchronous=assignment["synchronous"])
    work = Work(contender, seed)
    calls = work.calls()

    async def run(what: str, seconds: float = 0.0) -> Any:
        match what:
            case "answer":
                return await answers_of(contender, seed)
            case "mixed":
                return await count_passes(work.mixed_pass, seconds)
            case "units_of_50":
                return await count_passes(work.unit_pass, seconds)
            case _:
                return await time_calls(calls[what], seconds)

    # The loop goes on between two commands, so that what a contender does in the background
    # is not saved up for its next measurement.
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            answer = {"result": await run(**json.loads(line))}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)
    await contender.close()


if __name__ == "__main__":
    given: Assignment = json.loads(sys.argv[1])
    if not given["any_core"]:
        keep_to_one_core()
    asyncio.run(_serve(given))
