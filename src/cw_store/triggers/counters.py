"""The triggers that keep the counters, and clear away what a claim leaves behind.

**Guarantees**

- `open_dependencies` of a task that is neither claimed nor completed, and of a phase that is not
  completed, is the number of its direct prerequisites whose status is not `completed`. It is always
  counted anew and never moved by one, so that a change that was missed is made good by the next,
  and a copy that was made with the triggers on is equal. No `updated_at` moves, and only a row
  whose number differs is written. Of a claimed or a completed row the number is what it was:
  whatever ends the claim, or opens the row again, counts.
- A deleted task ends the lease of the agent that held it: the agent is `crashed`.
- Whatever takes a task from its agent and leaves it `in_progress` under its epoch (a deleted agent,
  SQL of somebody else's) makes it `pending` under the next epoch, and ends the agent's lease.

**Order**, on PostgreSQL; on SQLite a transaction that writes is alone.

Every statement of a function has a snapshot of its own there, so what is counted is locked in one
statement and counted in the next. Who changes what is counted, and what keeps a count from missing
it:

- *Two prerequisites of one row.* Each locks the row before it counts, so the second counts what the
  first has done.
- *A prerequisite and a new edge to it.* The edge takes FOR SHARE on the prerequisite (the foreign
  key's KEY SHARE would let a completion pass), so that either the edge waits for the completion and
  then counts it, or the completion waits for the edge and then finds it.
- *Two edges of one row*, or an edge and the end of the row's claim. Each locks the row, claimed
  or not, before it looks. Only an edge that goes with its prerequisite need not lock a row that is
  claimed or completed, since who ends that waits for the prerequisite.
- *A prerequisite and a row that it passes over*, as its snapshot shows the row claimed or completed
  while that is just ending. Who ends it takes FOR SHARE on every prerequisite before it counts, and
  so waits for whoever is at one; who comes to one later waits in turn, and finds the row.

Locks go from a prerequisite to what waits for it, edges never go in a circle, and rows of a table
are locked in the order of storing, in which a plan mostly has prerequisites first. The one lock
that goes back, the FOR SHARE of the last rule, is taken before any that goes on, and for a row that
the holder of a prerequisite passes over and does not wait for. What is left for PostgreSQL to end,
and for the store to call busy, are transactions that change several rows in an order of their own,
rows that were stored against the order of their edges, and a row that is completed and at once
opened again while what it waits for changes.
"""

from __future__ import annotations

from typing import NamedTuple

from cw_store.triggers.trigger import PREFIX, Trigger


class Counted(NamedTuple):
    """A table whose rows wait for each other, and the table of its edges.

    `counts` holds for a row whose number is kept.
    """

    table: str
    edges: str
    dependent: str
    dependency: str
    counts: str


TASKS = Counted(
    "tasks",
    "task_dependencies",
    "task_id",
    "depends_on_task_id",
    "tasks.claimed_by_agent_id IS NULL AND tasks.status <> 'completed'",
)
PHASES = Counted(
    "phases",
    "phase_dependencies",
    "phase_id",
    "depends_on_phase_id",
    "phases.status <> 'completed'",
)

CROSSED = "(OLD.status = 'completed') <> (NEW.status = 'completed')"
REOPENED = "OLD.status = 'completed' AND NEW.status <> 'completed'"
RELEASED = "OLD.claimed_by_agent_id IS NOT NULL AND NEW.claimed_by_agent_id IS NULL"
ENDED = f"({REOPENED}) OR ({RELEASED} AND NEW.status <> 'completed')"
TAKEN = "NEW.status = 'in_progress' AND NEW.epoch = OLD.epoch"
HELD = "OLD.claimed_by_agent_id IS NOT NULL"


def _columns(of: Counted) -> str:
    return "status, claimed_by_agent_id" if of is TASKS else "status"


def _recount(of: Counted, id: str, when: str = "") -> str:
    """Return the statement that counts one row anew, on both databases."""
    return f"""
    UPDATE {of.table} SET open_dependencies = counted.number FROM (
        SELECT count(*) AS number FROM {of.edges}
        JOIN {of.table} AS prerequisite ON prerequisite.id = {of.dependency}
        WHERE {when}{of.dependent} = {id} AND prerequisite.status <> 'completed'
    ) AS counted
    WHERE {when}{of.table}.id = {id} AND {of.counts} AND open_dependencies <> counted.number;
"""  # noqa: S608 -- of tables and columns named in this file


