"""`report`: all that is to be seen, in one HTML file."""

from __future__ import annotations

from cw_store.cli.context import Context
from cw_store.cli.extras import needs_extra
from cw_store.cli.failures import UsageError
from cw_store.cli.files import is_for_file, write_text
from cw_store.cli.finding import find


async def write_report(here: Context, initiative: str | None, file: str | None) -> None:
    """Write the report of an initiative, or of all that are not archived."""
    if file is None and here.output.is_terminal and not here.output.is_json:
        raise UsageError("a report is for a browser: name a file with -o, as run.html")
    with needs_extra("live"):
        from cw_store.live import read_report, report_page
    async with here.reading() as store, store.unit_of_work(read_only=True) as uow:
        of = None if initiative is None else (await find(uow, initiative, "initiative")).id
        report = await read_report(uow, of)
    if here.output.is_json and not is_for_file(file):
        here.output.page(report)
    else:
        write_text(here, file, report_page(report))
