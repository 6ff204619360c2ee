"""What the supervisor asks of the operating system: a name, and processes that end with it."""

import asyncio
import codecs
import fcntl
import hashlib
import itertools
import os
import shlex
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cw_store import Claim

READ_BYTES = 64 * 1024
BATCH_BYTES = 1024 * 1024
CHUNK_CHARACTERS = 64 * 1024
BATCH_SECONDS = 0.25

_LAUNCHER = Path(__file__).with_name("launch.py")


class LockedError(Exception):
    """Another supervisor works under this name."""


@contextmanager
def holder_name(store_url: str, name: str | None) -> Generator[str]:
    """Be the only supervisor of this machine with this name; `host/1`, `host/2`, … unless given.

    The kernel frees a name as soon as its process is gone, however that ended. So the next to start
    takes the name of one that was killed, and knows that what is held under it is held by nobody.
    """
    host = socket.gethostname()
    names = [name] if name else (f"{host}/{number}" for number in itertools.count(1))
    other = None
    for candidate in names:
        with _lock_file(store_url, f"holder {candidate}").open("a+") as file:
            if _try_lock(file.fileno()):
                file.truncate(0)
                file.write(f"{os.getpid()}\n")
                file.flush()
                yield candidate
                return
            file.seek(0)
            other = file.read().strip()
    raise LockedError(f"another supervisor (process {other}) works as {name} on {store_url}")


def _lock_file(store_url: str, what: str) -> Path:
    """Return the place of a lock: in a folder beside a database file, else in a temporary one."""
    if "://" not in store_url:
        folder = Path(f"{store_url}.locks")
    else:
        folder = Path(tempfile.gettempdir(), f"cw-{_digest(store_url)}.locks")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / _digest(what)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts the commands of tasks, which find this store in `CW_STORE_URL`."""

    store_url: str

    @asynccontextmanager
    async def start(self, claim: Claim) -> AsyncGenerator[Process]:
        """Start the task's command in a session of its own; it is over when the block is left."""
        words = shlex.split(claim.task.description or "")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_LAUNCHER)),
            str(_lock_file(self.store_url, f"task {claim.task.id}")),
            *(word.replace("{python}", sys.executable) for word in words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "CW_STORE_URL": self.store_url,
                "CW_AGENT_ID": claim.agent.id,
                "CW_AGENT_NAME": claim.agent.name,
                "CW_TASK_ID": claim.task.id,
            },
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process
        finally:
            process.stdin.close()  # the lifeline, see launch.py
            while await process.stdout.read(READ_BYTES):
                pass
            await process.wait()


async def output_of(process: Process) -> AsyncIterator[str]:
    """Yield what the process writes, at most every `BATCH_SECONDS`, until it is done.

    Any bytes become text that the store takes: what is no UTF-8, and NUL, as U+FFFD.
    """
    assert process.stdout is not None
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    data = b"something"
    while data:
        data = await process.stdout.read(READ_BYTES)
        batch = bytearray(data)
        with suppress(TimeoutError):
            async with asyncio.timeout(BATCH_SECONDS):
                while data and len(batch) < BATCH_BYTES:
                    data = await process.stdout.read(READ_BYTES)
                    batch += data
        text = decoder.decode(batch, final=not data).replace("\0", "\ufffd")
        for start in range(0, len(text), CHUNK_CHARACTERS):
            yield text[start : start + CHUNK_CHARACTERS]
