"""Keeping: `backup`, `restore`, `copy`, `export`, `prune`; `import` is in `original.py`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from cw_store.cli.context import Here
from cw_store.cli.parameters import flag, word


async def backup(
    destination: Annotated[str, word("A new file, or a folder, in which it is named by the time.")],
    /,
    *,
    keep: Annotated[
        int | None, Parameter(help="In a folder: remove the oldest but this many.")
    ] = None,
    force: Annotated[bool, flag("Replace a file that is there.")] = False,
    here: Here,
) -> None:
    """Write all that is stored into a file, while others work on.

    The file is a store of its own, also that of a server's. It is compared with what was stored and
    checked, and only then there; with `--keep` older ones of this store go after that.
    """
    from cw_store.cli.keeping import back_up

    await back_up(here, destination, keep=keep, force=force)


async def restore(
    file: Annotated[str, word("The backup.")],
    /,
    *,
    force: Annotated[bool, flag("Replace the store that is there; it is kept beside.")] = False,
    here: Here,
) -> None:
    """Put a backup back.

    Nobody may have the store open. The one that is there stays as NAME.before-restore. A server's
    database has to be empty.
    """
    from cw_store.cli.keeping import put_back

    await put_back(here, file, force=force)


async def copy(
    source: Annotated[str, word("A file or a database URL.")],
    destination: Annotated[str, word("An empty one, or a new file.")],
    /,
    *,
    here: Here,
) -> None:
    """Copy a store into an empty one, from either database.

    Each table is compared by its digest before anything counts. The source may be written to
    meanwhile, but what is written after the beginning is not in the copy. To move for good, stop
    all programs that write, copy, and start them with `CW_STORE_URL` set to the destination.
    """
    from cw_store.cli.keeping import copy_to

    await copy_to(here, source, destination)


async def export(
    *,
    output: Annotated[
        str | None, Parameter(alias="-o", metavar="FILE", help="A new file; else stdout.")
    ] = None,
    include_secrets: Annotated[
        bool, flag("With accounts' credentials and config_json, as they are stored.")
    ] = False,
    here: Here,
) -> None:
    """Write every row as a line of JSON.

    The last line has the digest of all before; `cw-store import` reads it back. Without
    `--include-secrets` accounts have no credentials and no config_json in it. The feed of changes
    is left out: it begins anew in the new store.
    """
    from cw_store.cli.keeping import write_export

    await write_export(here, output, include_secrets=include_secrets)


async def prune(
    what: Annotated[Literal["logs", "changes"], Parameter(help="Log chunks, or the feed.")],
    /,
    *,
    older_than: Annotated[
        str, Parameter(metavar="AGE", help="How old they are at least: 30d, 12h.")
    ],
    dry_run: Annotated[bool, flag("Tell how many, and delete none.")] = False,
    here: Here,
) -> None:
    """Delete old log chunks or changes, and give the room back.

    In batches, so that others work on. Whoever reads the feed from before the oldest change that
    is kept has to begin anew.
    """
    from cw_store.cli.keeping import delete_old

    await delete_old(here, what, older_than, dry_run=dry_run)
