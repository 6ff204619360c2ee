"""A process that is killed at a point of its own choosing."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Concatenate, ParamSpec

P = ParamSpec("P")

Here = Callable[[], None]
"""What the work calls where its process is to be killed; it does not return."""

_HERE = "here"


async def killed_while(
    work: Callable[Concatenate[Here, P], object], *arguments: P.args, **named: P.kwargs
) -> None:
    """Run `work(here, …)` in a process of its own, which is killed where it calls `here()`.

        async def half_a_unit(here, url):
            async with Store(url) as store, store.unit_of_work() as uow:
                await uow.initiatives.create(name="half")
                here()

        await killed_while(half_a_unit, cw_store_url)

    It is a SIGKILL, so no block of the process comes to its end, and what it had open is left as it
    is. `work` is a function, async or not, of a module that can be imported, and its arguments can
    be pickled. Returns when the process is dead. One that ends before it calls `here()`, or does
    not within a minute, is an AssertionError, which says why.
    """
    context = multiprocessing.get_context("spawn")  # what a fork inherits of SQLite is no good
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, work, arguments, named), daemon=True)
    await asyncio.to_thread(process.start)
    theirs.close()
    try:
        told = await asyncio.to_thread(_told, ours)
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
        process.close()
        ours.close()
    if told != _HERE:
        raise AssertionError(f"the process was to be killed, but {told}")


def _told(pipe: Connection, seconds: float = 60.0) -> str:
    try:
        return pipe.recv() if pipe.poll(seconds) else f"did not come there in {seconds:g} s"
    except EOFError:
        return "ended by itself"


def _run(
    pipe: Connection,
    work: Callable[..., object],
    arguments: tuple[Any, ...],
    named: dict[str, Any],
) -> None:
    """Do the work; in the process."""

    def here() -> None:
        pipe.send(_HERE)
        while True:
            time.sleep(60)

    try:
        result = work(here, *arguments, **named)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    except BaseException as error:
        pipe.send(f"ended with {error!r}")
        raise
    pipe.send("came to its end without having called here()")
