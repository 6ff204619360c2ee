"""One trigger of the store."""

from __future__ import annotations

from typing import NamedTuple

PREFIX = "cw_store_"
"""Begins the name of every trigger, and on PostgreSQL of its function."""


class Trigger(NamedTuple):
    """One trigger: its name, the table it is on, and what creates it.

    `function` is the body of the PostgreSQL function of the same name, None on SQLite, and
    `settings` what is set while it runs. `{place}` stands for the schema in all of them there.
    """

    name: str
    table: str
    ddl: str
    function: str | None = None
    settings: str = ""
