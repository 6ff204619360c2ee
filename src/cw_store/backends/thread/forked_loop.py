"""What a forked child does to the event loop that it has a copy of, so as to let the parent be.

The loop's selector is one thing in the kernel for both processes (epoll(7), "Questions and
answers"): what the child takes out of it, as the end of its copy of the loop does, nobody
tells the parent of any more, whose loop then sleeps for ever. So the child's copy gets a selector
and a way to wake it of its own before anything else happens in it. That touches what asyncio keeps
to itself: `_selector`, `_close_self_pipe` and `_make_self_pipe`, checked with CPython 3.11 to 3.13.
Where one is missing, or the loop is another than asyncio's, all is left as it is.
"""

from __future__ import annotations

import asyncio
import os
import select
import selectors
from typing import Any
from weakref import WeakSet

_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def note_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Let a child that is forked off leave this loop to this process."""
    _loops.add(loop)


def _leave_to_parent(loop: Any) -> None:
    selector = getattr(loop, "_selector", None)
    if loop.is_closed() or not isinstance(selector, selectors.EpollSelector):
        return
    own = select.epoll()
    os.dup2(own.fileno(), selector.fileno(), inheritable=False)
    own.close()
    # Closing its copies of descriptors is no affair of the parent's.
    loop._close_self_pipe()
    loop._make_self_pipe()


def _after_fork() -> None:
    for loop in tuple(_loops):
        try:
            _leave_to_parent(loop)
        except (AttributeError, OSError):
            pass  # as it would have been without
    _loops.clear()


os.register_at_fork(after_in_child=_after_fork)
