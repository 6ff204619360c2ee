"""Opening a client for SQL on a store: the client takes the place of this process."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from cw_store.cli.context import Context
from cw_store.cli.failures import UsageError
from cw_store.cli.output import is_terminal

READ_ONLY = "-c default_transaction_read_only=on"
"""What a server is told of each transaction, unless whoever types says otherwise."""


class Client(NamedTuple):
    """A program, its arguments, and what is in its environment beside ours."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]


async def open_client(here: Context) -> None:
    """Replace this process by a client that reads the store; raises UsageError without one."""
    async with here.reading() as store:
        place = store.url
    client = client_for(here.url or os.environ.get("CW_STORE_URL"), place)
    program = shutil.which(client.name)
    if program is None:
        raise UsageError(
            f"give a statement, or install {client.name} (pip install {client.name}), which "
            "cw-store sql opens then"
        )
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise UsageError(f"give a statement: {client.name} needs a terminal")
    sys.stdout.flush()
    environment = {**os.environ, **client.environment}
    os.execve(program, [program, *client.arguments], environment)  # noqa: S606 -- what was asked for


def client_for(url: str | None, place: str) -> Client:
    """Return the client for a store; a password goes by the environment, which others cannot read.

    `place` is what the store itself says of where it is, which for a file is the path.
    """
    scheme, mark, _ = (url or "").partition("://")
    if mark and scheme.startswith("postgres"):
        return _client_of_server(str(url))
    return Client("litecli", (f"{Path(place).absolute().as_uri()}?mode=ro",), {})


def _client_of_server(url: str) -> Client:
    parts = urlsplit(url)
    environment = {"PGOPTIONS": f"{os.environ.get('PGOPTIONS', '')} {READ_ONLY}".strip()}
    credentials, at, hosts = parts.netloc.rpartition("@")
    user, colon, password = credentials.partition(":")
    if colon:
        environment["PGPASSWORD"] = unquote(password)
    netloc = f"{user}{at}{hosts}"
    return Client(
        "pgcli", (parts._replace(scheme="postgresql", netloc=netloc).geturl(),), environment
    )
