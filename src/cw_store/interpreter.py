"""Whether this Python is one that the quick ways were checked with; asked once, at import.

Two things are done in a way that is faster than the plain one and that no document promises: a
task waits for what is no asyncio.Future (`backends/thread/future.py`), and an object that was
filled becomes a record by a change of its class (`statements/reading.py`). Both are CPython's,
and both count on its global lock: without it, each change of a class stops all threads.
"""

import platform
import sysconfig


def is_known(implementation: str, *, without_lock: bool) -> bool:
    """Whether the quick ways are to be taken on such a Python."""
    return implementation == "CPython" and not without_lock


IS_KNOWN = is_known(
    platform.python_implementation(),
    without_lock=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
)
"""Whether the Python that runs this takes them; where not, all is done the plain way."""
