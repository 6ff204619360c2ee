"""The command `cw-store`: look at a store, act on it, keep it, move it.

Installed by the extra `cli`. It stands on what `cw_store` and `cw_store.views` export, and on
nothing else of the house. `app.py` says how a command is added.
"""

import sys
from collections.abc import Callable, Sequence

from cw_store import __version__

# As type checkers know it; to import `typing` takes a third of the time of an empty Python.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["main"]


def main(
    arguments: Sequence[str] | None = None, *, clock: "Callable[[], datetime] | None" = None
) -> int:
    """Run `cw-store` with `arguments` (those of this process when `None`); return the exit code.

    0 done; 1 the answer is no; 2 usage; 3 no such store, or none that can be opened; 4 busy or
    stale, try again; 70 a fault of cw-store; 130 interrupted. With `clock` the store goes by that
    time, and ages are counted from it. It runs an event loop of its own, so none may be running.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:  # answered before anything else is loaded
        try:
            print(f"cw-store {__version__}", flush=True)
        except BrokenPipeError:
            from cw_store.cli.run import write_to_nobody

            write_to_nobody()
        return 0
    from cw_store.cli.run import run

    return run(words, clock)
