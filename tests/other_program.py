"""What another program sees in a SQLite file, through a connection that knows nothing of us."""

import sqlite3
from pathlib import Path
from typing import Any


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    other = sqlite3.connect(path)
    found = other.execute(sql).fetchall()
    other.close()
    return found


def tables(path: Path) -> dict[str, str]:
    """Return the SQL of everything in the file."""
    return dict(rows(path, "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
