"""The example supervisor, run as its users run it: as a process, on a plan in a file."""

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from examples.supervisor.plan import PlanError, read_plan

from cw_store import Account, Agent, Conversation, Initiative, Phase, Store, Task

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a store holds after a run."""

    initiative: Initiative
    phases: list[Phase]
    tasks: dict[str, Task]
    agents: list[Agent]
    accounts: list[Account]
    conversations: list[Conversation]
    log: dict[str, str]

    def agents_of(self, task_name: str) -> list[Agent]:
        """Return the agents of a task, oldest first."""
        return [agent for agent in self.agents if agent.task_id == self.tasks[task_name].id]

    def exit_codes(self, task_name: str) -> list[int | None]:
        """Return how the tries of a task ended."""
        return [agent.exit_code for agent in self.agents_of(task_name)]


async def read_outcome(url: str) -> Outcome:
    """Read everything that the tests look at, in one snapshot."""
    async with Store(url) as store, store.unit_of_work(read_only=True) as uow:
        (initiative,) = await uow.initiatives.find_all()
        agents = await uow.agents.find_all()
        logs: dict[str, str] = {}
        conversations: list[Conversation] = []
        for agent in agents:
            chunks = await uow.log_chunks.find_by_agent_id(agent.id)
            logs[agent.id] = "".join(chunk.content for chunk in chunks)
            conversations += await uow.conversations.find_by_from_agent_id(agent.id)
        return Outcome(
            initiative,
            await uow.phases.find_by_initiative_id(initiative.id),
            {task.name: task for task in await uow.tasks.find_by_initiative_id(initiative.id)},
            agents,
            await uow.accounts.find_all(),
            conversations,
            logs,
        )


@dataclass(frozen=True)
class Bench:
    """A folder with a plan and a store, and the supervisor that works on them."""

    folder: Path
    store: str

    def plan(self, tasks: str, head: str = "") -> None:
        """Write a plan with one account and one phase, unless `head` says otherwise."""
        head = head or 'accounts = ["first@example.com"]\n[phases.only]\n'
        text = f'id = "plan"\nname = "A plan"\nrest_seconds = 1\n{head}\n{tasks}'
        (self.folder / "plan.toml").write_text(text)

    @contextmanager
    def start(self, *options: str) -> Generator[subprocess.Popen[str]]:
        """Start the supervisor, and wait for its end when the block is left."""
        environment = {key: value for key, value in os.environ.items() if key[:3] != "CW_"}
        plan = str(self.folder / "plan.toml")
        with subprocess.Popen(
            [sys.executable, "-m", "examples.supervisor", plan, "--store", self.store, *options],
            cwd=ROOT,
            env={**environment, "TMPDIR": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            except BaseException:
                process.kill()  # it may be frozen, and would be waited for without end
                raise

    def run(self, *options: str) -> tuple[int, str]:
        """Run the supervisor to its end; its exit code and what it printed."""
        with self.start(*options) as process:
            output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def outcome(self) -> Outcome:
        """Read the store."""
        return asyncio.run(read_outcome(self.store))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Give every test a folder of its own."""
    return Bench(tmp_path, str(tmp_path / "cw.db"))


@pytest.fixture
def shared_bench(tmp_path: Path, database: str) -> Bench:
    """The same on a database that several supervisors share."""
    return Bench(tmp_path, database)


SHARED = pytest.mark.parametrize("database", ["file", "postgres"], indirect=True)


def test_a_task_runs_after_those_it_needs_and_its_phase_after_its_own(bench: Bench) -> None:
    bench.plan(
        """
        [tasks.last]
        phase = "second"
        command = "true"
        [tasks.middle]
        phase = "first"
        needs = ["begin"]
        command = "echo three words here"
        [tasks.begin]
        phase = "first"
        command = "true"
        """,
        """
        accounts = ["first@example.com", "second@example.com"]
        [phases.second]
        needs = ["first"]
        [phases.first]
        """,
    )

    code, output = bench.run("--workers", "3")

    outcome = bench.outcome()
    assert code == 0, output
    names = {task.id: name for name, task in outcome.tasks.items()}
    assert [names[agent.task_id or ""] for agent in outcome.agents] == ["begin", "middle", "last"]
    assert outcome.initiative.status == "completed"
    assert {phase.status for phase in outcome.phases} == {"completed"}
    assert outcome.tasks["middle"].summary == "three words here"
    assert all(agent.status == "stopped" and agent.pid for agent in outcome.agents)
    uses = Counter(agent.account_id for agent in outcome.agents)
    assert sorted(uses.values()) == [1, 2]

    code, output = bench.run()

    assert code == 0, output
    assert bench.outcome() == outcome, "a plan that is completed is left alone"


