"""How tables fit a terminal: what is to be typed again is never lost, however narrow it is."""

import shlex

import pytest
from command_line import CommandLine
from demo_stores import filled

WIDTHS = (20, 40, 80, 110, 200)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """Types commands about the demo store."""
    return filled(str(tmp_path_factory.mktemp("demo") / "cw.db"))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_command_is_never_broken_so_that_it_can_be_pasted(demo: CommandLine, width: int) -> None:
    shown = demo.on_terminal("inbox", width=width)
    for row in demo("inbox").rows:
        assert any(line.rstrip().endswith(row["command"]) for line in shown.out.splitlines())


@pytest.mark.parametrize("words", [("inbox",), ("search", "spec"), ("doctor",)])
def test_commands_that_are_shown_are_for_the_store_that_was_named(
    demo: CommandLine, words: tuple[str, ...]
) -> None:
    commands = [row["command"] for row in demo(*words).rows if row["command"]]
    assert commands
    for command in commands:
        assert shlex.split(command)[:3] == ["cw-store", "--url", demo.url]


def test_what_watch_shows_is_for_the_store_that_was_named(demo: CommandLine) -> None:
    done = demo("watch", "Docs site")
    assert f"cw-store --url {shlex.quote(demo.url)} show " in done.out


def test_without_a_store_named_commands_name_none(
    demo: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CW_STORE_URL", demo.url)
    for row in CommandLine("", demo.clock)("inbox").rows:
        assert "--url" not in row["command"]


def test_on_a_narrow_terminal_ids_are_as_long_as_tells_them_apart(demo: CommandLine) -> None:
    done = demo.on_terminal("ls", "tasks", width=80)
    short = [line.split()[0] for line in done.out.splitlines()[1:]]
    ids = [row["id"] for row in demo("ls", "tasks").rows]
    assert all(id.startswith(each) and id != each for id, each in zip(ids, short, strict=True))
    assert len(set(short)) == len(ids)
    assert demo("show", short[0]).code == 0
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_how_something_is_is_not_cut(demo: CommandLine) -> None:
    for line in demo.on_terminal("ls", "agents", width=80).out.splitlines():
        assert any(
            status in line
            for status in ("status", "stopped", "crashed", "idle", "running", "waiting_for_input")
        )


def test_names_are_whole_on_a_narrow_terminal_since_they_are_typed_next(demo: CommandLine) -> None:
    shown = demo.on_terminal("ls", "agents", width=80).out
    for row in demo("ls", "agents").rows:
        assert f" {row['name']} " in shown


def test_what_has_more_columns_than_there_is_room_is_shown_line_by_line(demo: CommandLine) -> None:
    done = demo.on_terminal("sql", "SELECT * FROM agents ORDER BY seq LIMIT 2", width=80)
    lines = done.out.splitlines()
    assert lines[0].split() == ["id", "L3vr2uOkidqr2pDKs53e5"]
    assert lines[1].split() == ["name", "candid-sparrow"]
    assert "…" not in done.out


def test_a_command_that_was_pasted_with_its_placeholder_answers_nothing(demo: CommandLine) -> None:
    before = demo("inbox").out
    for row in demo("inbox").rows:
        words = shlex.split(row["command"])
        if words[-1] == "TEXT":
            done = CommandLine("", demo.clock)(*words[1:])
            assert done.code == 2 and "stands for your answer" in done.err
    assert demo("inbox").out == before


def test_a_password_is_not_in_the_commands_that_are_shown() -> None:
    from cw_store.cli.context import Context
    from cw_store.cli.output import Output

    for url in (
        "postgresql://ada:secret@host/db",
        "postgresql://host/db?user=ada&password=secret",
        "postgresql://host/db?sslpassword=secret",
    ):
        here = Context(url, Output(lambda: pytest.fail("no time is needed")), None)
        assert here.command("cw-store show x") == "cw-store show x"
    here = Context("postgresql://ada@host:5432/db", here.output, None)
    assert here.command("cw-store show x") == "cw-store --url postgresql://ada@host:5432/db show x"
