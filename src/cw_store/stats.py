"""What a store has counted since it was opened: frozen records, as `Store.stats` returns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnitStats:
    """Units of work that have ended, by how: each is counted once.

    `read` only read; of those that may write `committed` are stored, `rolled_back` are not, and of
    `in_doubt` nobody can know. `dropped` are those that were collected without their end. `slow`
    are those, of all of them, that held for longer than the store's `slow_unit`. `waited` and
    `held` are seconds, of all units together: until a unit had the writer's turn or a connection,
    and from then until its end.
    """

    committed: int = 0
    rolled_back: int = 0
    in_doubt: int = 0
    dropped: int = 0
    read: int = 0
    slow: int = 0
    statements: int = 0
    waited: float = 0.0
    held: float = 0.0


@dataclass(frozen=True, slots=True)
class DatabaseStats:
    """What was counted between the store and its database.

    `turns` is how often the writer's turn was had and given back, on PostgreSQL a connection.
    `waits` is how many had to wait for one, `waited` for how many seconds all together, `held` the
    seconds that turns were held. `commits` are those of this store that wrote, or may have.

    On SQLite `groups` is how often calls that waited together shared a commit, `grouped_calls` how
    many calls that were, `largest_group` the most in one. `busy_retries` is how often a writer
    tried again because another process had the lock, `checkpoints` how often the write-ahead log
    was begun anew, `maintenance_held` the seconds of the turn that upkeep of the file took, and
    `log_bytes` how long the log's file is. All of these are 0 on PostgreSQL.

    `connections` are open at this moment, `connections_in_use` of them in use, and there may be
    `connections_limit`; on SQLite that is said of those that read.
    """

    turns: int = 0
    waits: int = 0
    waited: float = 0.0
    held: float = 0.0
    commits: int = 0
    groups: int = 0
    grouped_calls: int = 0
    largest_group: int = 0
    busy_retries: int = 0
    checkpoints: int = 0
    maintenance_held: float = 0.0
    log_bytes: int = 0
    connections: int = 0
    connections_in_use: int = 0
    connections_limit: int = 0


@dataclass(frozen=True, slots=True)
class Stats:
    """What one store has done since it was opened, in this process.

    `calls` are statements that the store's own repositories, waits and upkeep ran, each in a
    transaction of its own. `calls_by_name` says of each method of a repository, as in
    `tasks.create`, how often it was called, on the store and in units of work; that is counted only
    while somebody observes the store, since it costs a call more than all the rest. `wakeups` is
    how often somebody who waited was woken to ask again.
    """

    calls: int
    calls_by_name: Mapping[str, int]
    units: UnitStats
    wakeups: int
    database: DatabaseStats
