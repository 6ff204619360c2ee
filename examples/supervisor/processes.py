"""What the supervisor asks of the operating system: one lock, and processes that end with it."""

import asyncio
import codecs
import fcntl
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

LOCK_TIMEOUT_SECONDS = 5.0
READ_BYTES = 64 * 1024
BATCH_BYTES = 1024 * 1024
CHUNK_CHARACTERS = 64 * 1024
BATCH_SECONDS = 0.25

_LAUNCHER = Path(__file__).with_name("launch.py")


class LockedError(Exception):
    """Another supervisor works on this store, or commands that one started still run."""


@contextmanager
def only_supervisor(store_url: str) -> Generator[int]:
    """Be the only supervisor on this store; the value is the lock's file descriptor.

    Every command inherits the lock, and the kernel frees it when the last process that has it is
    gone. So whoever gets it also knows that nothing which an earlier supervisor started, and be
    it one that was killed, is still running. No process id has to be trusted for that.
    """
    path = _lock_path(store_url)
    with path.open("a+") as file:
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                file.seek(0)
                raise LockedError(
                    f"{store_url} is in use by another supervisor (process {file.read().strip()}) "
                    "or by commands that it started; one at a time works on a store"
                )
            time.sleep(0.05)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield file.fileno()


def _lock_path(store_url: str) -> Path:
    """Return the lock's place: beside a database file, else in the temporary folder."""
    if "://" not in store_url:
        return Path(f"{store_url}.supervisor")
    name = hashlib.sha256(store_url.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"cw-{name}.supervisor")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@asynccontextmanager
async def started(
    command: Sequence[str], variables: Mapping[str, str], lock: int
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Start a command in a session of its own; it is over when the block is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(_LAUNCHER), str(lock), *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
        pass_fds=[lock],
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


async def output_of(process: asyncio.subprocess.Process) -> AsyncIterator[list[str]]:
    """Yield what the process writes, in chunks, at most every `BATCH_SECONDS`, until it is done.

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
        if text:
            yield [
                text[start : start + CHUNK_CHARACTERS]
                for start in range(0, len(text), CHUNK_CHARACTERS)
            ]
