"""The TypeScript original's database, brought over: looked at, set right, written, and told of.

`importing.py` has the order of it. `source.py` reads, `cells.py` sets right what is wrong with one
cell, `references.py`, `trees.py`, `edges.py` and `settling.py` what rows have to agree on, and
`findings.py` keeps what the report tells. All of that is loaded when something is imported, which
most programs never do; it would be a tenth of what they load.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cw_store.original.report import (
    Finding,
    FindingLevel,
    ImportedTable,
    ImportReport,
    OriginalMigrations,
    ValueMap,
)
from cw_store.whole_tables import Progress

__all__ = [
    "Finding",
    "FindingLevel",
    "ImportReport",
    "ImportedTable",
    "OriginalMigrations",
    "ValueMap",
    "import_original",
]


async def import_original(
    source: str | Path,
    target: str | Path | None,
    *,
    dry_run: bool = False,
    strict: bool = False,
    map: ValueMap | None = None,
    encryption_keys: Sequence[str | bytes] = (),
    logs: bool | Literal["only"] = True,
    on_progress: Progress | None = None,
    busy_timeout: float = 30.0,
) -> ImportReport:
    """Bring the database of the TypeScript original at `source` into the empty store at `target`.

    `source` is its SQLite file, with the -wal that lies beside it; it is read as it is at one
    moment and never written. `target` is what `Store` takes: a SQLite file or a PostgreSQL
    database, which is made or brought up to date, and must hold no rows. Rows are stored in the
    order in which they were, with their ids and times. What the source has that a store does not
    keep is repaired or left out by fixed rules (docs/how-to/from-the-original.md), and the report
    names each; agents that run there are `crashed` here.

    Everything is written in one transaction, which is committed after row count and digest of
    every table were found to be what they should. Whatever breaks the import before that, be it an
    error, a cancellation or a killed process, leaves the target empty. Rows that are left out are
    written, whole, to a file beside a target that is a file, and else in the working directory:
    the target's name and `.left-out.jsonl`.

    `dry_run` does all of it into a temporary store, and gives the same report. `strict` refuses a
    source of which anything has to be repaired or left out. `map` says for a column, as
    `"tasks.status"`, which value of the source becomes which of the store's:
    `{"tasks.status": {"failed": "blocked"}}`. `encryption_keys` are as for `Store`, $CW_STORE_KEYS
    included. `logs=False` leaves the log chunks for later, and `logs="only"` brings them, in
    batches, into a store that has all else of this source, and may be in use; those that are there
    are passed over, so it may be repeated. `on_progress(table, done, total)` is called for each
    batch with the rows that were written so far; what it raises breaks the import.
    `busy_timeout` is how many seconds to wait for a lock.

    Raises SchemaError when the source is something else or a store already, ValueError for a map
    that names what there is not, StoreBusyError when a lock was not to be had in time, and
    StoreError when the source is damaged or holds text that is too long for a store, when the
    target is not empty, or when `strict` refuses; nothing is stored then.
    """
    from cw_store.original.importing import run_import

    return await run_import(
        source,
        target,
        dry_run=dry_run,
        strict=strict,
        map=map,
        encryption_keys=encryption_keys,
        logs=logs,
        on_progress=on_progress,
        busy_timeout=busy_timeout,
    )