def _ended(of: Counted) -> str:
    """Say when a row is counted again that was passed over until now."""
    return ENDED if of is TASKS else REOPENED


# SQLite.


def _trigger_on_sqlite(name: str, event: str, table: str, when: str | None, body: str) -> Trigger:
    condition = "" if when is None else f" WHEN {when}"
    return Trigger(
        PREFIX + name,
        table,
        f"CREATE TRIGGER {PREFIX}{name} AFTER {event} ON {table}{condition} BEGIN{body}END",
    )


def _recount_dependents_on_sqlite(of: Counted) -> str:
    return f"""
    UPDATE {of.table} SET open_dependencies = counted.number FROM (
        SELECT edge.{of.dependent} AS id, sum(prerequisite.status <> 'completed') AS number
        FROM {of.edges} AS changed
        JOIN {of.edges} AS edge ON edge.{of.dependent} = changed.{of.dependent}
        JOIN {of.table} AS prerequisite ON prerequisite.id = edge.{of.dependency}
        WHERE changed.{of.dependency} = NEW.id
        GROUP BY edge.{of.dependent}
    ) AS counted
    WHERE {of.table}.id = counted.id AND {of.counts} AND open_dependencies <> counted.number;
"""  # noqa: S608 -- of tables and columns named in this file


def _counters_on_sqlite(of: Counted) -> list[Trigger]:
    """Give as few as can be, since each costs a call where its condition does not hold, too."""
    old, new = (_recount(of, f"{row}.{of.dependent}") for row in ("OLD", "NEW"))
    opened = _recount(of, "NEW.id", "NEW.status <> 'completed' AND ")
    return [
        _trigger_on_sqlite(
            f"{of.table}_crossed",
            "UPDATE OF status",
            of.table,
            CROSSED,
            _recount_dependents_on_sqlite(of) + opened,
        ),
        _trigger_on_sqlite(f"{of.edges}_added", "INSERT", of.edges, None, new),
        _trigger_on_sqlite(f"{of.edges}_removed", "DELETE", of.edges, None, old),
        _trigger_on_sqlite(f"{of.edges}_changed", "UPDATE", of.edges, None, old + new),
    ]


_END_LEASE_ON_SQLITE = """
    UPDATE agents SET lease_expires_at = NULL, status = 'crashed', updated_at = updated_at + 1
    WHERE id = OLD.claimed_by_agent_id AND lease_expires_at IS NOT NULL"""
_GIVE_BACK_ON_SQLITE = """
    UPDATE tasks SET status = 'pending', epoch = epoch + 1, updated_at = updated_at + 1
    WHERE id = NEW.id AND claimed_by_agent_id IS NULL AND status = 'in_progress'
        AND epoch = OLD.epoch;
"""

SQLITE = (
    *_counters_on_sqlite(PHASES),
    *_counters_on_sqlite(TASKS),
    _trigger_on_sqlite(
        "tasks_released",
        "UPDATE OF claimed_by_agent_id",
        "tasks",
        f"{RELEASED} AND NEW.status <> 'completed'",
        _recount(TASKS, "NEW.id") + f"{_END_LEASE_ON_SQLITE} AND {TAKEN};" + _GIVE_BACK_ON_SQLITE,
    ),
    _trigger_on_sqlite("tasks_deleted", "DELETE", "tasks", HELD, f"{_END_LEASE_ON_SQLITE};\n"),
)


# PostgreSQL.

# Another program writes with a search_path of its own, in which a temporary table may have the name
# of one of ours. A plan that was made while a table was small, and is kept, would read all of it
# when it has grown: 3 ms for each of 30,000 edges, instead of 0.1.
_SETTINGS = "SET search_path = {place}, pg_temp SET enable_seqscan = off "


def _trigger_on_postgresql(
    name: str, event: str, table: str, when: str | None, body: str
) -> Trigger:
    condition = "" if when is None else f" WHEN ({when})"
    return Trigger(
        PREFIX + name,
        table,
        f"CREATE TRIGGER {PREFIX}{name} AFTER {event} ON {{place}}.{table} FOR EACH ROW{condition} "
        f"EXECUTE FUNCTION {{place}}.{PREFIX}{name}()",
        body,
        _SETTINGS,
    )


