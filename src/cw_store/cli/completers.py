"""What Tab offers where an id or a name is to be typed: read from the file, and quickly.

A shell waits for it at each Tab, so this loads neither the store nor SQLAlchemy. It reads a SQLite
file with the standard library, changes nothing, and offers nothing where it cannot: on a server, of
a store that is locked or is none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol
from urllib.parse import quote, unquote

from cw_store.safe_text import safe

MOST = 100
"""So many are offered of each kind; who types on is offered others."""

asked_url: ContextVar[str | None] = ContextVar("asked_url", default=None)
"""The `--url` of the command line that is completed."""

_PLAIN = re.compile(r"[\w@.+:-]+", re.ASCII)
"""What a shell takes as it is; what is not so is not offered."""

_IDS = "SELECT id, {name} FROM {table} WHERE id >= ? AND id < ? || char(1114111) {only}"
_NAMES = (
    "SELECT {name}, {hint} FROM {table} WHERE {name} >= ? AND {name} < ? || char(1114111) {only}"
)

_QUERIES = {
    "agent name": _NAMES.format(table="agents", name="name", hint="status", only=""),
    "crashed agent": _NAMES.format(
        table="agents",
        name="name",
        hint="status",
        only="AND status = 'crashed' AND user_dismissed_at IS NULL",
    ),
    "agent": _IDS.format(table="agents", name="name", only=""),
    "initiative": _IDS.format(table="initiatives", name="name", only=""),
    "phase": _IDS.format(table="phases", name="name", only=""),
    "task": _IDS.format(table="tasks", name="name", only=""),
    "blocked task": _IDS.format(table="tasks", name="name", only="AND status = 'blocked'"),
    "account": _NAMES.format(table="accounts", name="email", hint="provider", only=""),
    "project": _IDS.format(table="projects", name="name", only=""),
    "proposal": _IDS.format(table="proposals", name="title", only="AND status = 'pending'"),
    "message": _IDS.format(
        table="messages",
        name="content",
        only="AND recipient_type = 'user' AND status <> 'responded'",
    ),
    "comment": _IDS.format(table="review_comments", name="body", only="AND resolved IS NOT TRUE"),
    "question": _IDS.format(table="conversations", name="question", only="AND status = 'pending'"),
}


class Typed(Protocol):
    """What is known of the command line: the word that is being typed."""

    @property
    def incomplete(self) -> str:
        """Return it."""
        ...


def offers(*kinds: str) -> Callable[[Typed], list[tuple[str, str]]]:
    """Return what gives the values of these kinds, each with a few words about it."""

    def offered(typed: Typed) -> list[tuple[str, str]]:
        path = _file()
        return [] if path is None else _read(path, kinds, typed.incomplete)

    return offered


def _read(path: str, kinds: tuple[str, ...], begin: str) -> list[tuple[str, str]]:
    import sqlite3

    # Where nobody has the file open SQLite would make files beside it to read it; but a file that
    # nobody has open can be taken as unchanging.
    options = "mode=ro" if os.path.exists(f"{path}-wal") else "mode=ro&immutable=1"
    try:
        raw = sqlite3.connect(f"file:{quote(path)}?{options}", uri=True, timeout=0.2)
    except sqlite3.Error:
        return []
    try:
        found: list[tuple[str, str]] = []
        for kind in kinds:
            rows = raw.execute(f"{_QUERIES[kind]} LIMIT {MOST}", (begin, begin)).fetchall()
            found += [(value, _words(about)) for value, about in rows if _PLAIN.fullmatch(value)]
        return found
    except (sqlite3.Error, TypeError):  # it is no store, or an older one
        return []
    finally:
        raw.close()


def _words(about: object) -> str:
    text = safe(str(about))
    return text if len(text) <= 60 else f"{text[:59]}…"


def _file() -> str | None:
    """Return the path of the file that is meant, None if it is a server or in memory."""
    url = asked_url.get() or os.environ.get("CW_STORE_URL") or "cw.db"
    for scheme in ("sqlite+aiosqlite:///", "sqlite:///"):
        if url.startswith(scheme):
            url = unquote(url.removeprefix(scheme).partition("?")[0])
    return None if "://" in url or url.startswith((":", "file:")) else os.path.abspath(url)
