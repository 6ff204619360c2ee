"""Numbers to set alarms on: `stats`."""

from typing import Annotated

from cyclopts import Parameter

from cw_store.cli.context import Here


async def stats(
    *,
    prometheus: Annotated[
        bool, Parameter(negative="", help="As text that Prometheus reads.")
    ] = False,
    here: Here,
) -> None:
    """Count what is stored, and what waits, as numbers to set alarms on.

    It is read from the store, whichever programs have it open. What a program has done itself, it
    tells by store.stats().
    """
    from cw_store.cli.counting import show_counts

    await show_counts(here, prometheus=prometheus)
