"""Exports and imports: a store as lines of JSON, and back, all of it or nothing."""

# ruff: noqa: ASYNC240 -- nobody else runs on these loops

import asyncio
import hashlib
import io
import itertools
import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import text

from builders import add_account, add_initiative, add_page
from cw_store import ExportReport, SchemaError, Store, StoreError, import_store, schema
from cw_store.revisions import revisions
from databases import Fresh
from fillings import contents, fill_everything, fill_log
from programs import start_program
from test_backing_up import on_a_full_disk

KEY = "s4Kd0gk1kF1bTMDVh5xK2f8YkCkqjk0m0m0c8q6m5kE="


@pytest.fixture
async def export(tmp_path: Path) -> Path:
    """An export of a small store."""
    async with Store(":memory:") as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, 50)
        await add_page(store, content={"a": [1, 1.5, None]})
        await add_account(store, credentials="my-secret", config_json="my-config")
        await store.export(tmp_path / "export.jsonl", include_secrets=True)
    return tmp_path / "export.jsonl"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def test_a_store_comes_back_from_an_export_as_it_was(
    database: str, tmp_path: Path, new_target: Fresh
) -> None:
    path, target = tmp_path / "export.jsonl", new_target()
    async with Store(database, encryption_keys=[KEY]) as store:
        await fill_everything(store)
        exported = await store.export(path, include_secrets=True)
        imported = await import_store(path, target)
        again = io.BytesIO()
        async with Store(target, encryption_keys=[KEY]) as copy:
            assert (await copy.export(again, include_secrets=True)).tables == exported.tables
        if database.startswith("postgres") == target.startswith("postgres"):
            assert again.getvalue() == path.read_bytes(), "the same store gives the same bytes"
        if database != ":memory:":
            before = await contents(database, encryption_keys=[KEY])
            assert await contents(target, encryption_keys=[KEY]) == before
    assert (imported.tables, imported.sha256) == (exported.tables, exported.sha256)
    assert (imported.bytes, imported.has_secrets) == (exported.bytes, True)
    names = {table.name for table in exported.tables if table.rows}
    assert names >= schema.metadata.tables.keys() - {"changes", "store_state"}


