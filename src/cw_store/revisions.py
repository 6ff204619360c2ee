"""Which revisions of the schema this cw_store knows."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def scripts() -> Path:
    """Return the folder of the migrations: inside the installed package, or beside src/."""
    package = Path(__file__).parent
    installed = package / "alembic"
    return installed if installed.is_dir() else package.parents[1] / "alembic"


@cache
def revisions() -> tuple[str, ...]:
    """Return the revisions in order: the numbers that the files in versions/ begin with."""
    return tuple(
        sorted(path.stem.partition("_")[0] for path in (scripts() / "versions").glob("[0-9]*.py"))
    )
