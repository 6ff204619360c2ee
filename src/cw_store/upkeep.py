"""What keeps a store well: backups and exports, what is old deleted, credentials encrypted anew.

All of it is done while others work on.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from io import TextIOBase
from pathlib import Path

from cw_store.backends.port import Backend
from cw_store.backing_up import BackupReport, back_up
from cw_store.calls import StoreCalls
from cw_store.export_format import ExportReport
from cw_store.exporting import BinaryStream, export
from cw_store.location import Location
from cw_store.pruning import Pruned, prune
from cw_store.rekeying import rekey
from cw_store.statements.database import Database
from cw_store.types import StrictClock, ValueRules
from cw_store.waits import Waits
from cw_store.whole_tables import Progress


class Upkeep(Waits):
    """The part of a store that looks after what is stored."""

    def __init__(
        self,
        database: Database,
        calls: StoreCalls,
        clock: StrictClock,
        location: Location,
        rules: ValueRules,
    ) -> None:
        super().__init__(database, calls, clock)
        self._calls = calls
        self._location = location
        self._rules = rules

    async def backup(
        self, path: str | Path, *, force: bool = False, on_progress: Progress | None = None
    ) -> BackupReport:
        """Write all that is stored at one moment into a new file at `path`; return what that is.

        The file is a store of its own, a SQLite file in any case, that only its owner may read:
        `Store(path)` opens it, `restore_store` puts it back, `copy_store` brings it to a server.
        Others work on meanwhile. On SQLite it holds what an application keeps in the same database
        too; from a server it holds the store's tables, and the report names what was left behind.
        Encrypted text stays encrypted. The feed of changes comes along on SQLite, where a cursor
        from after the backup is a StaleCursorError once it is put back; from a server it begins
        anew.

        The file is written under another name, `path` and `.partial`, read again, compared with
        what was stored (the schema, the rows of each table, from a server the digests too), checked
        by SQLite and brought to the disk. Only then it gets its name. So there is a whole backup at
        `path`, or what was there before: also after an error, a full disk, a cancellation or a
        killed process, whose half a file the next backup to that path removes.

        With `force` a file at `path` is replaced. `on_progress(what, done, total)` is called now
        and then: on SQLite with "file" and bytes, whose total is the most that it can become; from
        a server with each table and its rows. What it raises breaks the backup.

        Raises StoreError when there is a file already, a program uses a database of that name, or
        the file cannot be written or is not what was stored; StoreBusyError when somebody else is
        writing to `path`, or the database was locked for `busy_timeout` seconds.
        """
        timeout = self._backend().timeout
        return await back_up(
            self._source(), Path(path), force=force, on_progress=on_progress, busy_timeout=timeout
        )

    async def export(
        self,
        destination: str | Path | BinaryStream | TextIOBase,
        *,
        include_secrets: bool = False,
        on_progress: Progress | None = None,
    ) -> ExportReport:
        """Write every row that is stored at one moment as a line of JSON; return what that is.

        JSON Lines: the first line says `{"format": 1, "schema": …, "secrets": …}`, each of the
        others holds a row, `{"table": …, "row": {…}}`, tables parents first and rows in the order
        of storing, and the last one how many rows each table has, their digests, and the SHA-256 of
        all lines before, so that what was cut short or changed is known for it. Times are text in
        ISO 8601, in UTC. The same store gives the same bytes. `import_store` reads it. The feed of
        changes is not in it, nor what an application keeps in the same database.

        Secrets are left out: of an account its `credentials` and `config_json` are null.
        `include_secrets=True` writes them as they are stored: encrypted where the store has keys,
        which whoever imports them needs, and else in clear.

        `destination` is a path, where there must be no file yet, and is one only once it is whole,
        which only its owner may read; or a stream, of bytes or (`io.TextIOBase`) of text, in which
        a cut export lacks its last line. Others work on meanwhile, and memory is bounded.
        `on_progress(table, done, total)` is called for each batch of rows; what it raises breaks
        the export, and so does what a stream raises, as it is.

        Raises StoreError when a file cannot be written or a value cannot be read.
        """
        return await export(
            self._source(),
            destination,
            include_secrets=include_secrets,
            on_progress=on_progress,
            busy_timeout=self._backend().timeout,
        )

    async def rekey(self, *, batch_rows: int = 100) -> int:
        """Encrypt all stored credentials anew under the first key; return how many rows had any.

        Each text is bound to its row and column; records stay as they are, `updated_at` included.
        Online: each batch is a transaction of its own, so others work on in between, and a call
        that broke can be started again. Without keys nothing is changed.

        On SQLite nothing is left in the file, or in its log, of what credentials were before,
        those of deleted accounts included: at the end the file is written anew, in one turn of
        about ten seconds for each gigabyte, which takes as much room again beside it and in the
        folder for temporary files. If that turn is cut short by a cancellation, or fails, all is
        encrypted anew nevertheless. On PostgreSQL what was before stays in the server's files
        until `VACUUM FULL accounts`, and longer in its log; backups are yours.

        Raises UnreadableError for a text that cannot be read, its key not being among
        `encryption_keys`, after all this; further ones are in its notes. Raises StoreBusyError
        when on SQLite somebody has read an old snapshot for `busy_timeout` seconds.
        """
        return await rekey(self._database, self._backend(), self._rules.encrypts, batch_rows)

    async def prune(
        self,
        *,
        changes_kept: timedelta | None = None,
        log_chunks_before: datetime | None = None,
        batch_rows: int = 1000,
        on_progress: Progress | None = None,
    ) -> Pruned:
        """Delete what is old of the feed and of the logs; return how many rows that were.

        With `changes_kept` the changes that are older than that, from the first on, and with
        `log_chunks_before` the log chunks stored before that time, by their `created_at`; None
        deletes none. A cursor from before the oldest change that is kept is a StaleCursorError.
        The newest change stays, and so does what comes behind one that is not old enough. On
        PostgreSQL nothing goes that was written while a transaction was open that still is.

        Online: each batch is a transaction of its own, so others work on in between, and a call
        that broke can be started again. At the end room is given back. On SQLite, when more than a
        quarter of the file is free, it is written anew, in one turn of about ten seconds for each
        gigabyte that is left, for which writers wait, and which takes as much room beside it and in
        the folder for temporary files. On PostgreSQL the two tables are vacuumed, for which nobody
        waits, so that the room is used again.

        `on_progress(what, done, total)` is called for each batch, with the name of the table, how
        many of its rows were looked at, and how many there are to look at; and with "room" before
        and after room is given back, which is one step. What it raises ends the call there.

        Raises InvalidValueError, TypeError or ValueError before anything is deleted, ReadOnlyError
        where nothing may be, and StoreBusyError when the lock was not to be had.
        """
        database, backend = self._database, self._backend()
        return await prune(
            database, backend, changes_kept, log_chunks_before, batch_rows, on_progress
        )

    def _source(self) -> Location:
        """Return where the data is, also that of a store in memory."""
        path = self._backend().path
        return self._location if path is None else Location(path=path)

    def _backend(self) -> Backend:
        """Return the open database; raises StoreClosedError where there is none."""
        self._calls.check_here()
        return self._calls.backend