async def test_an_export_is_lines_that_anybody_can_read(database: str, tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    async with Store(database) as store:
        page = await add_page(store, title="one\nline", content={"a": [1, True, None]})
        report = await store.export(path)
    head, *rows, tail = lines_of(path)
    assert head == {"format": 1, "schema": revisions()[-1], "secrets": False}
    [initiative, written] = rows
    assert initiative["table"] == "initiatives" and written["table"] == "pages"
    assert written["row"]["id"] == page.id
    assert written["row"]["title"] == "one\nline"
    assert written["row"]["content"] == {"a": [1, True, None]}
    assert written["row"]["created_at"] == page.created_at.isoformat()
    whole = path.read_bytes()
    before_the_last = whole[: whole.rindex(b"\n", 0, -1) + 1]
    assert tail["sha256"] == hashlib.sha256(before_the_last).hexdigest() == report.sha256
    assert tail["tables"]["pages"]["rows"] == 1
    assert report.bytes == len(whole) and report.rows == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_secrets_are_left_out_unless_they_are_asked_for(
    database: str, tmp_path: Path, new_target: Fresh
) -> None:
    target, path = new_target(), tmp_path / "export.jsonl"
    async with Store(database) as store:
        account = await add_account(store, credentials="my-secret", config_json="my-config")
        report = await store.export(path)
        everything = io.BytesIO()
        await store.export(everything, include_secrets=True)
    assert not report.has_secrets
    assert b"my-secret" not in path.read_bytes() and b"my-config" not in path.read_bytes()
    assert b"my-secret" in everything.getvalue() and b"my-config" in everything.getvalue()
    assert not (await import_store(path, target)).has_secrets
    async with Store(target) as copy:
        [found] = await copy.accounts.find_all()
        assert (found.id, found.email) == (account.id, account.email)
        assert found.credentials is None and found.config_json is None


async def test_encrypted_text_stays_encrypted(
    database: str, tmp_path: Path, new_target: Fresh
) -> None:
    path, target = tmp_path / "export.jsonl", new_target()
    async with Store(database, encryption_keys=[KEY]) as store:
        account = await add_account(store, credentials="my-secret")
        await store.export(path, include_secrets=True)
    assert b"my-secret" not in path.read_bytes()
    await import_store(path, target)
    async with Store(target, encryption_keys=[KEY]) as copy:
        assert await copy.accounts.find_by_id(account.id) == account


class Halting(io.RawIOBase):
    """A stream that takes seven bytes at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.taken += bytes(data)[:7]
        return min(len(data), 7)


async def test_an_export_goes_to_any_stream(database: str) -> None:
    async with Store(database) as store:
        await add_initiative(store, name="naïve 日本語 🦊\u2028\x85")
        binary, in_text, halting = io.BytesIO(), io.StringIO(newline=""), Halting()
        for stream in (binary, in_text, halting):
            await store.export(stream)
    assert binary.getvalue() == in_text.getvalue().encode() == halting.taken
    assert binary.getvalue().count(b"\n") == 3


class Full(io.BytesIO):
    def write(self, data: Any, /) -> int:
        raise BrokenPipeError("nobody reads")


async def test_what_a_stream_raises_is_raised(database: str) -> None:
    async with Store(database) as store:
        with pytest.raises(BrokenPipeError, match="nobody reads"):
            await store.export(Full())
        assert store.connections_in_use == 0


async def test_a_file_that_is_there_is_kept(database: str, tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text("precious")
    async with Store(database) as store:
        with pytest.raises(StoreError, match="exists already"):
            await store.export(path)
    assert path.read_text() == "precious"


async def test_others_write_on_and_the_export_is_of_one_moment(database: str) -> None:
    exported, tasks = io.BytesIO(), list[asyncio.Task[object]]()
    async with Store(database) as store:
        await add_initiative(store, name="before")

        def on_progress(table: str, done: int, total: int) -> None:
            tasks.append(asyncio.create_task(add_initiative(store, name="meanwhile")))

        report = await store.export(exported, on_progress=on_progress)
        await asyncio.gather(*tasks)
    assert len(tasks) > 10 and report.rows == 1
    assert b"meanwhile" not in exported.getvalue()


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", "-turns"])
async def test_an_export_takes_no_name_that_a_store_uses(tmp_path: Path, suffix: str) -> None:
    async with Store(tmp_path / "other.db"):
        pass
    async with Store(tmp_path / "cw.db") as store:
        for name in ("cw.db", "other.db"):
            with pytest.raises(StoreError, match=r"itself uses|exists already"):
                await store.export(tmp_path / f"{name}{suffix}")


async def test_memory_is_bounded_whatever_the_rows_are(tmp_path: Path) -> None:
    done: list[int] = []

    def on_progress(table: str, rows: int, total: int) -> None:
        if table == "agent_log_chunks":
            done.append(rows)

    path = tmp_path / "export.jsonl"
    async with Store(":memory:") as store:
        chunk = {"agent_id": "a", "agent_name": "n", "session_number": 1}
        await store.log_chunks.insert_chunks(
            [{**chunk, "content": "ä" * 1_000_000} for _ in range(6)]  # pyright: ignore[reportArgumentType] -- a chunk
        )
        await store.export(path, on_progress=on_progress)
    assert max(after - before for before, after in itertools.pairwise(done)) <= 3
    done.clear()
    await import_store(path, tmp_path / "new.db", on_progress=on_progress)
    assert max(after - before for before, after in itertools.pairwise(done)) <= 3


class Broken(Exception):
    """What a test raises in the middle."""


@pytest.mark.parametrize("error", [Broken, asyncio.CancelledError])
async def test_what_breaks_an_export_or_import_leaves_nothing(
    export: Path, tmp_path: Path, new_target: Fresh, error: type[BaseException]
) -> None:
    def on_progress(table: str, done: int, total: int) -> None:
        if table == "accounts":
            raise error("enough")

    target = new_target()
    with pytest.raises(error):
        await import_store(export, target, on_progress=on_progress)
    assert not any((await contents(target)).values())
    await import_store(export, target)
    async with Store(target) as store:
        assert len(await store.accounts.find_all()) == 1
        with pytest.raises(error):
            await store.export(tmp_path / "again.jsonl", on_progress=on_progress)
    assert not list(tmp_path.glob("again*"))


async def test_a_store_that_holds_rows_is_not_filled(export: Path, new_target: Fresh) -> None:
    target = new_target()
    async with Store(target) as store:
        await add_initiative(store, name="now")
    with pytest.raises(StoreError, match="not empty: initiatives holds rows"):
        await import_store(export, target)
    with pytest.raises(StoreError, match="in memory"):
        await import_store(export, ":memory:")


async def test_a_dry_run_reads_everything_and_writes_nothing(export: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    report = await import_store(export, target, dry_run=True)
    assert not target.exists()
    assert isinstance(report, ExportReport)
    assert report.tables == (await import_store(export, target)).tables


# What is no whole export.


async def refused(path: Path, target: Path, *words: str) -> None:
    for dry_run in (True, False):
        with pytest.raises(StoreError) as caught:
            await import_store(path, target, dry_run=dry_run)
        said = str(caught.value)
        assert all(word in said for word in words), said
        assert "my-secret" not in said
    assert not target.exists() or not any((await contents(str(target))).values())


async def test_an_export_cut_anywhere_is_refused(export: Path, tmp_path: Path) -> None:
    whole, target = export.read_bytes(), tmp_path / "new.db"
    for length in [0, 1, 40, *range(80, len(whole), len(whole) // 40), len(whole) - 1]:
        export.write_bytes(whole[:length])
        await refused(export, target)
    lines = whole.splitlines(keepends=True)
    for end in range(1, len(lines)):
        export.write_bytes(b"".join(lines[:end]))
        await refused(export, target)
    assert not target.exists()


async def test_an_export_that_was_changed_is_refused(export: Path, tmp_path: Path) -> None:
    whole, target = export.read_bytes(), tmp_path / "new.db"
    lines = whole.splitlines(keepends=True)
    for changed in (
        whole.replace(b"brave-otter", b"brave-ottem", 1),
        b"".join([*lines[:5], *lines[6:]]),
        b"".join([*lines[:5], lines[6], lines[5], *lines[7:]]),
        b"".join([*lines[:5], lines[5], lines[5], *lines[6:]]),
        whole + b"\n",
        whole + lines[-1],
        whole.replace(b"\n", b"\r\n"),
    ):
        export.write_bytes(changed)
        await refused(export, target)
    assert not target.exists(), "it was not even made"


def written_anew(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change an export, and make its digest right again as whoever knows the format can."""
    found = lines_of(path)
    change(found)
    lines = [(json.dumps(each) + "\n").encode() for each in found[:-1]]
    found[-1]["sha256"] = hashlib.sha256(b"".join(lines)).hexdigest()
    path.write_bytes(b"".join([*lines, (json.dumps(found[-1]) + "\n").encode()]))


def in_row(table: str, **values: object) -> Callable[[list[dict[str, Any]]], None]:
    def change(lines: list[dict[str, Any]]) -> None:
        row = next(line["row"] for line in lines if line.get("table") == table)
        row.update(values)

    return change


def without(table: str, column: str) -> Callable[[list[dict[str, Any]]], None]:
    def change(lines: list[dict[str, Any]]) -> None:
        del next(line["row"] for line in lines if line.get("table") == table)[column]

    return change


def inserted(line: object) -> Callable[[list[dict[str, Any]]], None]:
    def change(lines: list[dict[str, Any]]) -> None:
        lines.insert(2, cast(Any, line))

    return change


def in_line(number: int, **values: object) -> Callable[[list[dict[str, Any]]], None]:
    """Change the first line, or the last one; None takes a value away."""

    def change(lines: list[dict[str, Any]]) -> None:
        for name, value in values.items():
            if value is None:
                del lines[number][name]
            else:
                lines[number][name] = value

    return change


DEEP: Any = json.loads("[" * 101 + "]" * 101)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (in_row("initiatives", status="bogus"), ["initiatives.status", "must be one of"]),
        (in_row("initiatives", id=""), ["initiatives.id", "empty"]),
        (in_row("initiatives", id=7), ["initiatives.id", "takes text"]),
        (in_row("initiatives", name=None), ["initiatives.name", "null"]),
        (in_row("initiatives", name="\ud800"), ["initiatives.name", "surrogate"]),
        (in_row("initiatives", name="\0"), ["initiatives.name", "NUL"]),
        (in_row("initiatives", created_at="yesterday"), ["created_at", "ISO 8601"]),
        (in_row("initiatives", created_at=12), ["created_at", "ISO 8601"]),
        (in_row("initiatives", created_at="2026-01-01T00:00:00"), ["created_at"]),
        (in_row("initiatives", created_at="0001-01-01T00:00:00+00:00"), ["created_at"]),
        (in_row("initiatives", max_agents=0), ["max_agents", "at least 1"]),
        (in_row("initiatives", max_agents=True), ["max_agents", "integer"]),
        (in_row("initiatives", extra="x"), ["no row of initiatives"]),
        (without("initiatives", "name"), ["no row of initiatives"]),
        (in_row("pages", content=DEEP), ["pages.content", "levels"]),
        (in_row("pages", content=2**64), ["pages.content", "64 bits"]),
        (in_row("pages", content={"a": float("nan")}), ["no line of an export"]),
        (in_row("pages", initiative_id="nobody"), ["pages"]),
        (in_row("accounts", is_exhausted=1), ["is_exhausted", "bool"]),
        (in_row("accounts", credentials="other-secret"), ["accounts", "not the export's"]),
        (inserted({"table": "unknown", "row": {}}), ["line 3", "belongs"]),
        (inserted({"row": {}}), ["line 3", "belongs"]),
        (inserted({"table": [1]}), ["line 3", "belongs"]),
        (inserted({"sha256": "x"}), ["line 4", "belongs"]),
        (inserted([1]), ["line 3", "no line of an export"]),
        (in_line(-1, tables=None), ["does not say how many rows"]),
        (in_line(-1, tables={"pages": {"rows": 1}}), ["does not say how many rows"]),
        (in_line(0, format=2), ["format 2"]),
        (in_line(0, schema="0003"), ["schema '0003'"]),
        (in_line(0, format=None), ["no export of a store"]),
    ],
)
async def test_what_no_store_can_hold_is_refused_with_its_line(
    export: Path, tmp_path: Path, change: Callable[[list[dict[str, Any]]], None], words: list[str]
) -> None:
    written_anew(export, change)
    target = tmp_path / "new.db"
    if words == ["pages"]:  # a reference to nothing is seen by the database
        with pytest.raises(StoreError):
            await import_store(export, target)
        assert not any((await contents(str(target))).values())
    else:
        await refused(export, target, *words)


