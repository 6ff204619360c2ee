"""Run a task's command, alone, and end it when the supervisor ends, however that happens.

    python launch.py LOCK COMMAND...

Standard input is a lifeline: a pipe whose other end only the supervisor holds. When it closes,
because the supervisor let go of it or was killed, the command and everything it started in its
process group are ended. LOCK is the task's lock file. The command inherits the lock, so that it is
taken until the last process of the command is gone, and no task is worked on twice at the same
time: whoever finds it taken ends the command of the supervisor that lost the task, be that dead or
frozen, and begins when it is gone.
"""

import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TextIO

GRACE_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 10.0
LOOK_SECONDS = 0.05


def main() -> int:
    """Run the command and return its exit code, 128 + n when signal n ended it."""
    path, command = sys.argv[1], sys.argv[2:]
    with open(path, "a+") as lock:
        take(lock)
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, process_group=0, pass_fds=[lock.fileno()]
            )
        except OSError as error:
            print(f"cannot start {command[0]}: {error.strerror}")
            return 127
        lock.write(f"{process.pid}\n")
        lock.flush()
        over = threading.Event()
        threading.Thread(target=end_with_lifeline, args=[process.pid, over], daemon=True).start()
        exit_code = process.wait()
        over.set()
        # A group keeps its number until its last member is gone, so this can't hit a stranger.
        signal_group(process.pid, signal.SIGKILL)
    return exit_code if exit_code >= 0 else 128 - exit_code


def take(lock: TextIO) -> None:
    """Lock the file, and end the command that has it, if there is one."""
    begun = time.monotonic()
    ended, deadline = None, 0.0
    while not try_lock(lock):
        if time.monotonic() > begun + LONGEST_WAIT_SECONDS:
            sys.exit("what an earlier agent of this task started goes on and can't be ended")
        lock.seek(0)
        group = int(lock.read() or "0")
        if group and group != ended:
            signal_group(group, signal.SIGTERM)
            ended, deadline = group, time.monotonic() + GRACE_SECONDS
        elif group and time.monotonic() > deadline:
            signal_group(group, signal.SIGKILL)
        if select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
            sys.exit(1)  # the lifeline has closed: nobody wants the command any more
    lock.truncate(0)


def try_lock(lock: TextIO) -> bool:
    """Lock the file unless another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def end_with_lifeline(group: int, over: threading.Event) -> None:
    """Wait until the lifeline closes, then ask the command to stop, then make it."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    signal_group(group, signal.SIGTERM)
    if not over.wait(GRACE_SECONDS):
        signal_group(group, signal.SIGKILL)


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to what is left of a process group, if anything is."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main())
