"""Filling a new store from a file: the TypeScript program's database, or an export of a store."""

from typing import Annotated

from cyclopts import Parameter

from cw_store.cli.context import Here
from cw_store.cli.parameters import flag


async def import_(
    source: Annotated[
        str, Parameter(help="An export of a store, or the database of the TypeScript program.")
    ],
    /,
    *,
    dry_run: Annotated[bool, flag("Tell what would be done, and write nothing.")] = False,
    strict: Annotated[bool, flag("Refuse a source of which anything needs repair.")] = False,
    map: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            metavar="OLD=NEW",
            help="What a value becomes: tasks.status:failed=blocked; may be repeated.",
        ),
    ] = (),
    report: Annotated[
        str | None, Parameter(metavar="FILE", help="Write the whole report to this file, as JSON.")
    ] = None,
    no_logs: Annotated[bool, flag("Leave the log chunks for later.")] = False,
    logs_only: Annotated[bool, flag("Bring the log chunks that were left for later.")] = False,
    here: Here,
) -> int:
    """Fill a new store from a file of another one.

    `SOURCE` is an export of a store (`cw-store export`), of which all is brought back or nothing;
    of the options it takes `--dry-run` alone. Or it is the SQLite file of the TypeScript program,
    whose `-wal` has to lie beside it; it is read and never written. The store that `--url` names is
    made, or has to be empty. All of it is written or nothing. Exit code 0: nothing had to be
    repaired; 3: done, with repairs; 4: done, and rows were left out, which are in
    `TARGET.left-out.jsonl`; 2: refused, and nothing written.
    """
    from cw_store.cli.importing import Wishes, bring_over

    wishes = Wishes(dry_run, strict, map, report, no_logs, logs_only)
    return await bring_over(here, source, wishes)
