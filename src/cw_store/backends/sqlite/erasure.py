"""Leaving nothing in a SQLite file of what was deleted or changed, and giving back its room.

Every connection that writes has secure_delete on, so what it frees it writes over. But the file may
have been written to without that, and then what was deleted is in pages that are free, and in the
unused parts of others. Nothing but VACUUM, which writes every page anew, is sure to find it all.
What the pages held before is in the log too until that has been brought into the file and cut.

It gives back the room of free pages as well, which SQLite keeps for what comes. `auto_vacuum` would
do that in steps, at the cost of a page of pointers and of moved pages in every commit that frees
some, and a file that was made without has to be written anew for it as well.
"""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial

from cw_store.backends.cancellation import shielded
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.errors import is_busy, locked_error, plain_failure
from cw_store.backends.sqlite.readers import closed_error
from cw_store.backends.sqlite.writer import Writer
from cw_store.errors import StoreBusyError, StoreClosedError, StoreError

MOST_FREE = 0.25
"""The share of a file's pages that may be free before it is worth writing it anew."""

PAUSE = 0.05
"""Seconds between two attempts to cut the log, and that each waits for readers of it."""


async def erase_deleted(writer: Writer, connection: Connection) -> None:
    """Write the file anew and cut its log, on a connection of its own, which is closed.

    Raises StoreBusyError when that was not to be had within the writer's timeout, as somebody
    reads an old snapshot or keeps the lock, and StoreError when it fails. A cancellation ends it.
    """
    try:
        await _write_anew(writer, connection, "rekey")
        await _cut_log(writer, connection)
    except StoreClosedError:
        raise
    except StoreError as error:
        if writer.queue.is_closed:
            raise closed_error() from error
        kind = StoreBusyError if isinstance(error, StoreBusyError) else StoreError
        raise kind(
            "all credentials that can be read are encrypted anew, but what they were before may "
            f"still be in {writer.path.name} or its log: {error}; call this again"
        ) from error
    finally:
        await shielded(connection.disconnect())


async def give_back_free_pages(writer: Writer, connection: Connection) -> None:
    """Write the file anew if a large part of it is free, and cut its log if nobody is reading it.

    The connection is closed. Raises StoreBusyError when somebody kept the lock for the writer's
    timeout, and StoreError when it fails. A cancellation ends it.
    """
    try:
        if await connection.run(_free_share, connection.raw) > MOST_FREE:
            await _write_anew(writer, connection, "prune")
            # Where it is read just now, the upkeep of the log does it later.
            await _try_to_cut_log(writer, connection, "prune")
    except StoreError as error:
        if writer.queue.is_closed:
            raise closed_error() from error
        raise
    finally:
        await shielded(connection.disconnect())


async def _write_anew(writer: Writer, connection: Connection, label: str) -> None:
    turn = await writer.queue.turn(label)
    try:
        deadline = writer.loop.time() + writer.timeout
        await writer.when_unlocked(partial(connection.run, _vacuum, connection.raw), deadline)
    finally:
        writer.queue.release(turn)
        writer.note_commit()


async def _cut_log(writer: Writer, connection: Connection) -> None:
    deadline = writer.loop.time() + writer.timeout
    while not await _try_to_cut_log(writer, connection, "rekey"):
        if writer.loop.time() > deadline:
            raise StoreBusyError(f"others have used the log for {writer.timeout:g} s")
        await asyncio.sleep(PAUSE)  # outside of the turn: a reader is in the way, and not a writer


async def _try_to_cut_log(writer: Writer, connection: Connection, label: str) -> bool:
    turn = await writer.queue.turn(label)
    try:
        return await connection.run(_checkpoint, connection.raw)
    finally:
        writer.queue.release(turn)


# In the connection's thread.


def _free_share(raw: sqlite3.Connection) -> float:
    """Return which part of the file's pages holds nothing."""
    try:
        (free,) = raw.execute("PRAGMA freelist_count").fetchone()
        (pages,) = raw.execute("PRAGMA page_count").fetchone()
    except sqlite3.Error as error:
        raise plain_failure(error) from error
    return free / max(pages, 1)


def _vacuum(raw: sqlite3.Connection) -> None:
    """Write the file anew; raises DatabaseLockedError when another has the lock."""
    try:
        raw.execute("PRAGMA temp_store = FILE")  # the new file is put together in a temporary one
        raw.execute("VACUUM")
    except sqlite3.Error as error:
        if is_busy(error):
            raise locked_error() from error
        raise plain_failure(error) from error


def _checkpoint(raw: sqlite3.Connection) -> bool:
    """Bring the log into the file and cut it; False when somebody still uses it."""
    try:
        raw.execute(f"PRAGMA busy_timeout = {int(PAUSE * 1000)}").fetchall()
        (busy, _, _) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        if is_busy(error):
            return False
        raise plain_failure(error) from error
    return not busy
