"""The contenders by name; a module is imported only in the process that runs it."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

from bench.work import Contender

SQLITE = {
    "aiosqlite": "bench.contenders.aiosqlite_by_hand",
    "cw_store": "bench.contenders.cw_store_itself",
    "sqlite3": "bench.contenders.sqlite3_by_hand",
    "tortoise-orm": "bench.contenders.tortoise_models",
    "SQLAlchemy Core": "bench.contenders.sqlalchemy_core",
    "SQLAlchemy ORM": "bench.contenders.sqlalchemy_orm",
    "advanced-alchemy": "bench.contenders.advanced_alchemy_repositories",
}
SQLITE_BASE = "aiosqlite"

POSTGRES = {
    "asyncpg": "bench.contenders.asyncpg_by_hand",
    "cw_store": "bench.contenders.cw_store_itself",
}
POSTGRES_BASE = "asyncpg"

_NEEDS = {"tortoise-orm": "tortoise", "advanced-alchemy": "advanced_alchemy", "asyncpg": "asyncpg"}


def is_installed(name: str) -> bool:
    """Whether a contender's library is there; the project itself needs only some of them."""
    needed = _NEEDS.get(name)
    return needed is None or find_spec(needed) is not None


def load(module: str) -> Contender:
    """Import a contender and make one."""
    return importlib.import_module(module).make()
