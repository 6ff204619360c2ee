"""What the transactions on SQLite need of the backend that they are on."""

from __future__ import annotations

from typing import Protocol

from cw_store.backends.session import Sessions
from cw_store.backends.sqlite.readers import ReaderPool
from cw_store.backends.sqlite.writer import Writer


class Host(Protocol):
    """What a transaction needs of the backend that it is on."""

    @property
    def sessions(self) -> Sessions:
        """Where sessions come from."""
        ...


class ReadingHost(Host, Protocol):
    """What a reading transaction needs of it."""

    @property
    def readers(self) -> ReaderPool:
        """The connections that read."""
        ...


class WritingHost(Host, Protocol):
    """What a writing transaction needs of it."""

    @property
    def writer(self) -> Writer:
        """The right to write."""
        ...
