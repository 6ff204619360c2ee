"""What one database can do and another cannot, as far as it concerns a repository."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend declares of its database; where one asks for two statements, there are both.

    `has_concurrent_writers` says that transactions which write run side by side. Else each has the
    whole database to itself from its first write to its end. `has_advisory_locks` says that they
    can take turns under a name that they agree on. `has_insert_or_ignore` says that INSERT OR
    IGNORE leaves out a row that a constraint refuses.
    """

    has_concurrent_writers: bool
    has_advisory_locks: bool
    has_insert_or_ignore: bool


NO_CAPABILITIES = Capabilities(
    has_concurrent_writers=False, has_advisory_locks=False, has_insert_or_ignore=False
)
"""What is known to be possible before a database is open."""
