"""What `doctor` does: has a store looked at, and shows what was found."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from cw_store.cli.blocks import Block, Table, Text
from cw_store.cli.context import Context
from cw_store.cli.failures import UsageError
from cw_store.doctor import Finding, diagnose, fix

MARKS = {"fine": "✓", "note": "·", "problem": "!"}


async def examine(here: Context, *, is_deep: bool, mends: bool) -> int:
    """Show what each check says; return 1 when something needs to be done."""
    findings = await _diagnosed(here, is_deep)
    mended: list[Finding] = []
    if mends:
        mended = await fix(here.url, findings)
        if mended:
            findings = await _diagnosed(here, is_deep)
    data: dict[str, Any] = {
        "findings": [asdict(finding) for finding in findings],
        "mended": [asdict(finding) for finding in mended],
    }
    here.output.page(data, *_blocks(here, findings, mended))
    return 1 if any(finding.level == "problem" for finding in findings) else 0


async def _diagnosed(here: Context, is_deep: bool) -> list[Finding]:
    try:
        with here.output.progress("doctor") as advance:
            found = await diagnose(
                here.url,
                deep=is_deep,
                clock=here.clock,
                on_progress=lambda check, done, total: advance(done, total, f"doctor: {check}"),
            )
    except ValueError as error:
        raise UsageError(str(error)) from error
    return [
        finding
        if finding.command is None
        else replace(finding, command=here.command(finding.command))
        for finding in found
    ]


def _blocks(here: Context, findings: list[Finding], mended: list[Finding]) -> list[Block]:
    blocks: list[Block] = [Text((f"mended: {each.what}",)) for each in mended]
    if not here.output.is_terminal:
        rows = [(each.level, each.check, each.what, each.why, each.command) for each in findings]
        return [Table(("level", "check", "what", "why", "command"), rows), *blocks]
    told = [each for each in findings if each.level != "fine"]
    fine = len(findings) - len(told)
    blocks += [_told(each) for each in told]
    return [
        *blocks,
        Text((f"{MARKS['fine']} {fine} {'check is' if fine == 1 else 'checks are'} fine",)),
    ]


def _told(finding: Finding) -> Text:
    why = (f"  {finding.why}",) if finding.why else ()
    lines = (f"{MARKS[finding.level]} {finding.check}: {finding.what}", *why)
    return Text(lines, command=finding.command)
