"""`cw-store live`: a server that says where it is, and goes on until it is ended."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from command_line import CommandLine
from stores import BOTH, FILE, prepared

from builders import add_task
from cw_store.live.access import TOKEN
from programs import environment, run_program

MAIN = "import sys; from cw_store.cli import main; sys.exit(main())"


@contextmanager
def live(url: str, *options: str, **variables: str) -> Generator[subprocess.Popen[str]]:
    """Start the command as a process; it is gone in the end, however the test ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "--url", url, "live", *options],
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def page_at(address: str) -> str:
    """Open an address, and return the page that it leads to."""
    split = urlsplit(address)
    connection = HTTPConnection(split.hostname or "", split.port, timeout=20)
    connection.request("GET", f"{split.path}?{split.query}")
    answer = connection.getresponse()
    answer.read()
    cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
    connection.request("GET", answer.getheader("Location") or "", headers={"Cookie": cookie})
    answer = connection.getresponse()
    assert answer.status == 200
    text = answer.read().decode()
    connection.close()
    return text


@BOTH
def test_it_prints_an_address_which_leads_to_the_page(database: str) -> None:
    prepared(database, lambda store: add_task(store, name="Unit tests", status="blocked"))
    with live(database, "--port", "0") as process:
        address = address_of(process)
        assert re.fullmatch(rf"http://127\.0\.0\.1:\d+/\?{TOKEN}=[\w-]{{32}}", address)
        assert "Unit tests" in page_at(address)


@FILE
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_told_to_whoever_looks(database: str, number: signal.Signals) -> None:
    with live(database, "--port", "0") as process:
        split = urlsplit(address_of(process))
        looking = socket.create_connection((split.hostname or "", split.port or 0))
        request = f"GET /?stream&{split.query} HTTP/1.1\r\nHost: {split.netloc}\r\n\r\n"
        looking.sendall(request.encode())
        assert looking.recv(100).startswith(b"HTTP/1.1 303")
        process.send_signal(number)
        _, told = process.communicate(timeout=20)
        looking.close()
    assert process.returncode == 130
    assert told.endswith("cw-store: interrupted; nothing was left half done\n")
    assert "Traceback" not in told


@FILE
def test_it_does_not_change_the_store_unless_it_may_act(database: str) -> None:
    with live(database, "--port", "0") as process:
        address_of(process)
        assert process.stderr is not None
        assert "to look at" in process.stderr.readline()
    with live(database, "--port", "0", "--act", "--json") as process:
        assert process.stdout is not None
        data = json.loads(process.stdout.readline())["data"]
        assert data["address"].startswith("http://127.0.0.1:")
        assert process.stderr is not None
        assert "may look and act" in process.stderr.readline()


@FILE
def test_a_browser_is_given_an_address_of_its_own(database: str, tmp_path: Path) -> None:
    """Whoever sees the command lines of others' processes sees what a browser is started with."""
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\necho "$1" > {tmp_path}/opened.part\nmv {tmp_path}/opened.part '
        f"{tmp_path}/opened\n"
    )
    browser.chmod(0o700)
    with live(database, "--port", "0", "--open", BROWSER=f"{browser} %s") as process:
        address = address_of(process)
        while not (tmp_path / "opened").exists():
            assert process.poll() is None
        opened = (tmp_path / "opened").read_text().strip()
        assert urlsplit(opened).netloc == urlsplit(address).netloc
        assert urlsplit(opened).query != urlsplit(address).query
        page_at(opened)
        page_at(address)


@FILE
def test_a_port_that_is_taken_is_told_of(typed: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = typed("live", "--port", str(port))
    assert done.code == 3
    assert f"nobody can listen on loopback, port {port}: " in done.err


@FILE
@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_an_address_that_stands_for_all_is_refused(typed: CommandLine, host: str) -> None:
    done = typed("live", "--allow-network", host)
    assert done.code == 2 and "--allow-network takes the address" in done.err


@FILE
def test_an_address_of_another_machine_is_refused(typed: CommandLine) -> None:
    done = typed("live", "--port", "0", "--allow-network", "192.0.2.1")
    assert done.code == 3 and "nobody can listen on 192.0.2.1" in done.err


@FILE
def test_a_port_is_a_number_that_there_is(typed: CommandLine) -> None:
    assert typed("live", "--port", "65536").code == 2


def test_without_the_extra_it_says_which(tmp_path: Path) -> None:
    for missing in ("starlette", "uvicorn", "jinja2"):
        program = f"import sys; sys.modules[{missing!r}] = None; {MAIN}"
        done = run_program(program, "live", cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr == ("cw-store: this needs the extra live: install cw-store[live]\n")


def test_help_and_other_commands_load_none_of_it(tmp_path: Path) -> None:
    program = (
        "import sys; from cw_store.cli import main; main(); "
        "print([name for name in sys.modules if name.startswith(('cw_store.live', 'starlette', "
        "'uvicorn', 'jinja2'))])"
    )
    for words in (["--help"], ["live", "--help"], ["init"]):
        done = run_program(program, *words, cwd=tmp_path)
        assert done.stdout.splitlines()[-1] == "[]", words


@FILE
def test_where_there_is_no_store_none_is_made(typed: CommandLine, tmp_path: Path) -> None:
    missing = CommandLine(str(tmp_path / "missing.db"), typed.clock)
    assert missing("live", "--port", "0").code == 3
    assert not (tmp_path / "missing.db").exists()
    assert os.listdir(tmp_path) == []
