"""PostgreSQL as others run it: roles with settings, poolers, standbys, encodings."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from cw_store import (
    ReadOnlyError,
    SchemaBehindError,
    SchemaError,
    Store,
    StoreBusyError,
    StoreError,
    UnitOfWork,
    copy_store,
    ensure_schema,
)
from cw_store.backends.postgres.notifications import LOOK_SECONDS
from cw_store.testing.postgres_server import PostgresServer
from waits import until, until_idle
from watcher import watching

driver = cast(Any, asyncpg)


async def run_sql(url: str, *statements: str) -> None:
    connection = await driver.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def as_role(url: str, role: str) -> str:
    return make_url(url).set(username=role).render_as_string(hide_password=False)


# Roles.

DEFAULTS = (
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "default_transaction_deferrable = on",
    "standard_conforming_strings = off",
    "client_encoding = 'LATIN1'",
    "TimeZone = 'Asia/Kathmandu'",
    "DateStyle = 'German, DMY'",
    "bytea_output = 'escape'",
    "extra_float_digits = -15",
    "lock_timeout = 1",
    "search_path = 'nowhere', 'public'",
)


async def test_defaults_of_a_role_change_nothing(url: str) -> None:
    role = make_url(url).database
    await run_sql(
        url,
        f'CREATE ROLE "{role}" LOGIN SUPERUSER',
        *(f'ALTER ROLE "{role}" SET {default}' for default in DEFAULTS),
    )
    show = sa.text("SELECT current_setting('default_transaction_isolation')")
    async with Store(as_role(url, str(role))) as store:
        initiative = await store.initiatives.create(name=r"a\'b ü €")
        phase = await store.phases.create(
            initiative_id=initiative.id, name="n", content={"x": [1.1, 1e300, "\\u0041ü€"]}
        )
        assert await store.phases.find_by_id(phase.id) == phase
        async with store.unit_of_work() as uow:
            assert await uow.session.scalar(show) == "read committed"
        task = await store.tasks.create(name="counted")
        await asyncio.gather(*(store.tasks.increment_retry_count(task.id) for _ in range(40)))
        found = await store.tasks.find_by_id(task.id)
        assert found is not None and found.retry_count == 40
    await run_sql(url, f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')


async def test_a_right_that_is_missing_is_not_called_busy(url: str) -> None:
    role = make_url(url).database
    await ensure_schema(url)
    await run_sql(url, f'CREATE ROLE "{role}" LOGIN', f'GRANT SELECT ON initiatives TO "{role}"')
    try:
        with pytest.raises(StoreError, match="lacks a right") as raised:
            await Store.open(as_role(url, str(role)))
        assert not isinstance(raised.value, StoreBusyError)
        await run_sql(url, f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{role}"')
        async with Store(as_role(url, str(role))) as store:
            assert await store.initiatives.find_all() == []
            with pytest.raises(ReadOnlyError, match="its role has the right to write to none"):
                await store.initiatives.create(name="x")
    finally:
        await run_sql(url, f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')


async def test_a_database_or_name_that_is_not_there_is_not_called_busy(url: str) -> None:
    gone = make_url(url).set(database="nowhere").render_as_string(hide_password=False)
    for wrong in (gone, "postgresql://no-such-host.invalid/db"):
        with pytest.raises(StoreError) as raised:
            await Store.open(wrong, busy_timeout=5)
        if isinstance(raised.value, StoreBusyError):  # a name server that is not there may be
            assert "invalid" in wrong


async def test_settings_in_the_url_are_made_on_every_connection(url: str) -> None:
    options = "&application_name=mine&options=-cwork_mem%3D3MB%20--x.y%3Da%5C%20b"
    show = sa.text(
        "SELECT current_setting('application_name'), current_setting('work_mem'), "
        "current_setting('x.y')"
    )
    async with Store(url + options) as store, store.unit_of_work() as uow:
        assert tuple((await uow.session.execute(show)).one()) == ("mine", "3MB", "a b")


async def test_hosts_are_tried_until_one_answers(url: str) -> None:
    parsed = make_url(url)
    host, port = parsed.query.get("host", parsed.host), parsed.query.get("port", "5432")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # lets in, and says nothing
        listed = f"/nonexistent,127.0.0.1,{host}"
        ports = f"1,{silent.getsockname()[1]},{port}"
        there = f"postgresql://postgres@/{parsed.database}?host={listed}&port={ports}"
        for more in (
            "",
            "&target_session_attrs=read-write",
            "&target_session_attrs=prefer-standby",
        ):
            async with Store(f"{there}&sslmode=disable&connect_timeout=1{more}") as store:
                assert await store.initiatives.find_all() == []


# Encodings.


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_an_encoding_that_cannot_hold_every_text_is_refused(
    url: str, encoding: str, tmp_path: Path
) -> None:
    name = f"{make_url(url).database}_{encoding.lower()}"
    create = f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    try:
        await run_sql(url, create)
    except driver.PostgresError:
        await run_sql(url, f"{create} LOCALE_PROVIDER libc")
    there = make_url(url).set(database=name).render_as_string(hide_password=False)
    await ensure_schema(tmp_path / "cw.db")
    for attempt in (Store.open(there), ensure_schema(there), copy_store(tmp_path / "cw.db", there)):
        with pytest.raises(SchemaError, match=encoding):
            await attempt
    await run_sql(url, f"DROP DATABASE {name} WITH (FORCE)")


# A pooler.


@contextmanager
def pooler(url: str, mode: str) -> Generator[str]:
    """PgBouncer in front of the server; the URL that leads through it."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not os.access(program, os.X_OK):
        pytest.skip("needs pgbouncer")
    behind = make_url(url)
    host = str(behind.query.get("host", behind.host))
    if not host.startswith("/"):
        pytest.skip("the server has no socket")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not below a test's own, into which only this user may look: PgBouncer is not run by root.
    folder = Path(tempfile.mkdtemp(prefix="cw-store-pooler-"))
    folder.chmod(0o755)
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n{behind.database} = host={host} port={behind.query.get('port', 5432)} "
        f"user=postgres\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n"
        f"unix_socket_dir=\nauth_type=trust\nauth_file={folder}/users\npool_mode={mode}\n"
    )
    user = Path(host).stat().st_uid if os.geteuid() == 0 else None
    process = subprocess.Popen(
        [program, folder / "ini"],
        user=user,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 0.1).close()
                break
            except OSError:
                continue
        assert process.poll() is None, "PgBouncer did not start"
        yield f"postgresql://postgres@127.0.0.1:{port}/{behind.database}?sslmode=disable"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        shutil.rmtree(folder)


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
async def test_a_pooler_that_keeps_sessions_is_used_and_another_refused(
    url: str, mode: str
) -> None:
    with pooler(url, mode) as through:
        if mode == "session":
            for _ in range(2):
                async with Store(through + "&options=-cwork_mem%3D3MB", pool_size=3) as store:
                    await asyncio.gather(*(store.initiatives.create(name="x") for _ in range(20)))
            assert len(await _names(url)) == 40
        else:
            asking = Store(through, wakeups="poll", migrate=False)
            for attempt in (Store.open(through), asking.__aenter__(), ensure_schema(through)):
                with pytest.raises(StoreError, match="pool_mode=session") as raised:
                    await attempt
                assert not isinstance(raised.value, StoreBusyError)


