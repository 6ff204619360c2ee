"""What whoever runs the program sees of the store: loggers, threads, what a task waits for."""

import ast
import asyncio
import re
import threading
from pathlib import Path

import cw_store
from cw_store import Store
from waits import is_of_the_loop

SOURCES = sorted(Path(cw_store.__file__).parent.rglob("*.py"))


def test_every_module_that_logs_has_a_logger_of_its_own_name() -> None:
    loggers = 0
    for path in SOURCES:
        if path.parent.name == "cli" or path.name == "public.py":
            continue  # which shows what the others log; and which has nobody else show it
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr="getLogger"), args=arguments):
                    assert [ast.unparse(argument) for argument in arguments] == ["__name__"], path
                    loggers += 1
                case ast.Import(names=[ast.alias(name="warnings" | "traceback")]):
                    raise AssertionError(f"{path} tells in another way than by its logger")
                case _:
                    pass
    assert loggers > 5


async def test_threads_of_connections_are_named_after_the_store_and_what_they_do(
    tmp_path: Path,
) -> None:
    before = set(threading.enumerate())
    async with Store(tmp_path / "cw.db") as store:
        await asyncio.gather(*(store.tasks.find_all() for _ in range(20)))
        begun = set(threading.enumerate()) - before
    names = {thread.name for thread in begun if not is_of_the_loop(thread)}
    assert names and all(name.startswith("cw_store") for name in names), names
    assert any("writer" in name for name in names) and any("reader" in name for name in names)


async def waiting_for(task: asyncio.Task[object]) -> str:
    """Return what asyncio tells of a task that waits, once it does."""
    while True:
        await asyncio.sleep(0)
        if (found := re.search(r"wait_for=(<.*>)>$", repr(task))) is not None:
            return found[1]


async def create_in_a_unit(store: Store) -> None:
    async with store.unit_of_work(label="second") as uow:
        await uow.tasks.create(name="Write it")


async def read_in_a_unit(store: Store) -> None:
    async with store.unit_of_work(read_only=True) as uow:
        await uow.tasks.find_all()


async def test_a_task_that_waits_for_its_turn_shows_for_what_and_behind_whom(
    tmp_path: Path,
) -> None:
    async with Store(tmp_path / "cw.db") as store:
        async with store.unit_of_work(label="first") as uow:
            await uow.tasks.create(name="Draw it")
            call = asyncio.create_task(store.tasks.create(name="Write it"))
            unit = asyncio.create_task(create_in_a_unit(store))
            for task in (call, unit):
                told = await waiting_for(task)
                assert "writer's turn" in told and "'first'" in told
            assert "'second'" in await waiting_for(unit)
        await asyncio.gather(call, unit)


async def test_a_task_that_waits_to_read_shows_how_many_read(tmp_path: Path) -> None:
    async with Store(tmp_path / "cw.db", readers=1) as store:
        async with store.unit_of_work(read_only=True) as uow:
            await uow.tasks.find_all()
            call = asyncio.create_task(store.tasks.find_all())
            unit = asyncio.create_task(read_in_a_unit(store))
            for task in (call, unit):
                assert "waits for a connection that reads" in await waiting_for(task)
        await asyncio.gather(call, unit)
