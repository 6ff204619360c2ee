"""Keep a database of the newest schema on both databases, as SQL: `make kept-schema`.

For the tests of whatever comes after it (`test_old_schemas.py`). It is kept before the schema is
changed, since nobody can fill an older one later.
"""

import asyncio
import re
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from cw_store import Store
from cw_store.revisions import revisions
from cw_store.testing.postgres_server import PostgresServer
from fillings import fill_everything
from old_database import KEPT, KEY

NOT_SQL = re.compile(r"^(--.*|\\(un)?restrict .*|SET transaction_timeout .*)\n", re.MULTILINE)
"""What pg_dump writes for psql, for newer servers alone, and for those who read it."""


async def fill(url: str) -> None:
    async with Store(url, encryption_keys=[KEY]) as store:
        await fill_everything(store, chunks=40)


def in_file() -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cw.db")
        asyncio.run(fill(str(path)))
        with closing(sqlite3.connect(path)) as raw:
            return "\n".join(raw.iterdump()) + "\n"


def on_server() -> str:
    with PostgresServer() as server:
        url = server.create_database()
        asyncio.run(fill(url))
        return NOT_SQL.sub("", server.dump(url))


def main() -> None:
    folder = KEPT / f"schema_{revisions()[-1]}"
    if folder.exists():
        raise SystemExit(f"{folder.name} is kept already")
    kept = {"sqlite.sql": in_file(), "postgresql.sql": on_server()}
    folder.mkdir()
    for name, text in kept.items():
        (folder / name).write_text(text)
    print(f"kept {folder.name} in {folder.parent}")


if __name__ == "__main__":
    main()