async def test_through_a_pooler_that_keeps_sessions_one_is_told_of_what_others_commit(
    url: str,
) -> None:
    with pooler(url, "session") as through:
        async with Store(through) as store, Store(url) as other:
            with watching(store) as watcher:
                await until(lambda: watcher.count >= 1)
                await until_idle()
                told = watcher.count
                await other.initiatives.create(name="x")
                await until(lambda: watcher.count > told, LOOK_SECONDS - 2)


async def _names(url: str) -> list[str]:
    async with Store(url) as store:
        return [initiative.name for initiative in await store.initiatives.find_all()]


async def test_a_schema_of_any_name_and_place_in_the_search_path_holds_a_store(
    url: str, tmp_path: Path
) -> None:
    await run_sql(url, 'CREATE SCHEMA "My schema"', "CREATE SCHEMA first")
    alone, behind = (
        make_url(url)
        .update_query_dict({"options": f"-csearch_path={path}"})
        .render_as_string(hide_password=False)
        for path in (r'"My\ schema"', r'first,"My\ schema"')
    )
    async with Store(alone) as store:
        await store.initiatives.create(name="x")
    await run_sql(alone, "ALTER TABLE initiatives ADD own text")
    for place in (alone, behind):
        async with Store(place) as store:
            assert len(await store.initiatives.find_all()) == 1
        report = await copy_store(place, tmp_path / f"{len(place)}.db")
        assert "initiatives.own" in report.left_behind


# A standby.


async def test_a_standby_is_read_and_refuses_to_be_written(
    url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    if not postgres_server.owned:
        pytest.skip("the server is not ours to be copied")
    other = postgres_server.create_database()
    async with Store(url) as primary:
        await primary.initiatives.create(name="on the primary")
    with postgres_server.standby() as host:
        there = make_url(url).update_query_dict({"host": host})
        async with Store(there.render_as_string(hide_password=False)) as store:
            async with store.unit_of_work(read_only=True) as uow:
                assert [i.name for i in await uow.initiatives.find_all()] == ["on the primary"]
            async with store.unit_of_work() as uow:
                assert len(await uow.initiatives.find_all()) == 1
            assert uow.committed
            assert len(await store.initiatives.find_all()) == 1
            calls = 0

            async def work(uow: UnitOfWork) -> None:
                nonlocal calls
                calls += 1
                await uow.initiatives.create(name="x")

            with pytest.raises(ReadOnlyError):
                await store.run(work)
            assert calls == 1
            with pytest.raises(ReadOnlyError):
                await store.initiatives.create(name="x")
            assert store.connections_in_use == 0
        shown = there.render_as_string(hide_password=False)
        await copy_store(shown, tmp_path / "copy.db")
        with pytest.raises(ReadOnlyError, match="standby"):
            await copy_store(url, shown)
        empty = there.set(database=make_url(other).database)
        with pytest.raises(SchemaBehindError):
            await Store.open(empty.render_as_string(hide_password=False))
    postgres_server.drop_database(other)
