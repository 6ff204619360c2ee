"""Run one command, and end it when the supervisor ends, however that happens.

    python launch.py LOCK COMMAND...

Standard input is a lifeline: a pipe whose other end only the supervisor holds. When it closes,
because the supervisor let go of it or was killed, the command and everything it started in its
process group are ended. LOCK is the number of an open file, the supervisor's lock: passed on to
the command, it keeps the lock taken until the command is gone as well.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

GRACE_SECONDS = 1.0


def main() -> int:
    """Run the command and return its exit code, 128 + n when signal n ended it."""
    lock, command = int(sys.argv[1]), sys.argv[2:]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, process_group=0, pass_fds=[lock]
        )
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}")
        return 127
    threading.Thread(target=end_with_lifeline, args=[process.pid], daemon=True).start()
    exit_code = process.wait()
    # A group keeps its number until its last member is gone, so this can't hit a stranger.
    signal_group(process.pid, signal.SIGKILL)
    return exit_code if exit_code >= 0 else 128 - exit_code


def end_with_lifeline(group: int) -> None:
    """Wait until the lifeline closes, then ask the command to stop, then make it."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    signal_group(group, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    signal_group(group, signal.SIGKILL)


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to what is left of a process group, if anything is."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main())