def test_a_task_that_always_crashes_is_blocked_and_what_needs_it_stays_pending(
    bench: Bench,
) -> None:
    bench.plan(
        f"""
        [tasks.crashes]
        phase = "only"
        command = "test -e {bench.folder}/repaired"
        [tasks.waits]
        phase = "only"
        needs = ["crashes"]
        command = "true"
        [tasks.missing]
        phase = "only"
        command = "no-such-command"
        """
    )

    code, output = bench.run("--workers", "2")

    outcome = bench.outcome()
    assert code == 1, output
    assert outcome.exit_codes("crashes") == [1, 1, 1, 1]
    assert outcome.tasks["crashes"].status == "blocked"
    assert outcome.tasks["crashes"].retry_count == 4, "one more than there may be"
    assert outcome.tasks["waits"].status == "pending"
    assert outcome.exit_codes("missing") == [127] * 4
    assert "cannot start no-such-command" in outcome.log[outcome.agents_of("missing")[0].id]
    assert outcome.phases[0].status == "blocked"

    (bench.folder / "repaired").touch()
    code, output = bench.run("--retry-blocked")

    outcome = bench.outcome()
    assert code == 1, output
    assert outcome.tasks["crashes"].status == outcome.tasks["waits"].status == "completed"
    assert outcome.tasks["crashes"].retry_count == 0


def test_an_exhausted_account_rests_and_costs_no_retry(bench: Bench) -> None:
    bench.plan(
        """
        [tasks.runs-out]
        phase = "only"
        command = "{python} -m examples.supervisor.stumble 75"
        """
    )

    begun = time.monotonic()
    code, output = bench.run()

    outcome = bench.outcome()
    assert code == 0, output
    assert time.monotonic() - begun > 1, "with one account, it waits until that has rested"
    assert outcome.exit_codes("runs-out") == [75, 0]
    assert outcome.tasks["runs-out"].retry_count == 0


def test_agents_ask_each_other_while_both_run(bench: Bench) -> None:
    bench.plan(
        '''
        [tasks.asks]
        phase = "only"
        command = "{python} -m examples.supervisor.ask --to knows Why?"
        [tasks.knows]
        phase = "only"
        command = """
        {python} -m examples.supervisor.answer --until asks sh -c 'echo $CW_QUESTION So.'
        """
        ''',
        'workers_needed = 2\naccounts = ["first@example.com"]\n[phases.only]',
    )

    code, output = bench.run("--workers", "1")
    assert code == 2, output
    assert "needs 2 workers" in output

    code, output = bench.run("--workers", "2")

    outcome = bench.outcome()
    assert code == 0, output
    (conversation,) = outcome.conversations
    (asker,), (knower,) = outcome.agents_of("asks"), outcome.agents_of("knows")
    assert (conversation.from_agent_id, conversation.to_agent_id) == (asker.id, knower.id)
    assert conversation.answer == "Why? So."
    assert outcome.log[asker.id] == "Why? So.\n"


def test_any_output_becomes_text_that_the_store_takes(bench: Bench) -> None:
    script = bench.folder / "writes.py"
    # The pause lets the supervisor read the two halves of a character apart.
    script.write_text(
        "import os, time\n"
        r"os.write(1, b'nul \0, not utf-8 \xff, cut in two \xe2\x82'); time.sleep(0.3)"
        "\n"
        r"os.write(1, b'\xac, and \xed\xa0\x80'); os.write(2, b' end\n' * 100_000)"
        "\n"
    )
    bench.plan(f'[tasks.writes]\nphase = "only"\ncommand = "{{python}} {script}"')

    code, output = bench.run()

    assert code == 0, output
    outcome = bench.outcome()
    (log,) = outcome.log.values()
    assert log.startswith("nul \ufffd, not utf-8 \ufffd, cut in two \u20ac, and \ufffd")
    assert log.endswith(" end\n" * 100_000)


