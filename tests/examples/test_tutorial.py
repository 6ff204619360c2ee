"""The tutorial, done as its reader does it: files in a folder, commands one after the other.

Only two things are quicker here: the agents, which sleep less, and the lease of the one that is
frozen. `CW_STORE_REWRITE_GOLDEN=1` writes anew what the pages say that `cw-store` prints.
"""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.command_line import CommandLine
from cw_store import Message, Store
from programs import environment

ROOT = Path(__file__).parents[2]
FILES = ROOT / "examples" / "tutorial"
BLOCK = re.compile(
    r'^```(?P<kind>python|console|text)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.M | re.S,
)
MASKS = {r"^[a-z]+-[a-z]+ was": "NAME was", r"for-[\w-]{21}": "ID", r"^(\d+ m?s ago|now) ": "AGE "}
REWRITE = "CW_STORE_REWRITE_GOLDEN"


def page(name: str) -> Path:
    return ROOT / "docs" / "tutorial" / f"{name}.md"


def blocks(name: str) -> list[re.Match[str]]:
    return [*BLOCK.finditer(page(name).read_text())]


def shown_file(name: str, title: str) -> str:
    """Return the file with this title, as the page shows it."""
    return next(block["text"] for block in blocks(name) if block["title"] == title)


def masked(text: str) -> list[str]:
    """Return the lines without what is another each time; who works beside another may be first."""
    for pattern, mask in MASKS.items():
        text = re.sub(pattern, mask, text, flags=re.M)
    return sorted(" ".join(line.split()) for line in text.splitlines())


class Reader:
    """Who sits in `folder` and does what a page says; `after_next` looks at what it says."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._commands = [
            (command, output)
            for block in blocks(name)
            if block["kind"] == "console"
            for command, output in re.findall(
                r"^\$ ([^\n]+)\n((?:(?!\$ ).*\n)*)", block["text"], re.M
            )
        ]

    def next(self, command: str) -> str:
        """Return what the page says that its next command prints, which is this one."""
        found, output = self._commands.pop(0)
        assert masked(found) == masked(command)
        return output

    def runs(self, *words: str, shown: str | None = None) -> None:
        """Run a program of the folder to its end, and compare what it prints."""
        with self.starts(*words) as program:
            output, _ = program.communicate(timeout=20)
        assert masked(output) == masked(self.next(shown or f"python {shlex.join(words)}"))
        assert program.returncode == 0

    @contextmanager
    def starts(self, *words: str) -> Generator[subprocess.Popen[str]]:
        """Start a program of the folder, and end it when the block is left."""
        with subprocess.Popen(
            [sys.executable, *words],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        ) as program:
            try:
                yield program
            finally:
                program.kill()  # it may be frozen

    def types(self, command: str) -> None:
        """Type a command of `cw-store`, and compare what it prints with what the page says."""
        done = CommandLine("").on_terminal(*shlex.split(command)[1:], width=120)
        printed = "".join(f"{line.rstrip()}\n" for line in (done.out + done.err).splitlines())
        said = self.next(command)
        if os.environ.get(REWRITE) and masked(printed) != masked(said):
            text = page(self.name).read_text()
            head = f"$ {command}\n"
            page(self.name).write_text(text.replace(head + said, head + printed, 1))
        else:
            assert masked(printed) == masked(said)

    def makes_a_new_plan(self) -> None:
        """Do what the page says to begin anew."""
        for file in self.folder.glob("cw.db*"):
            file.unlink()
        subprocess.run([sys.executable, "plan.py"], cwd=self.folder, env=environment(), check=True)

    def is_done(self) -> None:
        assert not self._commands


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the folder of who follows the tutorial, at the end of the second step."""
    monkeypatch.chdir(tmp_path)
    for name in ("CW_STORE_URL", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "plan.py").write_text(shown_file("plan", "plan.py"))
    (tmp_path / "supervisor.py").write_text((FILES / "supervisor.py").read_text())
    write_agent(tmp_path, seconds=0.02)
    return tmp_path


def write_agent(folder: Path, seconds: float) -> None:
    """Write the agent of the second step, which takes so long for a line."""
    agent = shown_file("claim", "agent.py")
    assert "time.sleep(1)" in agent
    (folder / "agent.py").write_text(agent.replace("time.sleep(1)", f"time.sleep({seconds})"))


def test_the_pages_show_the_files_of_the_example() -> None:
    at_the_end = {path.name: path.read_text() for path in FILES.glob("*.py")}
    assert shown_file("plan", "plan.py") == at_the_end["plan.py"]
    assert shown_file("ask", "agent.py") == at_the_end["agent.py"]
    assert shown_file("ask", "guide.py") == at_the_end["guide.py"]
    added = shown_file("crash", "supervisor.py, in main")
    behind = '    async with Store("cw.db") as store:\n'
    before = shown_file("claim", "supervisor.py")
    assert before.count(behind) == 1
    assert before.replace(behind, behind + added) == at_the_end["supervisor.py"]