def _function(*statements: str, declare: str = "") -> str:
    return f"\n{declare}BEGIN{''.join(statements)}    RETURN NULL;\nEND\n"


def _recount_all_on_postgresql(of: Counted) -> str:
    """Count the row itself if it is open again, and then what waits for it if that has changed.

    In this order: who holds a row that waits must not go back to one that it waits for.
    """
    return _function(
        f"""
    IF {_ended(of)} THEN
        PERFORM FROM {of.table}
        WHERE id IN (SELECT {of.dependency} FROM {of.edges} WHERE {of.dependent} = NEW.id)
        ORDER BY seq FOR SHARE;
""",  # noqa: S608 -- of tables and columns named in this file
        _recount(of, "NEW.id"),
        f"""    END IF;
    IF {CROSSED} THEN
        waiting := ARRAY(
            SELECT id FROM {of.table}
            WHERE id IN (SELECT {of.dependent} FROM {of.edges} WHERE {of.dependency} = NEW.id)
                AND {of.counts}
            ORDER BY seq FOR NO KEY UPDATE
        );
        UPDATE {of.table} SET open_dependencies = counted.number FROM (
            SELECT {of.dependent} AS id,
                count(*) FILTER (WHERE prerequisite.status <> 'completed') AS number
            FROM {of.edges} JOIN {of.table} AS prerequisite ON prerequisite.id = {of.dependency}
            WHERE {of.dependent} = ANY (waiting)
            GROUP BY {of.dependent}
        ) AS counted
        WHERE {of.table}.id = counted.id AND open_dependencies <> counted.number;
    END IF;
""",  # noqa: S608 -- of tables and columns named in this file
        declare="DECLARE\n    waiting text[];\n",
    )


def _recount_after_edge_on_postgresql(of: Counted) -> str:
    return _function(
        f"""
    IF TG_OP <> 'INSERT' THEN
        PERFORM FROM {of.table}
        WHERE id = OLD.{of.dependent} AND (
            {of.counts}
            OR EXISTS (SELECT FROM {of.table} AS other WHERE other.id = OLD.{of.dependency})
        )
        FOR NO KEY UPDATE;
        IF FOUND THEN  -- it may have gone with the edge
""",
        _recount(of, f"OLD.{of.dependent}"),
        f"""        END IF;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM FROM {of.table} WHERE id = NEW.{of.dependency} FOR SHARE;
        PERFORM FROM {of.table} WHERE id = NEW.{of.dependent} FOR NO KEY UPDATE;
""",
        _recount(of, f"NEW.{of.dependent}"),
        "    END IF;\n",
    )


def _counters_on_postgresql(of: Counted) -> list[Trigger]:
    return [
        _trigger_on_postgresql(
            f"{of.table}_changed",
            f"UPDATE OF {_columns(of)}",
            of.table,
            f"({CROSSED}) OR {_ended(of)}",
            _recount_all_on_postgresql(of),
        ),
        _trigger_on_postgresql(
            f"{of.edges}_changed",
            "INSERT OR DELETE OR UPDATE",
            of.edges,
            None,
            _recount_after_edge_on_postgresql(of),
        ),
    ]


_END_LEASE_ON_POSTGRESQL = """
    UPDATE agents SET lease_expires_at = NULL, status = 'crashed',
        updated_at = updated_at + interval '1 microsecond'
    WHERE id = OLD.claimed_by_agent_id AND lease_expires_at IS NOT NULL;
"""
_GIVE_BACK_ON_POSTGRESQL = """
    UPDATE tasks SET status = 'pending', epoch = epoch + 1,
        updated_at = updated_at + interval '1 microsecond'
    WHERE id = NEW.id AND claimed_by_agent_id IS NULL AND status = 'in_progress'
        AND epoch = OLD.epoch;
"""

POSTGRESQL = (
    *_counters_on_postgresql(PHASES),
    *_counters_on_postgresql(TASKS),
    _trigger_on_postgresql(
        "tasks_taken",
        "UPDATE OF claimed_by_agent_id",
        "tasks",
        f"{RELEASED} AND {TAKEN}",
        _function(_END_LEASE_ON_POSTGRESQL, _GIVE_BACK_ON_POSTGRESQL),
    ),
    _trigger_on_postgresql(
        "tasks_deleted", "DELETE", "tasks", HELD, _function(_END_LEASE_ON_POSTGRESQL)
    ),
)
