"""What Tab offers: ids and names out of the file, of what fits the place; and nothing else."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from command_line import CommandLine
from stores import prepared

from builders import add_account, add_agent, add_proposal, add_review_comment, add_task
from cw_store import Store
from hostile import HOSTILE
from programs import run_program


@pytest.fixture
def file(migrated_file: Path, tmp_path: Path) -> Path:
    path = shutil.copyfile(migrated_file, tmp_path / "cw.db")

    async def fill(store: Store) -> None:
        await add_agent(store, id="agent-1", name="brave-otter", status="running")
        await add_agent(store, id="agent-2", name=HOSTILE)
        await add_agent(store, id="agent-3", name="awake-vole", status="crashed")
        seen = await add_agent(store, id="agent-4", name="cosmic-jackal", status="crashed")
        await store.agents.update(seen.id, user_dismissed_at=seen.created_at)
        await add_task(store, id="task-1", name=HOSTILE)
        await add_task(store, id="task-2", name="Unit tests", status="blocked")
        await add_account(store, email="ada@example.com")
        await add_proposal(store, id="proposal-1", agent_id="agent-1", title="Split it")
        await add_review_comment(store, id="comment-1", body="Which currency?")
        await add_review_comment(store, id="comment-2", resolved=True)

    prepared(str(path), fill)
    return path


def offered(*words: str) -> dict[str, str]:
    """Return what is offered for the last of the words, each with the words about it."""
    done = CommandLine("")("__complete", *words)
    assert (done.code, done.err) == (0, "")
    head, *lines = done.out.lstrip("\n").splitlines()
    assert head == "\x1fbegin"
    return dict(line.split("\t") for line in lines)


def test_what_fits_is_offered(file: Path) -> None:
    assert offered("logs", "b") == {"brave-otter": "running"}
    assert offered("retry", "") == {"task-2": "Unit tests"}
    assert offered("retry", "task-2", "") == {"task-2": "Unit tests"}
    assert offered("account", "available", "") == {"ada@example.com": "claude"}
    assert offered("accept", "prop") == {"proposal-1": "Split it"}
    assert offered("dismiss", "") == {"proposal-1": "Split it", "awake-vole": "crashed"}
    assert offered("resolve", "") == {"comment-1": "Which currency?"}
    assert "task-1" in offered("show", "task") and "brave-otter" in offered("show", "")
    assert offered("ls", "tasks", "--agent", "brave") == {"brave-otter": "running"}
    assert offered("ls", "") == {}, "what is fixed is in the script"


def test_the_store_that_is_named_is_read(file: Path, tmp_path: Path) -> None:
    elsewhere = file.rename(tmp_path / "elsewhere.db")
    assert offered("logs", "b") == {}
    for options in (("--url", str(elsewhere)), (f"--url={elsewhere}",)):
        assert offered(*options, "logs", "b") == {"brave-otter": "running"}
        assert offered("logs", *options, "b") == {"brave-otter": "running"}
    assert offered("--url", f"sqlite:///{elsewhere}", "logs", "b") == {"brave-otter": "running"}


def test_nothing_that_is_stored_does_harm(file: Path) -> None:
    done = CommandLine("")("__complete", "show", "")
    assert not [each for each in done.out if not each.isprintable() and each not in "\n\t\x1f"]
    assert not any("\x1b" in value for value in offered("show", ""))


def test_tab_changes_nothing_and_loads_no_store(file: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    code = (
        "import json, sys\n"
        "from cw_store.cli import main\n"
        "main(['__complete', 'show', ''])\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = run_program(code, cwd=tmp_path)
    assert "brave-otter" in done.stdout
    assert not {"sqlalchemy", "asyncio", "cw_store.public"} & set(json.loads(done.stderr))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("make", ["nothing", "no database", "no store", "locked", "server"])
def test_where_nothing_can_be_read_nothing_is_offered(
    make: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(file.with_name("other.db"))
    match make:
        case "nothing":
            file.unlink()
        case "no database":
            file.write_text("notes")
        case "no store":
            file.unlink()
            sqlite3.connect(file).execute("CREATE TABLE agents (name)").connection.close()
        case "locked":
            other.close()
            other = sqlite3.connect(file)
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            other.execute("PRAGMA user_version")
        case _:
            monkeypatch.setenv("CW_STORE_URL", "postgresql://host/db")
    found = offered("logs", "")
    assert make == "locked" or found == {}
    other.close()
