"""What `backup`, `restore`, `copy`, `export` and `prune` do."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import func, select

from cw_store import ExportReport, copy_store, import_store, metadata, restore_store
from cw_store.cli.advance import Advance
from cw_store.cli.blocks import Facts, Table
from cw_store.cli.context import BUSY_TIMEOUT, Context
from cw_store.cli.failures import CommandError, UsageError
from cw_store.cli.overwriting import refuse_database
from cw_store.lengths import length_of

Progress = Callable[[str, int, int], None]


async def back_up(here: Context, destination: str, *, keep: int | None, force: bool) -> None:
    """Write a backup, and remove the oldest ones beside it."""
    if keep is not None and keep < 1:
        raise UsageError("--keep takes how many are to be kept: 1 or more")
    async with here.reading() as store:
        path, name = _place(here, destination, store.url)
        if keep is not None and name is None:
            raise UsageError("--keep needs a folder, in which each backup has a name of its own")
        _refuse_existing(path, force=force)
        with _bar(here, "backup") as on_progress:
            report = await store.backup(path, force=force, on_progress=on_progress)
    removed = [] if keep is None or name is None else _remove_oldest(path.parent, name, keep)
    here.output.facts(
        {
            "backup": str(report.path),
            "schema": report.revision,
            "rows": report.rows,
            "bytes": report.bytes,
            "removed": removed or None,
            "left behind": list(report.left_behind) or None,
        },
        data={
            "path": str(report.path),
            "schema": report.revision,
            "tables": {table.name: table.rows for table in report.tables},
            "rows": report.rows,
            "bytes": report.bytes,
            "seconds": report.seconds,
            "removed": removed,
            "left_behind": report.left_behind,
        },
    )


def _place(here: Context, destination: str, url: str) -> tuple[Path, str | None]:
    """Return where the backup goes, and in a folder what the names of this store's begin with."""
    if not os.path.isdir(destination):
        if destination.endswith(os.sep):
            raise CommandError("refused", f"there is no folder {destination}; make it first")
        return Path(destination), None
    name = re.sub(r"[^\w.-]+", "_", Path(url).stem).strip("._") or "store"
    time = here.now().astimezone(UTC)
    return Path(destination, f"{name}-{time:%Y%m%dT%H%M%SZ}.db"), name


def _remove_oldest(folder: Path, name: str, keep: int) -> list[str]:
    """Remove this store's backups but the newest; return the names of those that went."""
    pattern = re.compile(re.escape(name) + r"-\d{8}T\d{6}Z\.db")
    found = sorted(each for each in os.listdir(folder) if pattern.fullmatch(each))
    for each in found[:-keep]:
        os.unlink(folder / each)
    return found[:-keep]


async def put_back(here: Context, file: str, *, force: bool) -> None:
    """Restore the store from a backup."""
    _refuse_missing(file)
    place = here.store(read_only=True).url
    if os.path.isabs(place):  # and no server
        _refuse_existing(Path(place), force=force)
    with _bar(here, "restore") as on_progress:
        report = await restore_store(
            Path(file), here.url, force=force, on_progress=on_progress, busy_timeout=BUSY_TIMEOUT
        )
    here.output.facts(
        {
            "restored": report.url,
            "schema": report.revision,
            "rows": report.rows,
            "kept as": report.kept_as and str(report.kept_as),
        },
        data={
            "url": report.url,
            "schema": report.revision,
            "tables": {table.name: table.rows for table in report.tables},
            "rows": report.rows,
            "seconds": report.seconds,
            "kept_as": report.kept_as and str(report.kept_as),
        },
    )


async def copy_to(here: Context, source: str, destination: str) -> None:
    """Copy a store into an empty one."""
    with _bar(here, "copy") as on_progress, _wrong_urls():
        report = await copy_store(
            source, destination, on_progress=on_progress, busy_timeout=BUSY_TIMEOUT
        )
    tables = Table(("table", "rows", "sha256"), [tuple(table) for table in report.tables])
    here.output.page(
        {
            "tables": tables.records(),
            "rows": report.rows,
            "seconds": report.seconds,
            "left_behind": report.left_behind,
        },
        tables,
        Facts({"rows": report.rows, "left behind": list(report.left_behind) or None}),
    )


