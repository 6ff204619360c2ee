"""Rekeying: stored credentials are encrypted anew under the first key, while others work on."""

from __future__ import annotations

from cw_store.backends.port import Backend
from cw_store.errors import UnreadableError
from cw_store.repos.sql.accounts import reencrypt
from cw_store.statements.database import Database


async def rekey(database: Database, backend: Backend, encrypts: bool, batch_rows: int) -> int:
    """Do what `Store.rekey` does; `encrypts` says that there are keys."""
    if batch_rows < 1:
        raise ValueError("batch_rows is at least 1")
    if not encrypts:
        return 0
    changed, after = 0, ""
    unreadable: list[UnreadableError] = []
    while True:
        async with database.atomic() as transaction:
            batch = await reencrypt(transaction, after, batch_rows)
        changed += len(batch.ids)
        unreadable += batch.unreadable
        if len(batch.ids) < batch_rows:
            break
        after = batch.ids[-1]
    await backend.erase_deleted()
    if unreadable:
        for other in unreadable[1:]:
            unreadable[0].add_note(str(other))
        raise unreadable[0]
    return changed