def test_a_name_is_one_supervisors_and_ctrl_c_leaves_a_plan_to_go_on_with(bench: Bench) -> None:
    flag = bench.folder / "go"
    bench.plan(
        f"""
        [tasks.long]
        phase = "only"
        command = "sh -c 'test -e {flag} || exec sleep 60'"
        """
    )
    with bench.start("--holder", "me") as first:
        wait_for_line(first, "long")

        code, output = bench.run("--holder", "me")
        assert code == 2
        assert f"another supervisor (process {first.pid})" in output

        first.send_signal(signal.SIGINT)
        output, _ = first.communicate(timeout=20)
    assert first.returncode == 130, output
    outcome = bench.outcome()
    assert [agent.status for agent in outcome.agents] == ["crashed"]
    assert outcome.tasks["long"].status == "pending"
    assert outcome.tasks["long"].retry_count == 0

    flag.touch()
    code, output = bench.run()
    assert code == 0, output
    assert bench.outcome().exit_codes("long") == [None, 0]


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    """Read what a supervisor prints until a line has this text."""
    assert process.stdout is not None
    line = None
    while line is None or text not in line:
        line = process.stdout.readline()
        assert line, f"it ended without {text!r}"


PLAN = """
id = "plan"
name = "A plan"
workers_needed = 1
accounts = ["first@example.com"]

[phases.early]
needs = []

[phases.late]
needs = ["early"]

[tasks.one]
phase = "early"
command = "true"
needs = []

[tasks.two]
phase = "late"
command = "false"
priority = "high"
"""


