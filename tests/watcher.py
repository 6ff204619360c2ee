"""One who is told of commits, and counts."""

from collections.abc import Generator
from contextlib import contextmanager

from cw_store import Store
from cw_store.store import backend_of


class Watcher:
    """Counts how often it is told."""

    def __init__(self) -> None:
        self.count = 0

    def told(self) -> None:
        self.count += 1


@contextmanager
def watching(store: Store) -> Generator[Watcher]:
    """Have somebody told of the commits of a store's database in this block."""
    watcher = Watcher()
    backend_of(store).start_watching(watcher.told)
    yield watcher
    backend_of(store).stop_watching()
