"""Bringing over the TypeScript original's database: all of it in one transaction, or nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Literal

from cw_store.backends.table_copy import Bulk
from cw_store.credentials import rules_for
from cw_store.errors import SchemaBehindError, StoreError
from cw_store.location import Location, locate
from cw_store.memory import MemoryFolder
from cw_store.migrations import bring_up_to_date
from cw_store.original import left_out
from cw_store.original.cells import Cells
from cw_store.original.enumerations import Enumerations
from cw_store.original.findings import Draft, Findings
from cw_store.original.ids import Ids
from cw_store.original.later import bring_logs
from cw_store.original.logs import LogChunks
from cw_store.original.references import name_ids
from cw_store.original.report import ImportedTable, ImportReport, ValueMap
from cw_store.original.rows import rows_of
from cw_store.original.settling import settle
from cw_store.original.shape import IMPORTED, LOGS
from cw_store.original.source import Source, fingerprint, open_source
from cw_store.original.trees import there
from cw_store.original.writing import WrittenTable, in_batches, write_table
from cw_store.schema import agent_log_chunks
from cw_store.types import MAX_TEXT_BYTES, ValueRules
from cw_store.whole_tables import (
    BATCH_ROWS,
    Progress,
    open_tables,
    refuse_same,
    refuse_unless_empty,
)

logger = logging.getLogger(__name__)


async def run_import(
    source: str | Path,
    target: str | Path | None,
    *,
    dry_run: bool,
    strict: bool,
    map: ValueMap | None,
    encryption_keys: Sequence[str | bytes],
    logs: bool | Literal["only"],
    on_progress: Progress | None,
    busy_timeout: float,
) -> ImportReport:
    """Do what `import_original` says."""
    started = time.monotonic()
    enumerations = Enumerations(map)
    rules = rules_for(encryption_keys, MAX_TEXT_BYTES)
    path, place = _source_file(source), locate(target)
    refuse_same(Location(path), place)
    prints = await fingerprint(path)
    work = _Import(enumerations, rules, place, on_progress, busy_timeout, dry_run)
    async with open_source(path, busy_timeout=busy_timeout) as file:
        if logs == "only":
            tables = await work.bring_logs(file, target)
        else:
            tables = await work.bring_all(file, strict=strict, with_logs=logs)
        migrations = await file.migrations()
    report = ImportReport(
        source=str(path),
        target=str(place),
        source_sha256=prints.file,
        log_sha256=prints.log,
        migrations=migrations,
        tables=tuple(tables),
        findings=tuple(work.findings),
        left_out_file=work.left_out_file,
        dry_run=dry_run,
        seconds=time.monotonic() - started,
    )
    if not dry_run:
        _log(report)
    return report


def _source_file(source: str | Path) -> Path:
    path = locate(source).path
    if path is None:
        raise StoreError("the TypeScript program keeps its data in a SQLite file; name that file")
    return path


def _log(report: ImportReport) -> None:
    logger.info(
        "imported %s rows of the TypeScript program: %s repaired, %s left out",
        report.written,
        report.repaired,
        report.left_out,
        extra={"event": "original_imported"},
    )


class _Import:
    """One import on its way."""

    def __init__(
        self,
        enumerations: Enumerations,
        rules: ValueRules,
        target: Location,
        on_progress: Progress | None,
        busy_timeout: float,
        dry_run: bool,
    ) -> None:
        self.findings = Findings()
        self.left_out_file: str | None = None
        self._rules = rules
        self._cells = Cells(self.findings, enumerations, rules)
        self._ids = Ids()
        self._target = target
        self._report = on_progress or _nothing
        self._timeout = busy_timeout
        self._dry_run = dry_run

    async def bring_all(
        self, source: Source, *, strict: bool, with_logs: bool
    ) -> list[ImportedTable]:
        """Read and set right all tables, then write them."""
        await self._refuse_full_target()
        await source.tell_of_strangers(self.findings)
        drafts = await self._drafts(source)
        settle(drafts, self._cells.disordered, self.findings)
        self._tell_of_accounts(drafts["accounts"])
        if not with_logs and (number := await source.count(LOGS)):
            reason = "they are left for later"
            self.findings.note("logs_later", reason, table=LOGS, count=number)
        if strict:
            if with_logs:
                await self._look_through_logs(source)
            _refuse_repairs(self.findings)
        logs = self._log_chunks(source) if with_logs else None
        async with self._place_to_write() as place:
            written = await self._write(place, drafts, logs, await source.count(LOGS))
        tables = [
            _table(name, rows, written[name]) for name, rows in drafts.items() if name != LOGS
        ]
        if logs is not None:
            tables.append(_log_table(logs, written[LOGS]))
        return tables

    async def bring_logs(self, source: Source, target: str | Path | None) -> list[ImportedTable]:
        """Write the log chunks alone, into a store that has the rest."""
        agents = [draft async for batch in source.read("agents") for draft in batch]
        self._ids.assign(agents, Findings())  # what was found of them was told the first time
        initiatives = [draft async for batch in source.read("initiatives") for draft in batch]
        self._ids.assign(initiatives, Findings())
        logs = self._log_chunks(source)
        total = await source.count(LOGS)
        known = await bring_logs(
            target,
            [str(draft.id) for draft in initiatives],
            logs,
            lambda done: self._report(LOGS, done, total),
            busy_timeout=self._timeout,
            dry_run=self._dry_run,
        )
        written = logs.read + logs.added - known
        table = ImportedTable(
            LOGS, logs.read, written, logs.repaired, added=logs.added, known=known
        )
        return [table]

    def _log_chunks(self, source: Source) -> LogChunks:
        return LogChunks(source, self._ids, self._cells, self.findings, self._rules.max_text_bytes)

    async def _drafts(self, source: Source) -> dict[str, list[Draft]]:
        """Read the rows of all tables but the logs, each right by itself."""
        drafts: dict[str, list[Draft]] = {}
        for table in IMPORTED:
            rows: list[Draft] = []
            drafts[table.name] = rows
            if table.name != LOGS:
                async with aclosing(source.read(table.name)) as batches:
                    async for batch in batches:
                        rows += batch
                if "id" in table.columns:
                    self._ids.assign(rows, self.findings)
                for draft in rows:
                    self._cells.fill(draft)
        for rows in drafts.values():
            name_ids(rows, self._ids, self.findings)
        return drafts

    async def _look_through_logs(self, source: Source) -> None:
        """Find what is to be repaired in the logs, before anything is made."""
        async with aclosing(self._log_chunks(source).rows()) as batches:
            async for _ in batches:
                if self.findings.has_repairs:
                    return

    def _tell_of_accounts(self, accounts: Sequence[Draft]) -> None:
        number = sum(draft.values["credentials"] is not None for draft in accounts)
        if number:
            self.findings.note(
                "shared_accounts",
                "two programs that refresh one OAuth token lock each other out: let one of them "
                "alone use these accounts",
                table="accounts",
                column="credentials",
                count=number,
            )

    async def _refuse_full_target(self) -> None:
        """Refuse a target that is a store of somebody's, before the source is read."""
        path = self._target.path
        if path is not None and not path.exists():
            return
        try:
            await bring_up_to_date(self._target, migrate=False, busy_timeout=self._timeout)
        except SchemaBehindError as error:
            if error.current is None:
                return
            raise StoreError(
                f"{self._target} is a store of an older cw_store; import into a new database"
            ) from error
        async with self._open(self._target, writes=False) as reader:
            await refuse_unless_empty(reader, self._target)

    @asynccontextmanager
    async def _place_to_write(self) -> AsyncGenerator[Location]:
        """Give the target, or of a dry run a place that is gone afterwards."""
        if not self._dry_run:
            yield self._target
            return
        folder = MemoryFolder()
        try:
            yield Location(folder.database)
        finally:
            folder.remove()

    def _open(self, place: Location, *, writes: bool) -> AbstractAsyncContextManager[Bulk]:
        return open_tables(place, writes=writes, batch_rows=BATCH_ROWS, busy_timeout=self._timeout)

    async def _write(
        self,
        place: Location,
        drafts: Mapping[str, Sequence[Draft]],
        logs: LogChunks | None,
        total: int,
    ) -> dict[str, WrittenTable]:
        """Write everything and compare it with what it should be, then commit."""
        await bring_up_to_date(place, migrate=True, busy_timeout=self._timeout)
        written: dict[str, WrittenTable] = {}
        async with self._open(place, writes=True) as writer:
            await refuse_unless_empty(writer, place)
            for table in IMPORTED:
                if table.name != LOGS:
                    rows = rows_of(table, drafts[table.name])
                    written[table.name] = await write_table(
                        writer, table, in_batches(rows), len(rows), self._report
                    )
            if logs is not None:
                written[LOGS] = await write_table(
                    writer, agent_log_chunks, logs.rows(), total, self._report
                )
            await self._commit(writer)
        return written

    async def _commit(self, writer: Bulk) -> None:
        """Commit, with the rows that were left out in their file before."""
        if self._dry_run or not self.findings.left_out:
            await writer.commit()
            return
        path = left_out.path_beside(self._target)
        left_out.write(path, self.findings)
        await writer.commit()
        self.left_out_file = str(path)


def _nothing(table: str, done: int, total: int) -> None:
    pass


def _refuse_repairs(findings: Findings) -> None:
    found = [finding for finding in findings if finding.level != "note"]
    if found:
        first = found[0]
        place = f"{first.table}.{first.column}" if first.column else first.table
        raise StoreError(
            f"the source is not as a store keeps it, and nothing was written: {len(found)} "
            f"findings, the first of them in {place} of {first.id!r}: {first.reason}; "
            "a dry run tells all"
        )


def _table(name: str, drafts: Sequence[Draft], written: WrittenTable) -> ImportedTable:
    kept = there(drafts)
    return ImportedTable(
        name,
        read=len(drafts),
        written=written.rows,
        repaired=sum(draft.is_repaired for draft in kept),
        left_out=len(drafts) - len(kept),
        digest=written.digest,
    )


def _log_table(logs: LogChunks, written: WrittenTable) -> ImportedTable:
    return ImportedTable(
        LOGS, logs.read, written.rows, logs.repaired, added=logs.added, digest=written.digest
    )
