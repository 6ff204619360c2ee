"""The command as it is installed: in a pipe, on a terminal, interrupted, with nobody listening."""

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stores import prepared

from builders import add_agent, add_task
from cw_store import Store
from programs import environment

COMMAND = str(Path(sys.executable).with_name("cw-store"))
LONGEST_WAIT = 20.0
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def as_at_a_terminal() -> Iterator[None]:
    """Have what is started hear the signals that whoever runs the tests may have ignored."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in HEARD}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def store_url(migrated_file: Path, tmp_path: Path) -> str:
    """The path of a store with an agent that wrote three lines, and a task."""
    file = str(shutil.copyfile(migrated_file, tmp_path / "cw.db"))

    async def fill(store: Store) -> None:
        await add_task(store, name="Session store")
        agent = await add_agent(store, name="brave-otter")
        for number in range(3):
            await store.log_chunks.insert_chunk(agent.id, agent.name, 1, f"line {number}\n")

    prepared(file, fill)
    return file


def start(*words: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [COMMAND, *words],
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_installed_command_answers_in_a_pipe(store_url: str) -> None:
    process = start("ls", "tasks", "--columns", "name,status", CW_STORE_URL=store_url)
    out, err = process.communicate(timeout=LONGEST_WAIT)
    assert (process.returncode, out, err) == (0, "name\tstatus\nSession store\tpending\n", "")


def test_the_installed_command_tells_its_version_and_its_help() -> None:
    out, err = start("--version").communicate(timeout=LONGEST_WAIT)
    assert out.startswith("cw-store ") and err == ""
    out, err = start("--help").communicate(timeout=LONGEST_WAIT)
    assert out.startswith("Usage: cw-store ") and err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_is_interrupted_says_so_in_a_line(store_url: str, number: signal.Signals) -> None:
    process = start("logs", "brave-otter", "-f", "--url", store_url)
    assert process.stdout is not None
    for expected in range(3):
        assert process.stdout.readline().endswith(f"\tline {expected}\n")
    process.send_signal(number)
    out, err = process.communicate(timeout=LONGEST_WAIT)
    assert (process.returncode, out) == (130, "")
    assert err == "cw-store: interrupted; nothing was left half done\n"


def test_what_was_told_to_outlive_its_terminal_goes_on(store_url: str) -> None:
    process = subprocess.Popen(
        ["nohup", COMMAND, "logs", "brave-otter", "-f", "--url", store_url],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=LONGEST_WAIT)
    assert process.returncode == 130, "the other signal ended it, and not the first"


def test_a_pipe_that_nobody_reads_ends_it_quietly(store_url: str) -> None:
    process = start("logs", "brave-otter", "-f", "--url", store_url)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()

    async def write(store: Store) -> None:
        agent = await store.agents.find_by_name("brave-otter")
        assert agent is not None
        for number in range(3):
            await store.log_chunks.insert_chunk(agent.id, agent.name, 1, f"more {number}\n")

    prepared(store_url, write)
    assert process.wait(LONGEST_WAIT) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("words", [("watch",), ("logs", "brave-otter", "-f")])
def test_what_goes_on_ends_when_its_reader_goes_although_nothing_happens(
    store_url: str, words: tuple[str, ...]
) -> None:
    process = start(*words, "--url", store_url)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(LONGEST_WAIT) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_all_rows_of_a_query_come_as_they_are_found(store_url: str) -> None:
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    process = start("sql", endless, "--all", "--url", store_url)
    assert process.stdout is not None and process.stderr is not None
    assert [process.stdout.readline() for _ in range(3)] == ["i\n", "1\n", "2\n"]
    process.stdout.close()
    assert process.wait(LONGEST_WAIT) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        ("ls", "tasks"),
        ("version",),
        ("ls", "--help"),
        ("ls", "tasks", "--color", "always"),
    ],
)
def test_who_closed_the_pipe_before_is_told_nothing(store_url: str, words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [COMMAND, *words],
        env=environment(CW_STORE_URL=store_url),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    _, err = process.communicate(timeout=LONGEST_WAIT)
    assert (process.returncode, err) == (0, "")


def test_no_room_beside_the_file_is_one_sentence_that_says_so(store_url: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -f 1; exec {COMMAND} retry --blocked"],
        env=environment(CW_STORE_URL=store_url),
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_WAIT,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "the disk is full: make room" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
def test_a_full_disk_under_stdout_is_one_sentence(store_url: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [COMMAND, "ls", "tasks"],
            env=environment(CW_STORE_URL=store_url),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=LONGEST_WAIT,
        )
    assert done.returncode == 3
    assert done.stderr == "cw-store: No space left on device\n"


@pytest.mark.parametrize("command", ["ls tasks", "-q export", "logs brave-otter", "--help"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_can_do_without_streams(store_url: str, closed: str, command: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" {command} {closed}', COMMAND],
        env=environment(CW_STORE_URL=store_url),
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_WAIT,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_terminal_has_no_letters_for_is_spelled_out(store_url: str) -> None:
    prepared(store_url, lambda store: add_task(store, name="Größe → 東京"))
    words = ("ls", "tasks", "--columns", "name", "--url", store_url)
    process = start(*words, PYTHONIOENCODING="ascii")
    out, err = process.communicate(timeout=LONGEST_WAIT)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == r"Gr\xf6\xdfe \u2192 \u6771\u4eac"


def test_what_is_told_on_a_closed_stderr_is_not_printed_among_the_data(store_url: str) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" show nobody 2>&-', COMMAND],
        env=environment(CW_STORE_URL=store_url),
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_WAIT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


class OnTerminal:
    """A process whose three streams are a terminal of its own."""

    def __init__(self, *words: str, **variables: str) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execve(COMMAND, [COMMAND, *words], environment(TERM="xterm-256color", **variables))
        self.shown = ""

    def until(self, is_there: Callable[[str], bool]) -> str:
        """Read until that is shown, or the process has ended."""
        end = time.monotonic() + LONGEST_WAIT
        while not is_there(self.shown) and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    more = os.read(self.master, 65_536)
                except OSError:  # the other side is closed
                    break
                if not more:
                    break
                self.shown += more.decode()
        return self.shown

    def wait(self) -> int:
        """Return the exit code of the process, which has been told to end."""
        end = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise TimeoutError(self.shown)


@pytest.fixture
def terminal() -> Iterator[Callable[..., OnTerminal]]:
    """Starts commands on terminals, which are closed in the end."""
    started: list[OnTerminal] = []

    def start_on_terminal(*words: str, **variables: str) -> OnTerminal:
        started.append(OnTerminal(*words, **variables))
        return started[-1]

    yield start_on_terminal
    for each in started:
        try:
            os.close(each.master)
        except OSError:
            pass


def test_a_person_sees_a_table_with_colours(
    store_url: str, terminal: Callable[..., OnTerminal]
) -> None:
    shown = terminal("ls", "tasks", CW_STORE_URL=store_url)
    text = shown.until(lambda _: False)
    assert shown.wait() == 0
    assert "\x1b[1mname" in text and "\t" not in text and "Session" in text
    plain = terminal("ls", "tasks", CW_STORE_URL=store_url, NO_COLOR="1")
    assert "\x1b" not in plain.until(lambda _: False)
    assert plain.wait() == 0


def test_ctrl_c_on_a_terminal_is_one_line(
    store_url: str, terminal: Callable[..., OnTerminal]
) -> None:
    shown = terminal("logs", "brave-otter", "-f", "--url", store_url)
    shown.until(lambda text: "line 2" in text)
    os.write(shown.master, b"\x03")
    text = shown.until(lambda text: "half done" in text)
    assert shown.wait() == 130
    assert text.splitlines()[-1].endswith("cw-store: interrupted; nothing was left half done")
    assert "Traceback" not in text


def test_a_terminal_that_goes_away_ends_it(
    store_url: str, terminal: Callable[..., OnTerminal]
) -> None:
    shown = terminal("logs", "brave-otter", "-f", "--url", store_url)
    shown.until(lambda text: "line 2" in text)
    os.close(shown.master)
    assert shown.wait() == 130