def test_the_first_step_plans(folder: Path) -> None:
    reader = Reader("plan", folder)
    reader.runs("plan.py")
    reader.types("cw-store ready --explain")
    with reader.starts("-W", "ignore", "plan.py") as again:
        again.communicate(timeout=20)
    assert again.returncode == 1
    reader.types("cw-store graph")
    reader.types("cw-store ls accounts --columns email,provider,is_exhausted")
    reader.is_done()


def test_the_second_step_claims(folder: Path) -> None:
    (folder / "supervisor.py").write_text(shown_file("claim", "supervisor.py"))
    reader = Reader("claim", folder)
    reader.makes_a_new_plan()
    reader.runs("supervisor.py", "first")
    reader.types("cw-store ls tasks --columns id,name,status")
    reader.types("cw-store ls agents --columns task,status,exit_code,holder")
    reader.types("cw-store ls initiatives --columns name,status")
    reader.is_done()


def test_the_third_step_crashes(folder: Path) -> None:
    reader = Reader("crash", folder)
    write_agent(folder, seconds=0.5)
    assert not reader.next("rm -f cw.db*; python plan.py")
    reader.makes_a_new_plan()
    with reader.starts("supervisor.py", "first") as killed:
        assert begun(killed) == reader.next("python supervisor.py first")
        assert not reader.next("pkill -KILL -f 'supervisor.py first'")
        killed.kill()
        killed.wait()
        reader.types("cw-store ls tasks --columns id,status")
    write_agent(folder, seconds=0.02)
    reader.runs("supervisor.py", "first")
    reader.types("cw-store ls agents --columns task,status,exit_code")

    assert not reader.next("rm -f cw.db*; python plan.py")
    reader.makes_a_new_plan()
    write_agent(folder, seconds=0.5)
    with reader.starts("supervisor.py", "first", "1") as frozen:
        assert begun(frozen) == reader.next("python supervisor.py first 3")
        asyncio.run(first_line_stored(folder))  # frozen within a transaction it would block all
        assert not reader.next("pkill -STOP -f 'supervisor.py first'")
        frozen.send_signal(signal.SIGSTOP)
        write_agent(folder, seconds=0.02)
        reader.runs("supervisor.py", "second", "1", shown="python supervisor.py second 3")
        assert not reader.next("pkill -CONT -f 'supervisor.py first'")
        frozen.send_signal(signal.SIGCONT)
        output, _ = frozen.communicate(timeout=20)
    assert [output] == [block["text"] for block in blocks("crash") if block["kind"] == "text"]
    reader.types("cw-store ls tasks --columns id,status,retry_count")
    reader.types("cw-store ls agents --columns task,status,holder")
    reader.is_done()


def test_the_fourth_step_asks(folder: Path) -> None:
    reader = Reader("ask", folder)
    for name in ("agent.py", "guide.py"):
        (folder / name).write_text(shown_file("ask", name))
    answers, end = (block["text"] for block in blocks("ask") if block["kind"] == "text")
    reader.makes_a_new_plan()
    with reader.starts("guide.py") as guide, reader.starts("supervisor.py", "first") as supervisor:
        assert supervisor.stdout is not None and guide.stdout is not None
        said = reader.next("python supervisor.py first")
        printed = "".join(supervisor.stdout.readline() for _ in said.splitlines())
        assert masked(printed) == masked(said)
        message = asyncio.run(message_for_a_person(folder))
        assert masked("".join(guide.stdout.readline() for _ in range(3))) == masked(answers)
        reader.types("cw-store inbox")
        reader.types(f"cw-store answer {message.id} 'it is read on phones'")
        output, _ = supervisor.communicate(timeout=20)
        assert output == end
        assert supervisor.returncode == 0
    reader.is_done()


def begun(supervisor: subprocess.Popen[str]) -> str:
    """Return the first line, as soon as it is there."""
    assert supervisor.stdout is not None
    return supervisor.stdout.readline()


async def first_line_stored(folder: Path) -> None:
    """Return when a line of some agent's log is stored."""
    async with Store(folder / "cw.db") as store, asyncio.timeout(60):
        agents = await store.wait_for(lambda uow: uow.agents.find_by_status("running"))
        await anext(aiter(store.follow_log(agents[0].id)))


async def message_for_a_person(folder: Path) -> Message:
    """Return the message that waits for a person, as soon as one does."""
    async with Store(folder / "cw.db") as store, asyncio.timeout(60):
        found = await store.wait_for(lambda uow: uow.messages.find_pending_for_user())
    return found[0]
