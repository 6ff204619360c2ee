"""What may be passed as `url`: a path, a SQLite URL, or a PostgreSQL URL.

No part of a URL is dropped silently: it is followed, or a ValueError names it. What is no URL
because of a slip of the keyboard is not shown, as a password can be in it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from cw_store.postgres_url import SCHEMES, Server, parse_server

DEFAULT_FILE = "cw.db"
ENVIRONMENT_VARIABLE = "CW_STORE_URL"

_SQLITE_SCHEMES = ("sqlite", "sqlite+aiosqlite")

_MISTYPED = re.compile(
    # A scheme without its two slashes, credentials before a host, libpq's "host=… password=…",
    # options behind a path, as in "cw.db?mode=ro".
    r"\s*(postgres(ql)?|sqlite)(\+\w*)?(:|//)"
    r"|(//|(?![/.~])).*:.*@"
    r"|(//|(?![/.~])).*password\s*="
    r"|\s*(host|hostaddr|port|dbname|user|service)\s*="
    r"|[^?]*\?\w+=",
    re.IGNORECASE | re.DOTALL,
)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a store's data is: a SQLite file, memory, or a PostgreSQL server.

    Exactly one of `path` and `server` is set, or neither for memory. `read_only` is a file of
    which the URL says mode=ro, `must_exist` one of which it says that or mode=rw.
    """

    path: Path | None = None
    server: Server | None = None
    read_only: bool = False
    must_exist: bool = False

    @property
    def is_memory(self) -> bool:
        """Whether the data ends with the store."""
        return self.path is None and self.server is None

    def __str__(self) -> str:
        """Show it without user, password and options: any of these can hold a secret."""
        if self.server is not None:
            return str(self.server)
        return ":memory:" if self.path is None else str(self.path)


def locate(url: str | Path | None) -> Location:
    """Tell where `url` leads; raises ValueError when it leads nowhere cw_store knows.

    None means the environment variable CW_STORE_URL, else cw.db in the working directory.
    A relative path is taken from the working directory of this moment. A `Path` is a path,
    whatever it looks like.
    """
    if url is None:
        return _locate_default()
    if isinstance(url, Path):
        return Location(path=url.absolute())
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance] -- from outside
        raise TypeError(f"url is a str or a Path, not {type(url).__name__}")
    if url == ":memory:":
        return Location()
    if not url:
        raise ValueError("the url is empty; pass a file path or a database URL")
    scheme, colon, rest = url.partition("://")
    if colon and scheme != "file":
        return _locate_by_scheme(scheme, rest)
    if url.startswith("file:"):
        return _locate_file_uri(url)
    if any(map(_MISTYPED.match, (url, unquote(url)))) and not _DRIVE.match(url):
        raise ValueError(
            "the url is neither a database URL (postgresql://user:password@host/database, "
            "sqlite:///path) nor a plain path; pass a Path if it is the name of a file"
        )
    return Location(path=Path(url).absolute())


def _locate_default() -> Location:
    url = os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_FILE
    try:
        return locate(url)
    except ValueError as error:
        raise ValueError(f"in ${ENVIRONMENT_VARIABLE} {error}") from None


def _locate_by_scheme(scheme: str, rest: str) -> Location:
    if rest != rest.rstrip():
        raise ValueError("the url ends with white space")
    if scheme in SCHEMES:
        return Location(server=parse_server(rest))
    if scheme in _SQLITE_SCHEMES:
        return _locate_sqlite(rest)
    if not re.fullmatch(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?", scheme):
        raise ValueError("the url is no database URL; it begins with postgresql:// or sqlite:///")
    raise ValueError(f"cw_store keeps its data in SQLite or PostgreSQL, not in {scheme!r}")


def _locate_sqlite(rest: str) -> Location:
    authority, slash, path = rest.partition("/")
    if not slash:
        authority, question, query = rest.partition("?")
        path = question + query
    if authority:
        raise ValueError(
            "a SQLite URL names no host: three slashes and a path (sqlite:///cw.db), or four "
            "for an absolute one (sqlite:////var/lib/cw.db)"
        )
    path, _, query = path.partition("?")
    path = unquote(path)
    options = _sqlite_options(query)
    is_uri = options.pop("uri", "false").lower() in ("1", "true", "yes", "on")
    if path.startswith("file:"):
        if not is_uri:
            raise ValueError("a SQLite URL of a file: URI says uri=true")
        return _located(_path_of_uri(path), options)
    return _located(path, options)


def _locate_file_uri(uri: str) -> Location:
    path, _, query = uri.partition("?")
    if "#" in uri:
        raise ValueError("a # in a file: URI is written %23")
    return _located(_path_of_uri(path), _sqlite_options(query))


def _path_of_uri(uri: str) -> str:
    path = uri.removeprefix("file:")
    if path.startswith("//"):
        authority, _, path = path[2:].partition("/")
        if authority not in ("", "localhost"):
            raise ValueError("a file: URI names no host: file:cw.db, or file:///var/lib/cw.db")
        path = f"/{path}"
    return unquote(path)


def _sqlite_options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in options:
            raise ValueError("an option is in the SQLite URL twice")
        options[name] = value
    return options


def _located(path: str, options: dict[str, str]) -> Location:
    mode = options.pop("mode", None)
    if mode not in (None, "ro", "rw", "rwc"):
        raise ValueError("mode in a SQLite URL is ro, rw or rwc; in memory is the url ':memory:'")
    if options.pop("cache", "private") != "private":
        raise ValueError("cache=shared cannot be followed: connections of a store share no cache")
    for name in options:
        hint = ": pass busy_timeout=" if name == "timeout" else ""
        # What is no name can be a piece of a password, from a URL that was pasted together.
        shown = repr(name) if re.fullmatch(r"\w+", name, re.ASCII) else "an option"
        raise ValueError(f"cw_store does not follow {shown} in a SQLite URL{hint}")
    if path in ("", ":memory:"):
        if mode is not None:
            raise ValueError("a store in memory has no mode")
        return Location()
    return Location(
        path=Path(path).absolute(), read_only=mode == "ro", must_exist=mode in ("ro", "rw")
    )
