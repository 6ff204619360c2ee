"""What no connection of a store does for others, whoever has it: end, or become another."""

from __future__ import annotations

from typing import Any, NoReturn

import aiosqlite

from cw_store.errors import UnitOfWorkError


class KeptConnection(aiosqlite.Connection):
    """An aiosqlite connection that its store keeps.

    What would end the transaction, or outlive it on a connection that others use after the unit, is
    a UnitOfWorkError.
    """

    async def commit(self) -> None:
        """Raise UnitOfWorkError: it is the unit that commits."""
        self.refuse("commit")

    async def rollback(self) -> None:
        """Raise UnitOfWorkError: it is the unit that rolls back."""
        self.refuse("rollback")

    async def close(self) -> None:
        """Raise UnitOfWorkError: the connection is the store's."""
        self.refuse("close")

    async def set_authorizer(self, authorizer_callback: Any) -> None:
        """Raise UnitOfWorkError: it would hold for others too."""
        self.refuse("set_authorizer")

    async def set_progress_handler(self, handler: Any, n: int) -> None:
        """Raise UnitOfWorkError: it would hold for others too."""
        self.refuse("set_progress_handler")

    async def set_trace_callback(self, handler: Any) -> None:
        """Raise UnitOfWorkError: it would hold for others too."""
        self.refuse("set_trace_callback")

    async def enable_load_extension(self, value: bool) -> None:
        """Raise UnitOfWorkError: it would hold for others too."""
        self.refuse("enable_load_extension")

    async def load_extension(self, path: str) -> None:
        """Raise UnitOfWorkError: it would hold for others too."""
        self.refuse("load_extension")

    async def backup(self, *_arguments: Any, **_settings: Any) -> None:
        """Raise UnitOfWorkError: a copy is made beside a unit of work, by `Store.backup`."""
        self.refuse("backup")

    @property
    def isolation_level(self) -> str | None:
        """None: what begins and ends the transaction is the unit."""
        return None

    @isolation_level.setter
    def isolation_level(self, value: Any) -> None:
        if value is not None:
            self.refuse("isolation_level")

    @property
    def text_factory(self) -> Any:
        """What makes text of the columns' bytes."""
        return str

    @text_factory.setter
    def text_factory(self, factory: Any) -> None:
        if factory is not str:
            self.refuse("text_factory")

    def refuse(self, what: str) -> NoReturn:
        """Raise UnitOfWorkError for what is the store's affair."""
        raise UnitOfWorkError(
            f"{what} is not for a unit of work's connection, which belongs to the store and which "
            "others use after this; it is the unit that commits, rolls back and ends"
        )
