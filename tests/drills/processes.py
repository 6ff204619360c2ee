"""Other processes for the drills: real ones, started quickly, and killed without mercy."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any, Concatenate, ParamSpec, Self, cast

P = ParamSpec("P")

# A server that has imported all of cw_store, has no threads and no event loop, and forks on demand:
# a process of its own costs milliseconds instead of the second that the imports take. The package
# itself loads nothing until something of it is asked for.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["cw_store.public", "cw_store.backends.postgres.backend", "alembic.command"]
)

LONGEST_SILENCE = 60.0


class Worker:
    """One process, and the pipe to it."""

    def __init__(
        self, target: Callable[..., None], arguments: Sequence[Any], context: BaseContext
    ) -> None:
        self.pipe, theirs = context.Pipe()
        # Its type says nothing of what every context has.
        self.process = cast(Any, context).Process(
            target=target, args=(theirs, *arguments), daemon=True
        )
        self.process.start()
        theirs.close()

    def receive(self, timeout: float = LONGEST_SILENCE) -> Any:
        """Return the next thing it says."""
        assert self.pipe.poll(timeout), f"the worker said nothing for {timeout:g} s"
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join(LONGEST_SILENCE)
            raise AssertionError(f"the worker ended with {self.process.exitcode}") from None

    def tell(self, message: Any = "go") -> None:
        """Say something to it."""
        self.pipe.send(message)

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait until it is dead."""
        self.process.kill()
        self.process.join(LONGEST_SILENCE)

    def last_words(self) -> list[str]:
        """Return what it had said that was not read yet, after its death."""
        words: list[str] = []
        try:
            while True:
                words.append(self.pipe.recv())
        except (EOFError, OSError):
            return words

    def listen(self, seconds: float) -> list[str]:
        """Return what it says within this time."""
        words: list[str] = []
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.pipe.poll(left):
                words.append(self.pipe.recv())
        return words

    def ended(self, timeout: float = LONGEST_SILENCE) -> None:
        """Wait for its end, which has to be a good one."""
        self.process.join(timeout)
        assert self.process.exitcode == 0, f"the worker ended with {self.process.exitcode}"

    def close(self) -> None:
        """Kill it if it still runs; harmless when that is done already."""
        if self.pipe.closed:
            return
        self.pipe.close()
        if self.process.is_alive():
            self.kill()
        self.process.close()


class Workers:
    """The processes of one drill."""

    def __init__(self, context: BaseContext = CONTEXT) -> None:
        self._all: list[Worker] = []
        self._context = context

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._all:
            self._all.pop().close()

    def start(
        self,
        target: Callable[Concatenate[Connection, P], None],
        *arguments: P.args,
        **_: P.kwargs,
    ) -> Worker:
        """Start a function of `workers` in a process; its first argument is the pipe."""
        worker = Worker(target, arguments, self._context)
        self._all.append(worker)
        return worker
