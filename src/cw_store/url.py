"""What may be passed as `url`: a path, a SQLite URL, or a PostgreSQL URL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

DEFAULT_FILE = "cw.db"
ENVIRONMENT_VARIABLE = "CW_STORE_URL"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a store's data is: a SQLite file, memory, or a PostgreSQL server.

    Exactly one of `path` and `server` is set, or neither for memory.
    """

    path: Path | None = None
    server: URL | None = None

    @property
    def is_memory(self) -> bool:
        """Whether the data ends with the store."""
        return self.path is None and self.server is None

    def __str__(self) -> str:
        """Show it without user, password and options: any of these can hold a secret."""
        if self.server is not None:
            host = (self.server.host or "").rpartition("@")[2]
            return f"postgresql://{host}/{self.server.database or ''}"
        return ":memory:" if self.path is None else str(self.path)


def locate(url: str | Path | None) -> Location:
    """Tell where `url` leads; raises ValueError when it leads nowhere cw_store knows.

    None means the environment variable CW_STORE_URL, else cw.db in the working directory.
    A relative path is taken from the working directory of this moment.
    """
    if url is None:
        url = os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_FILE
    if isinstance(url, Path):
        return Location(path=url.absolute())
    if url == ":memory:":
        return Location()
    if "://" not in url:
        if not url:
            raise ValueError("the url is empty; pass a file path or a database URL")
        return Location(path=Path(url).absolute())
    parsed = _parsed(url)
    if parsed is None:
        raise ValueError(f"{url.partition('://')[0]}://… is no database URL")
    match parsed.drivername:
        case "sqlite" | "sqlite+aiosqlite":
            if parsed.database in (None, "", ":memory:"):
                return Location()
            return Location(path=Path(str(parsed.database)).absolute())
        case "postgresql" | "postgres" | "postgresql+asyncpg":
            return Location(server=parsed.set(drivername="postgresql+asyncpg"))
        case other:
            raise ValueError(f"cw_store keeps its data in SQLite or PostgreSQL, not in {other!r}")


def _parsed(url: str) -> URL | None:
    """Parse it, without an error to tell of: what SQLAlchemy says can quote the password."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None