async def write_export(here: Context, path: str | None, *, include_secrets: bool) -> None:
    """Write an export into a file, or to stdout."""
    if path is None and here.output.is_terminal:
        raise UsageError("an export is for a file or a pipe: name one with -o")
    if path is not None:
        _refuse_existing(Path(path), force=None)
        refuse_database(path)
    stdout: Any = getattr(sys.stdout, "buffer", sys.stdout)
    async with here.reading() as store:
        with _bar(here, "export") as on_progress:
            report = await store.export(
                stdout if path is None else Path(path),
                include_secrets=include_secrets,
                on_progress=on_progress,
            )
    if path is not None:
        _show_export(here, report, exported=path)
    elif not include_secrets:
        here.output.remark("exported without credentials; --include-secrets writes them too")


async def read_export(here: Context, path: str, *, dry_run: bool) -> int:
    """Fill an empty store with an export."""
    with _bar(here, "import") as on_progress, _wrong_urls():
        report = await import_store(
            Path(path),
            here.url,
            dry_run=dry_run,
            on_progress=on_progress,
            busy_timeout=BUSY_TIMEOUT,
        )
    _show_export(here, report, **{"would import" if dry_run else "imported": path})
    if not report.has_secrets:
        here.output.remark("accounts are without credentials: the export was made without")
    return 0


def _show_export(here: Context, report: ExportReport, **what: object) -> None:
    facts = {**what, "rows": report.rows, "bytes": report.bytes, "sha256": report.sha256}
    here.output.facts(
        {**facts, "secrets": report.has_secrets},
        data={
            **{name.replace(" ", "_"): value for name, value in facts.items()},
            "tables": [table._asdict() for table in report.tables],
            "has_secrets": report.has_secrets,
            "seconds": report.seconds,
        },
    )


async def delete_old(
    here: Context, what: Literal["logs", "changes"], older_than: str, *, dry_run: bool
) -> None:
    """Delete what is old, or count it."""
    age = length_of(older_than)
    before = here.now() - age
    name = "log chunks" if what == "logs" else "changes"
    if dry_run:
        count = await _count_old(here, what, before)
        here.output.done(
            f"would delete {count:,} {name} from before {before:%Y-%m-%d %H:%M} UTC",
            data={"what": what, "would_delete": count, "before": before},
        )
        return
    async with here.acting() as store:
        size = _size(store.url)
        asked: dict[str, Any] = {"log_chunks_before": before}
        if what == "changes":
            asked = {"changes_kept": age}
        with here.output.progress("prune") as advance:
            pruned = await store.prune(**asked, on_progress=partial(_pruned, advance))
        deleted = pruned.log_chunks if what == "logs" else pruned.changes
    given_back = max(0, size - _size(store.url))
    here.output.done(
        f"deleted {deleted:,} {name} from before {before:%Y-%m-%d %H:%M} UTC"
        + (f"; {given_back:,} bytes given back" if given_back else ""),
        data={"what": what, "deleted": deleted, "before": before, "bytes_given_back": given_back},
    )


def _pruned(advance: Advance, what: str, done: int, total: int) -> None:
    if what == "room":  # which is one step, of any length
        advance(done, None, "giving the room back")
    else:
        advance(done, total)


async def _count_old(here: Context, what: Literal["logs", "changes"], before: Any) -> int:
    """Return how many are old enough; of changes a few more may have to stay."""
    table = metadata.tables["agent_log_chunks" if what == "logs" else "changes"]
    old = table.c.created_at < before if what == "logs" else table.c.at < before
    async with here.reading() as store, store.unit_of_work(read_only=True) as uow:
        counted = select(func.count()).select_from(table).where(old, table.c.seq > 0)
        return await uow.session.scalar(counted) or 0


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _refuse_missing(file: str) -> None:
    if not os.path.exists(file):
        raise CommandError("no-store", f"there is no backup at {file}; name a file that is there")


def _refuse_existing(path: Path, *, force: bool | None) -> None:
    """Refuse a file that is there; `force` is None where there is no option to replace it."""
    if not force and os.path.lexists(path):
        hint = "name another" if force is None else "--force replaces it"
        raise CommandError("refused", f"{path} exists already; {hint}")


@contextmanager
def _bar(here: Context, what: str) -> Generator[Progress]:
    with here.output.progress(what) as advance:
        yield lambda _what, done, total: advance(done, total)


@contextmanager
def _wrong_urls() -> Generator[None]:
    try:
        yield
    except ValueError as error:
        from cw_store import StoreError

        if isinstance(error, StoreError):
            raise
        raise UsageError(str(error)) from error
