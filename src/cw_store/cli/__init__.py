"""The command `cw-store`: look at a store, act on it, keep it, move it.

Installed by the extra `cli`. It stands on what `cw_store` and `cw_store.views` export, and on
nothing else of the house.
"""

import sys
from collections.abc import Sequence

from cw_store import __version__

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cw-store` with `arguments` (those of this process when `None`); return the exit code.

    0 done; 1 the answer is no; 2 usage; 3 no such store, or none that can be opened; 4 busy or
    stale, try again; 70 a fault of cw-store; 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:  # answered before anything else is loaded
        print(f"cw-store {__version__}")
        return 0
    print("cw-store: only --version is known yet", file=sys.stderr)
    return 2
