"""Run programs, each in a process of its own that has loaded the store already.

One per line of stdin, as JSON: `program`, `folder` to run it in, `output` and `errors`, files that
take what it prints. The exit code is the line of stdout that answers. A program is the main module
of a fork of this one, and ends as any Python does; three of four parts of what a short one takes
are imports otherwise.
"""

import importlib
import json
import os
import runpy
import sys
import warnings
from typing import TypedDict

PRELOADED = (
    "cw_store.public",
    "cw_store.views",
    "cw_store.migrations",
    "cw_store.backends.sqlite.backend",
    "cw_store.cli.demo",
    "cw_store.live",
)


class Order(TypedDict):
    """What is asked for."""

    program: str
    folder: str
    output: str
    errors: str


def serve() -> Order | None:
    """Fork for each order; return None in the end, and in the child its order."""
    for line in sys.stdin:
        order: Order = json.loads(line)
        child = os.fork()
        if child == 0:
            return order
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def become(order: Order) -> None:
    """Be the program: it alone decides how this process ends."""
    for name, descriptor in (("/dev/null", 0), (order["output"], 1), (order["errors"], 2)):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(order["folder"])
    sys.path[0] = order["folder"]
    sys.argv = [order["program"]]
    warnings.simplefilter("error")
    runpy.run_path(order["program"], run_name="__main__")


if __name__ == "__main__":
    for module in PRELOADED:
        importlib.import_module(module)
    asked = serve()
    if asked is not None:
        become(asked)
