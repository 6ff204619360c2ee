"""`live`: a page on which people see agents at work."""

from typing import Annotated

from cyclopts import Parameter

from cw_store.cli.context import Here
from cw_store.cli.parameters import flag


async def live(
    *,
    port: Annotated[
        int | None, Parameter(help="Where to listen; else the first that is free from 8470 on.")
    ] = None,
    act: Annotated[bool, flag("Let whoever has the address answer, retry, accept, …")] = False,
    open: Annotated[bool, flag("Open the page in a browser.")] = False,
    allow_network: Annotated[
        str | None,
        Parameter(
            help="Listen on this address of the machine, or name of it, instead of on loopback; "
            "what is sent is not encrypted."
        ),
    ] = None,
    here: Here,
) -> None:
    """Serve a page on which people see agents at work.

    It prints the address, which has a token in it: whoever has it may look, and with `--act` act.
    The page shows what waits for you, who works on what, what could start and why the rest waits,
    and renews itself. It listens on loopback alone unless it is told otherwise, and goes on until
    Ctrl-C ends it.
    """
    from cw_store.cli.serving import serve_page

    await serve_page(here, port, may_act=act, opens=open, host=allow_network)