def test_a_plan_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)

    plan = read_plan(path)

    assert plan.accounts == ("first@example.com",)
    assert [(phase.name, phase.needs) for phase in plan.phases] == [
        ("early", ()),
        ("late", ("early",)),
    ]
    assert [(t.name, t.phase, t.needs, t.command, t.priority) for t in plan.tasks] == [
        ("one", "early", (), "true", "medium"),
        ("two", "late", (), "false", "high"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('id = "plan"', "", "id must be a text that is not empty"),
        ('name = "A plan"', "name = 3", "name must be a text that is not empty"),
        ("workers_needed = 1", "workers_needed = 0", "workers_needed must be a whole number"),
        ('["first@example.com"]', "[]", "accounts must name at least one account"),
        ('["first@example.com"]', "[1]", "accounts must be a list of texts"),
        ('["first@example.com"]', '["a", "a"]', "accounts names something twice"),
        ('["early"]', '["erly"]', "phases.late.needs names 'erly'; there are only early, late"),
        ('phase = "early"', 'phase = "late"', "phases.early has no task"),
        ('command = "true"', "", "tasks.one.command must be a text that is not empty"),
        ('"true"', "'say \"yes'", "tasks.one.command can't be split into words: No closing"),
        ('"true"', '"true"\ntries = 3', "tasks.one.tries is not known here"),
        ('"high"', '"urgent"', "tasks.two.priority must be one of low, medium, high"),
        ("needs = []\n\n[phases", 'needs = ["late"]\n\n[phases', "early waits for phase late"),
        ("needs = []\n\n[tasks", 'needs = ["two"]\n\n[tasks', "task one waits for task two"),
        ("[tasks.one]", "[tasks]\none = 1\n[other]", "tasks.one must be a table"),
        ("[tasks.two]", "[tasks.one]", "Cannot declare"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_with_the_place_and_the_reason(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = tmp_path / "plan.toml"
    assert PLAN.count(old) == 1
    path.write_text(PLAN.replace(old, new))

    with pytest.raises(PlanError) as refused:
        read_plan(path)

    assert str(refused.value).startswith(f"{path}: ")
    assert complaint in str(refused.value)


STEP = """
import fcntl, os, random, sys, time
folder, name = sys.argv[1:]
with open(f"{folder}/{name}.lock", "w") as lock, open(f"{folder}/diary", "a") as diary:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        diary.write(f"twice at once: {name}\\n")
    time.sleep(random.uniform(0.1, 0.5))
    while name == "task-47" and not os.path.exists(f"{folder}/may-end"):
        time.sleep(0.02)
    diary.write(f"{name} {os.environ['CW_AGENT_ID']}\\n")
"""


KILLS = 20


def test_killed_twenty_times_every_task_is_completed_exactly_once(bench: Bench) -> None:
    (bench.folder / "step.py").write_text(STEP)
    command = f"{{python}} -I -S {bench.folder}/step.py {bench.folder}"
    names = [f"task-{number}" for number in range(48)]
    needs = {name: [names[n - 4]] if n % 16 >= 4 else [] for n, name in enumerate(names)}
    bench.plan(
        "\n".join(
            f'[tasks.{name}]\nphase = "phase-{n // 16}"\nneeds = {needs[name]}\n'
            f'command = "{command} {name}"'
            for n, name in enumerate(names)
        ),
        """
        accounts = ["first@example.com", "second@example.com"]
        [phases.phase-0]
        [phases.phase-1]
        needs = ["phase-0"]
        [phases.phase-2]
        needs = ["phase-1"]
        """,
    )
    moments = random.Random(20)
    try:
        for number in range(KILLS):
            with bench.start("--workers", "4") as process:
                assert process.stdout is not None
                if number % 4:  # most are killed at work, every fourth while it starts
                    process.stdout.readline()
                time.sleep(moments.uniform(0, 0.5))
                if process.poll() is not None:
                    pytest.fail(f"it ended before it was killed:\n{process.stdout.read()}")
                process.kill()
    finally:
        (bench.folder / "may-end").touch()  # until then the last task goes on

    code, output = bench.run("--workers", "4")

    outcome = bench.outcome()
    assert code == 0, output
    assert outcome.initiative.status == "completed"
    assert {phase.status for phase in outcome.phases} == {"completed"}
    assert {task.status for task in outcome.tasks.values()} == {"completed"}
    assert {task.retry_count for task in outcome.tasks.values()} == {0}
    assert sorted(outcome.tasks) == sorted(names)

    # Each task has exactly one agent that completed it, and that is its last one. All others
    # were interrupted, which is what the kills were for.
    completers: dict[str, Agent] = {}
    for name in names:
        *interrupted, completers[name] = outcome.agents_of(name)
        assert (completers[name].status, completers[name].exit_code) == ("stopped", 0)
        assert all((a.status, a.exit_code) == ("crashed", None) for a in interrupted)
    assert len(outcome.agents) > len(names)

    # What the commands did themselves: the one that counts did its work to the end, and no task
    # ever ran twice at the same time.
    diary = (bench.folder / "diary").read_text().splitlines()
    assert not [line for line in diary if line.startswith("twice")]
    assert {f"{name} {agent.id}" for name, agent in completers.items()} <= set(diary)

    # Nothing began before what it needs was completed.
    for name in names:
        for need in needs[name]:
            assert outcome.agents_of(name)[0].created_at > completers[need].updated_at

    assert bench.run()[0] == 0
    assert bench.outcome() == outcome, "a plan that is completed is left alone"


def completers_of(outcome: Outcome) -> dict[str, Agent]:
    """Return the one agent of each task that completed it, and no other did."""
    found: dict[str, Agent] = {}
    for name in outcome.tasks:
        [found[name]] = [agent for agent in outcome.agents_of(name) if agent.exit_code == 0]
    return found


@SHARED
def test_two_supervisors_share_a_plan_and_the_other_finishes_it_when_one_is_killed(
    shared_bench: Bench,
) -> None:
    (shared_bench.folder / "step.py").write_text(STEP)
    command = f"{{python}} -I -S {shared_bench.folder}/step.py {shared_bench.folder}"
    names = [f"task-{number}" for number in range(20)]
    shared_bench.plan(
        "\n".join(
            f'[tasks.{name}]\nphase = "only"\ncommand = "{command} {name}"\n'
            f"needs = {[names[n - 4]] if n >= 4 else []}"
            for n, name in enumerate(names)
        ),
        'accounts = ["first@example.com", "second@example.com"]\n[phases.only]',
    )

    options = ("--workers", "2", "--lease", "2", "--holder")
    with shared_bench.start(*options, "one") as one, shared_bench.start(*options, "other") as other:
        for process in (one, other):
            for _ in range(3):
                wait_for_line(process, "completed")
        wait_for_line(one, "begins")
        one.kill()
        output, _ = other.communicate(timeout=60)

    outcome = shared_bench.outcome()
    assert other.returncode == 0, output
    assert outcome.initiative.status == "completed"
    completers = completers_of(outcome)
    assert sorted(completers) == sorted(names)
    assert {agent.holder for agent in completers.values()} == {"one", "other"}
    lost = [agent for agent in outcome.agents if agent.exit_code is None]
    assert 1 <= len(lost) <= 2, "what the killed one had at that moment"
    assert {(agent.holder, agent.status) for agent in lost} == {("one", "crashed")}
    assert sum(task.retry_count for task in outcome.tasks.values()) == len(lost)

    diary = (shared_bench.folder / "diary").read_text().splitlines()
    assert not [line for line in diary if line.startswith("twice")]
    assert {f"{name} {agent.id}" for name, agent in completers.items()} <= set(diary)


@SHARED
def test_a_frozen_supervisor_loses_its_task_and_changes_nothing_when_it_wakes(
    shared_bench: Bench,
) -> None:
    flag, its_process = shared_bench.folder / "go", shared_bench.folder / "process"
    shared_bench.plan(
        f"""
        [tasks.long]
        phase = "only"
        command = "sh -c 'test -e {flag} || {{ echo $$ | tee {its_process}; exec sleep 60; }}'"
        """
    )
    options = ("--lease", "1", "--holder")
    with shared_bench.start(*options, "frozen") as frozen:
        wait_for_line(frozen, "long")
        while not any(shared_bench.outcome().log.values()):
            pass  # until the supervisor has stored that its command is at work
        frozen.send_signal(signal.SIGSTOP)
        os.waitpid(frozen.pid, os.WUNTRACED)
        flag.touch()

        code, output = shared_bench.run(*options, "other")

        outcome = shared_bench.outcome()
        assert code == 0, output
        assert completers_of(outcome)["long"].holder == "other"
        assert outcome.tasks["long"].retry_count == 1
        with pytest.raises(ProcessLookupError):  # its command was not frozen, and was ended
            os.kill(int(its_process.read_text()), 0)

        frozen.send_signal(signal.SIGCONT)
        output, _ = frozen.communicate(timeout=20)
    assert "is over" in output, "it is told that the claim is not its any more"
    assert frozen.returncode == 0, "the plan is completed, and be it by another"
    assert shared_bench.outcome() == outcome


def page_at(address: str) -> Callable[[], str]:
    """Open an address, and return what reads the page again and again."""
    split = urlsplit(address)

    def ask(path: str, cookie: str) -> HTTPResponse:
        connection = HTTPConnection(split.hostname or "", split.port, timeout=20)
        headers = {"Cookie": cookie, "Connection": "close"}
        connection.request("GET", path, headers=headers)
        return connection.getresponse()

    with ask(f"{split.path}?{split.query}", "") as answer:
        cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]

    def read() -> str:
        with ask("/", cookie) as answer:
            return answer.read().decode()

    return read


def test_its_page_agrees_with_the_command_line_at_every_moment(bench: Bench) -> None:
    """It shows nothing that was not so yet, and nothing that is over."""
    wait = 'sh -c "until [ -e {folder}/{number} ]; do sleep 0.02; done"'
    bench.plan(
        "\n".join(
            f"[tasks.t{number}]\nphase = 'only'\nneeds = []\n"
            f"command = '{wait.format(folder=bench.folder, number=number)}'"
            for number in range(3)
        )
    )

    def done_by_command() -> int:
        command = [sys.executable, "-c", "from cw_store.cli import main; main()"]
        listed = ["--url", bench.store, "ls", "tasks", "--status", "completed", "--json"]
        found = subprocess.run([*command, *listed], capture_output=True, check=True, timeout=30)
        return len(json.loads(found.stdout)["data"])

    with bench.start("--page", "--workers", "3") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Look at it: http://127.0.0.1:")
        read = page_at(line.removeprefix("Look at it: ").strip())
        wait_for_line(process, "begins with A plan")
        for number in range(2):
            (bench.folder / str(number)).touch()
            shown = 0
            while shown <= number:
                at_least = done_by_command()
                found = re.search(r"<b>(\d+)</b> of <b>3</b> done", read())
                assert found is not None
                shown = int(found[1])
                assert at_least <= shown <= done_by_command()
        (bench.folder / "2").touch()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
