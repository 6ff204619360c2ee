"""Whether a store is well: `doctor`."""

from typing import Annotated

from cw_store.cli.context import Here
from cw_store.cli.parameters import flag


async def doctor(
    *,
    fix: Annotated[bool, flag("Mend what can be mended without losing anything.")] = False,
    deep: Annotated[bool, flag("Read the whole file, which takes a while.")] = False,
    here: Here,
) -> int:
    """Look for what is wrong with a store, and say what mends it.

    Each check says what it found, why that matters, and the command that mends it. The exit code is
    1 when something needs to be done; what is only good to know is marked and changes nothing.
    """
    from cw_store.cli.examining import examine

    return await examine(here, is_deep=deep, mends=fix)
