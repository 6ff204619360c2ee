"""What commands show of the demo store, compared with the files in golden/, on both databases.

`make docs-output` writes the files anew; look at what has changed in them before you commit it.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import CommandLine, Done
from demo_stores import filled

from cw_store.testing.postgres_server import PostgresServer

GOLDEN = Path(__file__).parent / "golden"
REWRITE = "CW_STORE_REWRITE_GOLDEN"

LISTED = (
    "initiatives phases tasks agents accounts conversations messages proposals pages projects "
    "errands reviews chats changesets"
).split()
COMMANDS = {
    **{f"ls-{kind}": ("ls", kind) for kind in LISTED},
    "ls-sorted": ("ls", "tasks", "--sort=priority", "--columns", "name,priority", "--limit", "5"),
    "ls-filtered": ("ls", "tasks", "--status", "blocked", "--initiative", "User auth"),
    "show-task": ("show", "Load test"),
    "show-agent": ("show", "humble-koala"),
    "show-account": ("show", "olive@example.com"),
    "show-initiative": ("show", "User auth"),
    "ready": ("ready",),
    "ready-explain": ("ready", "User auth", "--explain"),
    "inbox": ("inbox",),
    "logs": ("logs", "humble-koala", "--since", "4h"),
    "logs-raw": ("logs", "humble-koala", "--raw", "--grep", "killed"),
    "search": ("search", "spec"),
    "graph": ("graph", "Billing"),
    "graph-mermaid": ("graph", "Billing", "--format", "mermaid"),
    "graph-dot": ("graph", "Billing", "--format", "dot"),
    "timeline": ("timeline", "User auth"),
    "watch": ("watch", "Docs site"),
    "not-found": ("show", "nobody"),
}
NOT_AS_JSON = {"search"}  # it tells how long it took


@pytest.fixture(scope="module", params=["file", "postgres"])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """Types commands about the demo store."""
    if request.param == "file":
        return filled(str(tmp_path_factory.mktemp("demo") / "cw.db"))
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return filled(server.create_database())


def told(done: Done) -> str:
    end = f"--- exit code {done.code}\n" if done.code else ""
    return done.out + (f"--- stderr\n{done.err}" if done.err else "") + end


def shown(typed: CommandLine, name: str, words: tuple[str, ...]) -> str:
    """Return all that a command shows: in a pipe, on a terminal, and as JSON."""
    parts = [
        f"$ cw-store {' '.join(words)}\n\n=== in a pipe\n{told(typed(*words))}",
        f"=== on a terminal\n{told(typed.on_terminal(*words, width=100, colour='auto'))}",
    ]
    if name not in NOT_AS_JSON:
        parts.append(f"=== as JSON\n{told(typed(*words, '--json'))}")
    return "\n".join(parts).replace("\x1b", "␛").replace("\r", "␍")


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_show_what_they_have_always_shown(
    demo: CommandLine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = GOLDEN / f"{name}.txt"
    # With --url it would be in the commands that are shown, and is another one each time.
    monkeypatch.setenv("CW_STORE_URL", demo.url)
    found = shown(replace(demo, url=""), name, COMMANDS[name])
    if os.environ.get(REWRITE):
        file.write_text(found)
    assert found == file.read_text()


def test_there_is_no_file_that_no_command_is_compared_with() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(COMMANDS)