async def test_what_is_no_export_is_refused(tmp_path: Path, migrated_file: Path) -> None:
    target = tmp_path / "new.db"
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "text").write_text("hello\nworld\n")
    (tmp_path / "deep").write_text("[" * 100_000 + "\n")
    for name, reason in (
        ("missing", "No such file"),
        (".", "no file"),
        ("fifo", "no file"),
        ("text", "no export of a store"),
        ("deep", "no export of a store"),
        (str(migrated_file), "no export of a store|cut off"),
    ):
        with pytest.raises(StoreError, match=reason):
            await import_store(tmp_path / name, target)
    assert not target.exists()


async def test_an_export_of_another_schema_is_refused(export: Path, tmp_path: Path) -> None:
    written_anew(export, in_line(0, schema="9999"))
    with pytest.raises(SchemaError, match="'9999'"):
        await import_store(export, tmp_path / "new.db")


async def test_a_value_that_the_store_cannot_read_is_not_exported(tmp_path: Path) -> None:
    async with Store(tmp_path / "cw.db") as store:
        await add_page(store, content=1)
        async with store.unit_of_work() as uow:
            await uow.session.execute(text("UPDATE pages SET content = '[NaN'"))
        with pytest.raises(StoreError, match="pages cannot be"):
            await store.export(tmp_path / "export.jsonl")
    assert not list(tmp_path.glob("export*"))


