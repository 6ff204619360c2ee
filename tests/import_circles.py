"""Find the files of cw_store that import each other in a circle; part of `make check`.

import-linter's contracts say which floor stands on which, and see no circle within a floor. Here
every import counts, those that a function does later and those under TYPE_CHECKING as well: two
files that need each other's types cannot be read one after the other either.
"""

from __future__ import annotations

import sys
from graphlib import CycleError, TopologicalSorter

import grimp

PACKAGE = "cw_store"
ALLOWED = {
    # A unit of work that is entered without a store looks up the default one at that moment.
    ("cw_store.uow", "cw_store.store"),
    ("cw_store.uow", "cw_store.default_store"),
}


def imports() -> dict[str, set[str]]:
    """Return which files each file imports."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=False, cache_dir=None)
    return {
        module: {
            imported
            for imported in graph.find_modules_directly_imported_by(module)
            if (module, imported) not in ALLOWED
        }
        for module in graph.modules
    }


def circles(imported_by: dict[str, set[str]]) -> list[list[str]]:
    """Return circles, each beginning and ending with the same file, until none is left."""
    found: list[list[str]] = []
    while True:
        try:
            TopologicalSorter(imported_by).prepare()
        except CycleError as error:
            circle: list[str] = list(reversed(error.args[1]))
            found.append(circle)
            imported_by[circle[0]].discard(circle[1])
        else:
            return found


def main() -> int:
    """Print the circles; 1 when there is one."""
    found = circles(imports())
    for circle in found:
        print(" -> ".join(circle))
    print(f"{len(found)} import circles in {PACKAGE}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
