"""`live`: serve the page until somebody ends it."""

from __future__ import annotations

import asyncio
import gc
import webbrowser
from ipaddress import ip_address

from cw_store.cli.context import Context
from cw_store.cli.extras import needs_extra
from cw_store.cli.failures import CommandError, UsageError


async def serve_page(
    here: Context, port: int | None, *, may_act: bool, opens: bool, host: str | None
) -> None:
    """Serve the page, and say where it is."""
    with needs_extra("live"):
        from cw_store.live import serving
    if port is not None and not 0 <= port <= 65_535:
        raise UsageError("a port is a number from 0 to 65535")
    if host is not None and _is_any(host):
        raise UsageError(
            f"--allow-network takes the address or name by which others reach this machine, "
            f"not {host!r}"
        )
    async with here.acting() if may_act else here.reading() as store:
        try:
            async with serving(store, may_act=may_act, host=host, port=port) as page:
                # What was loaded stays; to look for garbage in it takes longer than a look.
                gc.freeze()
                here.output.line(page.address, data={"address": page.address})
                here.output.remark(_remark(may_act, host))
                if opens:
                    await asyncio.to_thread(webbrowser.open, page.address_to_use_once())
                await page.until_it_ends()
        except OSError as error:
            at = f"{host or 'loopback'}, port {port or 'any'}"
            told = f"nobody can listen on {at}: {error.strerror or error}"
            raise CommandError("cannot-open", told) from error


def _remark(may_act: bool, host: str | None) -> str:
    told = "whoever has this address may look and act" if may_act else "to look at; --act lets act"
    if host is not None:
        told += "; what is sent over the network is not encrypted"
    return f"{told}; Ctrl-C ends it"


def _is_any(host: str) -> bool:
    """Whether it stands for all addresses, by none of which a browser could call us."""
    try:
        return not host or ip_address(host).is_unspecified
    except ValueError:
        return False
