"""Setting up: `init`, `migrate`, `status`, `rekey`."""

from typing import Annotated

from cyclopts import Parameter

from cw_store.cli.context import Here
from cw_store.cli.parameters import flag


async def init(*, here: Here) -> None:
    """Make a new store.

    One that is there already stays as it is. A file is readable by nobody else.
    """
    from cw_store.cli.setting_up import make_store

    await make_store(here)


async def rekey(*, here: Here) -> None:
    """Encrypt all credentials anew, under another key.

    $CW_STORE_KEYS has the keys, separated by commas: the first encrypts, the others are those that
    credentials may be encrypted under now. What is in clear is encrypted. Others go on working
    meanwhile.
    """
    from cw_store.cli.setting_up import encrypt_anew

    await encrypt_anew(here)


async def status(*, here: Here) -> None:
    """Show the schema, rows and bytes, and who is at it."""
    from cw_store.cli.status import show_status

    await show_status(here)


async def migrate(
    *,
    check: Annotated[bool, flag("Only tell whether it is behind: then the exit is 1.")] = False,
    sql: Annotated[
        bool, flag("Only print the statements, for whoever wants to read or run them.")
    ] = False,
    to: Annotated[
        str | None, Parameter(metavar="SCHEMA", help="Go only so far: 0003. There is no way back.")
    ] = None,
    here: Here,
) -> int:
    """Bring a store to the schema of this cw-store.

    All steps are one transaction; others wait meanwhile. A store is not made here, but by init.
    """
    from cw_store.cli.setting_up import bring_up_to_date, print_steps

    if sql:
        return await print_steps(here, goes_alone=not check and to is None)
    return await bring_up_to_date(here, only_check=check, to=to)
