"""What `import` does: bring a file over, and show the report of it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from cw_store import (
    Finding,
    ImportReport,
    StoreError,
    import_original,
)
from cw_store.cli.blocks import Block, Facts, Table
from cw_store.cli.context import Context
from cw_store.cli.failures import CommandError, UsageError
from cw_store.cli.overwriting import refuse_database

REPAIRED, LEFT_OUT = 3, 4
"""The exit codes of what is done, but not without a word."""

MOST_OF_A_KIND = 5
"""How many findings of one kind in one column are shown; the report as JSON has all."""


class Wishes(NamedTuple):
    """What was asked for beside the source."""

    dry_run: bool
    strict: bool
    map: tuple[str, ...]
    report: str | None
    no_logs: bool
    logs_only: bool


async def bring_over(here: Context, source: str, wishes: Wishes) -> int:
    """Bring the source over and show what came of it; return the exit code."""
    if _is_export(source):
        return await _bring_back(here, source, wishes)
    if wishes.report is not None:
        _refuse_unless_writable(wishes.report)  # afterwards it would be too late
    report = await _imported(here, source, wishes)
    if wishes.report is not None:
        _write(wishes.report, report)
    here.output.page(report.as_json(), *_blocks(report))
    _remark(here, report, wishes)
    return LEFT_OUT if report.left_out else REPAIRED if report.repaired else 0


def _is_export(source: str) -> bool:
    """Whether the file begins like an export of a store, which is text, and no database."""
    try:
        # NONBLOCK, should it be a fifo that nobody writes to.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):
        return False  # said where it is read
    try:
        return os.read(descriptor, 1) == b"{"
    except OSError:  # a folder
        return False
    finally:
        os.close(descriptor)


async def _bring_back(here: Context, source: str, wishes: Wishes) -> int:
    from cw_store.cli.keeping import read_export

    if wishes._replace(dry_run=False) != Wishes(False, False, (), None, False, False):
        raise UsageError(f"{source} is an export, for which there is --dry-run alone")
    return await read_export(here, source, dry_run=wishes.dry_run)


async def _imported(here: Context, source: str, wishes: Wishes) -> ImportReport:
    with here.output.progress("import") as advance:

        def on_progress(_table: str, done: int, total: int) -> None:
            advance(done, total)

        try:
            return await import_original(
                source,
                here.url,
                dry_run=wishes.dry_run,
                strict=wishes.strict,
                map=_mapping(wishes.map),
                logs=_logs(wishes),
                on_progress=on_progress,
            )
        except (StoreError, ValueError) as error:  # exit codes 3 and 4 mean something else here
            raise CommandError("refused", str(error)) from error


def _logs(wishes: Wishes) -> bool | Literal["only"]:
    if wishes.no_logs and wishes.logs_only:
        raise UsageError("--no-logs and --logs-only contradict each other")
    return "only" if wishes.logs_only else not wishes.no_logs


def _mapping(words: Iterable[str]) -> dict[str, dict[str, str]]:
    """Read `tasks.status:failed=blocked`; a value may hold a colon, and an equals sign too."""
    mapping: dict[str, dict[str, str]] = {}
    for word in words:
        column, colon, values = word.partition(":")
        old, equals, new = values.rpartition("=")
        if not (colon and equals):
            raise UsageError(f"--map takes table.column:value=value, not {word}")
        mapping.setdefault(column, {})[old] = new
    return mapping


def _refuse_unless_writable(path: str) -> None:
    refuse_database(path)
    is_new = not os.path.exists(path)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        if is_new:
            os.unlink(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CommandError("refused", f"cannot write the report to {path}: {reason}") from error


def _write(path: str, report: ImportReport) -> None:
    """Write the report as JSON, for its owner alone: it quotes what was stored."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(report.as_json(), file, ensure_ascii=False, indent=2)
        file.write("\n")


def _blocks(report: ImportReport) -> list[Block]:
    facts: dict[str, object] = {
        "source": report.source,
        "sha256": report.source_sha256,
        "target": report.target,
        "read": report.read,
        "would write" if report.dry_run else "written": report.written,
        "repaired": report.repaired,
        "left out": report.left_out,
    }
    tables = Table(
        ("table", "read", "written", "repaired", "left_out"),
        [
            (table.name, table.read, table.written, table.repaired, table.left_out)
            for table in report.tables
        ],
    )
    findings = Table(
        ("level", "table", "column", "id", "what", "old", "new", "count"),
        [_row(finding) for finding in _shown(report)],
        title="findings",
        nothing="nothing was odd",
    )
    return [Facts(facts), tables, findings]


def _shown(report: ImportReport) -> list[Finding]:
    """Return the first findings of each kind, what was left out before all else."""
    numbers: Counter[tuple[str, str | None, str | None]] = Counter()
    shown: list[Finding] = []
    for finding in sorted(report.findings, key=_weight):
        kind = (finding.code, finding.table, finding.column)
        numbers[kind] += 1
        if numbers[kind] <= MOST_OF_A_KIND:
            shown.append(finding)
    return shown


def _weight(finding: Finding) -> int:
    return ("left_out", "repair", "note").index(finding.level)


def _row(finding: Finding) -> tuple[object, ...]:
    place = (finding.level, finding.table, finding.column, finding.id)
    return (*place, finding.reason, finding.old, finding.new, finding.count)


def _remark(here: Context, report: ImportReport, wishes: Wishes) -> None:
    more = len(report.findings) - len(_shown(report))
    if more > 0 and not here.output.is_json:
        where = wishes.report or "--report FILE or --json"
        here.output.remark(f"{more} more findings of these kinds: {where}")
    if report.left_out_file is not None:
        here.output.remark(f"the rows that were left out are in {report.left_out_file}")