# Kills and full disks: real ones.

PAUSES = """
import asyncio, signal, sys
from cw_store import Store, import_store

def pause(table, done, total):
    if table == "agent_log_chunks" and done:
        print("half", flush=True)
        signal.pause()

async def main(verb, place, file):
    if verb == "import":
        await import_store(file, place, on_progress=pause)
    async with Store(place) as store:
        await store.export(file, on_progress=pause)

asyncio.run(main(*sys.argv[1:]))
"""


async def killed(verb: str, place: str, file: Path) -> None:
    def run() -> int:
        with start_program(PAUSES, verb, place, file, cwd=file.parent) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "half\n"
            process.kill()
        return process.returncode

    assert await asyncio.to_thread(run) == -signal.SIGKILL


async def test_a_killed_import_leaves_nothing(export: Path, new_target: Fresh) -> None:
    target = new_target()
    await killed("import", target, export)
    assert not any((await contents(target)).values())
    await import_store(export, target)


async def test_a_killed_export_leaves_no_file(database: str, tmp_path: Path) -> None:
    if database == ":memory:":
        pytest.skip("it ends with the process")
    path = tmp_path / "export.jsonl"
    async with Store(database) as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, 2_000)
        await killed("export", database, path)
        assert not path.exists()
        await store.export(path)
        assert os.listdir(tmp_path) == ["export.jsonl"]


FULL_DISK = """
import asyncio, sys
from cw_store import Store, StoreError, import_store

async def main(verb, place, file):
    try:
        if verb == "import":
            await import_store(file, place)
        else:
            async with Store(place) as store:
                await store.export(file)
    except StoreError as error:
        print("refused:", error)
    else:
        print("stored")

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("verb", ["export", "import"])
async def test_a_full_disk_leaves_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, verb: str
) -> None:
    source, file = tmp_path / "cw.db", tmp_path / "export.jsonl"
    async with Store(source) as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, 10_000)
        await store.export(file)
    disk = tmp_path_factory.mktemp("disk")
    arguments = (source, disk / "new.jsonl") if verb == "export" else (disk / "cw.db", file)
    told = await asyncio.to_thread(on_a_full_disk, FULL_DISK, verb, *arguments, folder=disk)
    said, *left = told.splitlines()
    assert said.startswith("refused:")
    assert not left or left == ["cw.db"]
