"""Has all checks done, each within its time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from cw_store import (
    SchemaAheadError,
    SchemaBehindError,
    SchemaError,
    Store,
    StoreBusyError,
    StoreError,
    UnitOfWork,
)
from cw_store.doctor import sound
from cw_store.doctor.files import FILE_CHECKS
from cw_store.doctor.finding import Finding, command_of, fine, note, problem
from cw_store.doctor.work import Work

T = TypeVar("T")

SECONDS = 10.0
"""How long each check may take."""

DEEP_SECONDS = 3600.0
"""How long the checks may take that `deep=True` adds: they read everything."""

BUSY_SECONDS = 5.0

DAMAGED = (11, 26)
"""SQLITE_CORRUPT and SQLITE_NOTADB, as in SQLite's "Result and Extended Result Codes"."""

Progress = Callable[[str, int, int], object]
"""Called with the name of the check that begins, how many were done, and how many there are."""

Checks = Mapping[str, tuple[Callable[[UnitOfWork], Awaitable[list[Finding]]], float]]


async def diagnose(
    url: str | Path | None = None,
    *,
    deep: bool = False,
    clock: Callable[[], datetime] | None = None,
    encryption_keys: Sequence[str | bytes] = (),
    seconds: float = SECONDS,
    on_progress: Progress | None = None,
) -> list[Finding]:
    """Return what each check of the store at `url` says, those that are fine included.

    Nothing is changed, created or migrated. What stands in the way of opening the store is a
    finding too, and ends the checks. Each takes at most `seconds`, and then says that it could not
    look; with `deep=True` the whole file is read, and each index compared with its table, for at
    most an hour. `clock` gives the time that ages are counted from; `encryption_keys` are those of
    the store, or else in `$CW_STORE_KEYS`. `on_progress(check, done, total)` is called when a check
    begins, with how many were done; what it raises ends the checks.

    In the order of the checks: the file's surroundings, the store, its server, and the work that is
    stored in it. Raises ValueError for a URL that leads nowhere.
    """
    store = Store(
        url,
        read_only=True,
        migrate=False,
        clock=clock,
        encryption_keys=encryption_keys,
        busy_timeout=min(BUSY_SECONDS, seconds),
    )
    path = Path(store.url)
    is_file = path.is_absolute() and store.url != ":memory:"
    checks = _checks(is_file, deep, clock, seconds)
    files = FILE_CHECKS if is_file else {}
    begin = _Begun([*files, "store", *checks], on_progress)
    findings = await _examine_file(path, seconds, begin) if is_file else []
    begin("store")
    opened = await _open(store, seconds)
    findings += opened
    if opened[0].level != "fine":
        return findings
    try:
        for name, (check, limit) in checks.items():
            begin(name)
            findings += await _examine(store, name, check, limit)
    finally:
        await store.close()
    return findings


class _Begun:
    """Tells somebody, if anybody, which check begins."""

    def __init__(self, names: Sequence[str], on_progress: Progress | None) -> None:
        self._names = names
        self._on_progress = on_progress

    def __call__(self, name: str) -> None:
        if self._on_progress is not None:
            self._on_progress(name, self._names.index(name), len(self._names))


def _checks(
    is_file: bool, deep: bool, clock: Callable[[], datetime] | None, seconds: float
) -> Checks:
    work = Work(datetime.now(UTC) if clock is None else clock())
    checks: dict[str, Callable[[UnitOfWork], Awaitable[list[Finding]]]] = {
        **(sound.FILE if is_file else sound.SERVER),
        **sound.BOTH,
        "agents": work.check_agents,
        "questions": work.check_questions,
        "tasks": work.check_tasks,
        "accounts": work.check_accounts,
        "clock": work.check_clock,
    }
    limits = {name: (check, seconds) for name, check in checks.items()}
    if deep and is_file:
        limits["file"] = (sound.check_file_deeply, DEEP_SECONDS)
    return limits


async def _open(store: Store, seconds: float) -> list[Finding]:
    try:
        async with asyncio.timeout(3 * seconds):
            await store.__aenter__()
    except SchemaBehindError as error:
        if error.current is None:
            return problem("store", f"there is no store at {store.url}", "", command_of("init"))
        at = f"it is at schema {error.current}, and this cw_store at {error.head}"
        return problem("store", at, "it is not opened before", command_of("migrate"))
    except SchemaAheadError as error:
        return problem("store", str(error), "this cw_store is older: bring it up to date")
    except SchemaError as error:
        return problem("store", str(error), "nothing else can be looked at")
    except StoreBusyError as error:
        return problem("store", str(error), "nothing can be looked at meanwhile", "cw-store status")
    except StoreError as error:
        mends = sound.RESTORE if _is_of_damage(error) else None
        return problem("store", str(error), "nothing else can be looked at", mends)
    except TimeoutError:
        return problem("store", f"it does not open within {3 * seconds:g} s", "something hangs")
    return fine("store", store.url)


def _is_of_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that the file is damaged, which a full disk, say, is not."""
    while error is not None:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED:
            return True
        error = error.__cause__
    return False


async def _examine(
    store: Store,
    name: str,
    check: Callable[[UnitOfWork], Awaitable[list[Finding]]],
    seconds: float,
) -> list[Finding]:
    try:
        async with asyncio.timeout(seconds):
            async with store.unit_of_work(read_only=True, label=f"doctor: {name}") as uow:
                return await check(uow)
    except TimeoutError:
        return _too_long(name, seconds)
    except (StoreError, SQLAlchemyError) as error:
        told = str(error) if isinstance(error, StoreError) else type(error).__name__
        return problem(
            name, f"it cannot be looked at: {told}", "the database does not answer right"
        )


async def _examine_file(path: Path, seconds: float, begin: Callable[[str], None]) -> list[Finding]:
    findings: list[Finding] = []
    if not await _in_thread_of_its_own(path.exists, seconds, False):
        return findings
    for name, check in FILE_CHECKS.items():
        begin(name)
        unanswered = _too_long(name, seconds)
        findings += await _in_thread_of_its_own(partial(check, path), seconds, unanswered)
        if findings[-1] is unanswered[0]:
            break  # a file system that does not answer will not answer the next one
    return findings


def _too_long(name: str, seconds: float) -> list[Finding]:
    return note(
        name, f"that could not be told within {seconds:g} s", "the store may be fine or not"
    )


async def _in_thread_of_its_own(work: Callable[[], T], seconds: float, otherwise: T) -> T:
    """Return what the work does, or something else where it takes too long or fails.

    A call of the operating system that hangs cannot be ended, and a thread of asyncio's would be
    waited for at the end of the program.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(value: T) -> None:
        if not answer.done():
            answer.set_result(value)

    def run() -> None:
        try:
            value = work()
        except OSError:
            value = otherwise
        try:
            loop.call_soon_threadsafe(settle, value)
        except RuntimeError:
            pass  # the loop is closed: it took too long

    threading.Thread(target=run, name="cw_store doctor", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        return otherwise
