"""`cw-store sql`: one statement that reads, or a client that does."""

import os
import pty
import shlex
import sys
from pathlib import Path

import pytest
from command_line import CommandLine
from stores import BOTH, FILE, prepared

from builders import add_initiative
from cw_store import Store
from cw_store.cli.client import client_for
from hostile import HOSTILE, harmful
from programs import environment

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


@pytest.fixture
def filled(typed: CommandLine) -> CommandLine:
    async def fill(store: Store) -> None:
        for number in range(3):
            await add_initiative(store, id=f"i{number}", name=HOSTILE)

    prepared(typed.url, fill)
    return typed


@BOTH
def test_rows_are_a_table_with_the_names_of_the_columns(filled: CommandLine) -> None:
    done = filled("sql", "SELECT id, status, NULL AS gap FROM initiatives ORDER BY id")
    assert (done.code, done.err) == (0, "")
    assert done.out == ("id\tstatus\tgap\ni0\tactive\t\ni1\tactive\t\ni2\tactive\t\n")


@BOTH
def test_as_json_it_is_columns_and_rows(filled: CommandLine) -> None:
    query = "SELECT id, 1 AS id FROM initiatives ORDER BY 1 LIMIT 1"
    assert filled("sql", query, "--json").data == {
        "columns": ["id", "id"],
        "rows": [["i0", 1]],
        "is_cut": False,
    }


@BOTH
def test_no_more_rows_are_shown_than_asked_for_and_that_is_said(filled: CommandLine) -> None:
    query = "SELECT id FROM initiatives ORDER BY id"
    done = filled("sql", query, "--limit", "2")
    assert done.out == "id\ni0\ni1\n"
    assert done.err == "cw-store: there are more rows than 2: --limit, or --all\n"
    assert filled("sql", query, "--limit", "2", "--json").data["is_cut"] is True
    assert filled("sql", query, "--all").out.count("\n") == 4


@BOTH
@pytest.mark.parametrize("number", [0, 1, 2])
def test_however_many_rows_there_are_it_is_the_same_json(filled: CommandLine, number: int) -> None:
    query = f'SELECT id, \'a"b\' AS "c""d" FROM initiatives ORDER BY id LIMIT {number}'
    expected = {
        "columns": ["id", 'c"d'],
        "rows": [[f"i{row}", 'a"b'] for row in range(number)],
        "is_cut": False,
    }
    assert filled("sql", query, "--json", "--all").data == expected
    assert filled.on_terminal("sql", query, "--json").data == expected
    assert filled("sql", query, "--all").out.count("\n") == number + 1


@FILE
def test_on_a_terminal_many_rows_are_several_tables(filled: CommandLine) -> None:
    query = f"{ENDLESS} LIMIT 2001"
    lines = filled.on_terminal("sql", query, "--all").out.split()
    assert lines.count("i") == 3
    assert [line for line in lines if line != "i"] == [str(i) for i in range(1, 2002)]


@BOTH
def test_a_statement_may_come_from_stdin(filled: CommandLine) -> None:
    assert filled("sql", "-", stdin="SELECT count(*) AS n\nFROM initiatives").out == "n\n3\n"


@BOTH
def test_what_is_stored_is_harmless_and_so_are_names_of_columns(filled: CommandLine) -> None:
    query = 'SELECT name, 1 AS "\x1b[31m\ta\nb" FROM initiatives'
    done = filled("sql", query)
    assert not harmful(done.out, lets="\n\t") and done.out.count("\n") == 4
    assert not harmful(filled.on_terminal("sql", query).out)
    assert not harmful(filled("sql", query, "--json").out)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("DELETE FROM initiatives", "only one statement that reads"),
        ("WITH a AS (SELECT 1) DELETE FROM initiatives", ""),
        ("SELECT FROM FROM", "cannot be run by"),
        ("SELECT 1; SELECT 2", ""),
        ("", "nothing"),
    ],
)
@BOTH
def test_what_does_not_only_read_is_2(filled: CommandLine, query: str, told: str) -> None:
    done = filled("sql", query)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1 and told in done.err
    assert filled("sql", "SELECT count(*) AS n FROM initiatives").out == "n\n3\n"


@FILE
def test_where_there_is_no_store_it_is_3_and_none_is_made(typed: CommandLine) -> None:
    done = CommandLine("none.db")("sql", "SELECT 1")
    assert (done.code, done.out) == (3, "")
    assert not Path("none.db").exists()
    assert CommandLine("none.db")("sql").code == 3


@BOTH
def test_without_a_statement_and_a_client_it_says_how(
    filled: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = filled("sql")
    assert (done.code, done.out) == (2, "")
    assert "give a statement, or install " in done.err


@FILE
def test_a_client_is_opened_on_a_terminal_to_read(filled: CommandLine, tmp_path: Path) -> None:
    client = tmp_path / "bin" / "litecli"
    client.parent.mkdir()
    client.write_text('#!/bin/sh\necho "opened $1"\n')
    client.chmod(0o755)
    ours = Path(sys.executable).with_name("cw-store")
    path = f"{client.parent}:{os.environ['PATH']}"
    command = f"exec {shlex.quote(str(ours))} --url {shlex.quote(filled.url)} sql"
    child, terminal = pty.fork()
    if child == 0:  # the new terminal is its own
        os.execve("/bin/sh", ["sh", "-c", command], environment(PATH=path))
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 1024)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shown.decode().strip() == f"opened {Path(filled.url).as_uri()}?mode=ro"


@FILE
def test_a_password_is_not_among_the_arguments_of_a_client(typed: CommandLine) -> None:
    url = "postgresql+asyncpg://ada:pa%20ss@db.example.com:5433/work?sslmode=require"
    client = client_for(url, "db.example.com")
    assert client.name == "pgcli"
    assert client.arguments == ("postgresql://ada@db.example.com:5433/work?sslmode=require",)
    assert client.environment["PGPASSWORD"] == "pa ss"
    assert "default_transaction_read_only=on" in client.environment["PGOPTIONS"]
