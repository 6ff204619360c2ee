"""What a unit of work promises, on every database alike."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from builders import add_initiative, add_phase, add_task
from cw_store import (
    AlreadyExistsError,
    BrokenReferenceError,
    DependencyCycleError,
    Initiative,
    InvalidValueError,
    NotFoundError,
    ReadOnlyError,
    StaleStateError,
    Store,
    StoreError,
    UnitOfWork,
    UnitOfWorkError,
    schema,
)
from waits import until_idle


class Failure(Exception):
    """What a test raises inside a block."""


class Base(DeclarativeBase):
    """The application's own tables."""


class Note(Base):
    __tablename__ = "application_notes"

    id: Mapped[str] = mapped_column(primary_key=True)
    initiative_id: Mapped[str | None] = mapped_column(sa.ForeignKey(schema.initiatives.c.id))
    text: Mapped[str]


NOTES = Base.metadata.tables["application_notes"]


@pytest.fixture
async def notes(store: Store) -> AsyncIterator[None]:
    """The application's own table, in the store's database."""
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.schema.CreateTable(NOTES))
    yield
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.schema.DropTable(NOTES))


async def names(store: Store) -> list[str]:
    """What another unit of work, begun now, sees."""
    async with store.unit_of_work(read_only=True) as uow:
        return [initiative.name for initiative in await uow.initiatives.find_all()]


# Commit and roll back.


async def test_a_clean_exit_commits(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")
        assert uow.committed is None
        assert await names(store) == []
    assert uow.committed is True
    assert await names(store) == ["a"]


async def test_the_same_unit_of_work_can_be_written_with_its_class(store: Store) -> None:
    async with UnitOfWork(store, label="written out") as uow:
        await uow.initiatives.create(name="a")
    async with UnitOfWork(store, read_only=True) as uow:
        assert len(await uow.initiatives.find_all()) == 1


async def test_an_exception_rolls_back_and_passes(store: Store) -> None:
    uow = store.unit_of_work()
    with pytest.raises(Failure):
        async with uow:
            await uow.initiatives.create(name="a")
            raise Failure
    assert uow.committed is False
    assert await names(store) == []


async def test_a_cancellation_rolls_back(store: Store) -> None:
    written = asyncio.Event()
    uow = store.unit_of_work()

    async def work() -> None:
        async with uow:
            await uow.initiatives.create(name="a")
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert uow.committed is False
    assert await names(store) == []
    assert store.connections_in_use == 0


async def test_whenever_it_is_cancelled_all_or_nothing_is_stored(store: Store) -> None:
    for steps in range(0, 60, 3):
        uow = store.unit_of_work()
        task = asyncio.create_task(_write_two(uow))
        for _ in range(steps):
            if not task.done():
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(10):
            stored = await store.phases.find_by_status("pending")
            assert len(stored) in (0, 2)
            if uow.committed is not None:
                assert uow.committed is (len(stored) == 2)
            for phase in stored:
                await store.phases.delete(phase.id)
        assert store.connections_in_use == 0


async def _write_two(uow: UnitOfWork) -> None:
    async with uow:
        phase = await add_phase(uow)
        await uow.phases.create(initiative_id=phase.initiative_id, name="second")
        await uow.phases.find_by_status("pending")


async def test_a_unit_of_work_that_did_nothing_counts_as_committed(store: Store) -> None:
    async with store.unit_of_work() as uow:
        pass
    assert uow.committed is True


async def test_commit_inside_keeps_what_was_done_and_begins_anew(store: Store) -> None:
    uow = store.unit_of_work()
    with pytest.raises(Failure):
        async with uow:
            await uow.initiatives.create(name="kept")
            await uow.commit()
            assert await names(store) == ["kept"]
            assert uow.committed is None
            await uow.initiatives.create(name="lost")
            raise Failure
    assert uow.committed is False
    assert await names(store) == ["kept"]


async def test_rollback_inside_undoes_and_begins_anew(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="lost")
        await uow.rollback()
        assert await uow.initiatives.find_all() == []
        await uow.initiatives.create(name="kept")
    assert uow.committed is True
    assert await names(store) == ["kept"]


async def test_commit_lets_others_write(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")
        await uow.commit()
        async with asyncio.timeout(10):
            await add_initiative(store, name="b")
        assert [one.name for one in await uow.initiatives.find_all()] == ["a", "b"]


async def test_commit_and_rollback_without_a_statement_do_nothing(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.commit()
        await uow.rollback()
        await uow.commit()
    assert uow.committed is True


async def test_records_are_good_after_the_block(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await uow.initiatives.create(name="a")
    assert initiative.name == "a"
    assert initiative == await store.initiatives.find_by_id(initiative.id)


# Before the beginning and after the end.

USES: dict[str, Callable[[UnitOfWork], Awaitable[Any]]] = {
    "read": lambda uow: uow.initiatives.find_all(),
    "write": lambda uow: uow.initiatives.create(name="a"),
    "write many": lambda uow: uow.tasks.create_many([{"name": "a"}]),
    "write with a check": lambda uow: uow.tasks.create_dependency("a", "b"),
    "commit": lambda uow: uow.commit(),
    "rollback": lambda uow: uow.rollback(),
    "savepoint": lambda uow: uow.savepoint().__aenter__(),
    "session": lambda uow: uow.session.execute(sa.text("SELECT 1")),
}


async def test_use_before_the_beginning_is_refused(store: Store) -> None:
    for use in USES.values():
        with pytest.raises(UnitOfWorkError, match="has not begun"):
            await use(store.unit_of_work())


@pytest.mark.parametrize("read_only", [False, True])
async def test_use_after_the_end_is_refused(store: Store, read_only: bool) -> None:
    async with store.unit_of_work(read_only=read_only) as uow:
        await uow.initiatives.find_all()
    for use in USES.values():
        with pytest.raises(UnitOfWorkError, match="has ended"):
            await use(uow)


async def test_a_unit_of_work_begins_once(store: Store) -> None:
    async with store.unit_of_work() as uow:
        with pytest.raises(UnitOfWorkError, match="used once"):
            await uow.__aenter__()
    with pytest.raises(UnitOfWorkError, match="used once"):
        await uow.__aenter__()


async def test_a_session_kept_after_the_end_reaches_no_database(store: Store) -> None:
    async with store.unit_of_work() as uow:
        session = uow.session
        await session.execute(sa.text("SELECT 1"))
    with pytest.raises(StoreError):
        await session.execute(sa.insert(schema.projects).values(id="p", name="p", url="u"))
    await session.close()


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_task_left_behind_by_the_block_is_refused(store: Store, read_only: bool) -> None:
    async with store.unit_of_work(read_only=read_only) as uow:
        await uow.initiatives.find_all()
        late = asyncio.create_task(uow.initiatives.find_all())
    async with asyncio.timeout(10):
        try:
            await late
        except UnitOfWorkError:
            pass
        await add_initiative(store)
    assert store.connections_in_use == 0


# Which errors spend a unit of work.

Attempt: TypeAlias = Callable[[UnitOfWork], Awaitable[None]]


async def already_exists(uow: UnitOfWork) -> None:
    await uow.initiatives.create(id="there", name="again")


async def already_exists_in_bulk(uow: UnitOfWork) -> None:
    await uow.tasks.create_many([{"id": "one", "name": "a"}, {"id": "one", "name": "b"}])


async def broken_reference(uow: UnitOfWork) -> None:
    await uow.phases.create(initiative_id="nowhere", name="a")


async def invalid_value(uow: UnitOfWork) -> None:
    await uow.initiatives.create(name="a\0b")


async def dependency_cycle(uow: UnitOfWork) -> None:
    await uow.tasks.create_dependency("task", "task")


async def not_found(uow: UnitOfWork) -> None:
    await uow.initiatives.update("nowhere", name="a")


async def not_found_to_delete(uow: UnitOfWork) -> None:
    await uow.initiatives.delete("nowhere")


async def stale_state(uow: UnitOfWork) -> None:
    await uow.change_sets.mark_reverted("reverted")


async def unknown_keyword(uow: UnitOfWork) -> None:
    await uow.initiatives.update("there", nonsense=1)  # pyright: ignore[reportCallIssue] -- on purpose


SPENDING: dict[Attempt, type[StoreError]] = {
    already_exists: AlreadyExistsError,
    already_exists_in_bulk: AlreadyExistsError,
    broken_reference: BrokenReferenceError,
}
HARMLESS: dict[Attempt, type[Exception]] = {
    invalid_value: InvalidValueError,
    dependency_cycle: DependencyCycleError,
    not_found: NotFoundError,
    not_found_to_delete: NotFoundError,
    stale_state: StaleStateError,
    unknown_keyword: TypeError,
}


@pytest.fixture
async def rows(store: Store) -> None:
    """What the attempts above run into."""
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(id="there", name="there")
        await uow.tasks.create(id="task", name="task")
        await uow.change_sets.create(
            id="reverted", initiative_id="there", agent_name="a", mode="plan"
        )
        await uow.change_sets.mark_reverted("reverted")


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("attempt", SPENDING)
async def test_a_refused_statement_spends_the_unit(store: Store, attempt: Attempt) -> None:
    uow = store.unit_of_work()
    refused: StoreError | None = None
    with pytest.raises(UnitOfWorkError, match="rolled back") as raised:
        async with uow:
            await uow.initiatives.create(name="lost")
            try:
                await attempt(uow)
            except SPENDING[attempt] as error:
                refused = error
            for use in USES:
                if use != "rollback":
                    with pytest.raises(UnitOfWorkError, match="spent"):
                        await USES[use](uow)
    assert refused is not None and refused.__cause__ is not None
    assert raised.value.__cause__ is refused
    assert uow.committed is False
    assert await names(store) == ["there"]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("attempt", SPENDING)
async def test_the_error_that_spends_it_passes_when_it_is_not_caught(
    store: Store, attempt: Attempt
) -> None:
    uow = store.unit_of_work()
    with pytest.raises(SPENDING[attempt]):
        async with uow:
            await attempt(uow)
    assert uow.committed is False


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("attempt", SPENDING)
async def test_rollback_makes_a_spent_unit_good_again(store: Store, attempt: Attempt) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="lost")
        with pytest.raises(SPENDING[attempt]):
            await attempt(uow)
        await uow.rollback()
        await uow.initiatives.create(name="kept")
    assert await names(store) == ["there", "kept"]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("attempt", HARMLESS)
async def test_what_never_reached_the_database_spends_nothing(
    store: Store, attempt: Attempt
) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="before")
        with pytest.raises(HARMLESS[attempt]):
            await attempt(uow)
        await uow.initiatives.create(name="after")
    assert uow.committed is True
    assert await names(store) == ["there", "before", "after"]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("attempt", SPENDING)
async def test_what_is_refused_in_a_savepoint_spends_only_that(
    store: Store, attempt: Attempt
) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="before")
        with pytest.raises(SPENDING[attempt]):
            async with uow.savepoint():
                await uow.initiatives.create(name="within")
                await attempt(uow)
        await uow.initiatives.create(name="after")
    assert await names(store) == ["there", "before", "after"]


@pytest.mark.usefixtures("rows")
async def test_a_savepoint_left_as_if_nothing_was_refused_is_undone(store: Store) -> None:
    async with store.unit_of_work() as uow:
        with pytest.raises(UnitOfWorkError, match="savepoint is rolled back") as raised:
            async with uow.savepoint():
                await uow.initiatives.create(name="within")
                with pytest.raises(AlreadyExistsError):
                    await already_exists(uow)
                with pytest.raises(UnitOfWorkError, match="spent"):
                    await uow.initiatives.find_all()
        assert isinstance(raised.value.__cause__, AlreadyExistsError)
        await uow.initiatives.create(name="after")
    assert await names(store) == ["there", "after"]


# Reading only.


async def test_a_reading_unit_sees_one_snapshot(store: Store) -> None:
    first = await add_initiative(store, name="first")
    async with store.unit_of_work(read_only=True) as uow:
        assert await uow.initiatives.find_all() == [first]
        await add_initiative(store, name="second")
        await store.initiatives.update(first.id, name="renamed")
        assert await uow.initiatives.find_all() == [first]
        assert await uow.initiatives.find_by_id(first.id) == first
    assert uow.committed is True
    assert await names(store) == ["renamed", "second"]


async def test_a_reading_unit_takes_a_new_snapshot_after_commit_or_rollback(store: Store) -> None:
    async with store.unit_of_work(read_only=True) as uow:
        for expected, end in ((0, uow.commit), (1, uow.rollback), (2, uow.commit)):
            assert len(await uow.initiatives.find_all()) == expected
            await add_initiative(store)
            assert len(await uow.initiatives.find_all()) == expected
            await end()


async def test_a_reading_unit_never_waits_for_a_writer(store: Store) -> None:
    async with store.unit_of_work() as writer:
        await writer.initiatives.create(name="not yet")
        async with asyncio.timeout(10), store.unit_of_work(read_only=True) as reader:
            assert await reader.initiatives.find_all() == []


WRITES: dict[str, Callable[[UnitOfWork], Awaitable[Any]]] = {
    "create": lambda uow: uow.initiatives.create(name="a"),
    "create_many": lambda uow: uow.tasks.create_many([{"name": "a"}]),
    "update": lambda uow: uow.initiatives.update("there", name="a"),
    "delete": lambda uow: uow.initiatives.delete("there"),
    "claim": lambda uow: uow.accounts.find_next_available(),
    "compound": lambda uow: uow.tasks.create_dependency("a", "b"),
}


@pytest.mark.usefixtures("rows")
async def test_a_reading_unit_refuses_to_write_and_goes_on(store: Store) -> None:
    await store.accounts.create(email="ada@example.org")
    async with store.unit_of_work(read_only=True) as uow:
        for write in WRITES.values():
            with pytest.raises(ReadOnlyError):
                await write(uow)
            assert len(await uow.initiatives.find_all()) == 1
    assert uow.committed is True
    assert await names(store) == ["there"]


async def test_a_reading_units_session_refuses_to_write(store: Store) -> None:
    await add_initiative(store)
    with pytest.raises(ReadOnlyError):
        async with store.unit_of_work(read_only=True) as uow:
            await uow.session.execute(sa.delete(schema.initiatives))
    assert len(await names(store)) == 1


# Several tasks on one unit of work.


async def test_calls_from_several_tasks_run_one_after_another(store: Store) -> None:
    async with store.unit_of_work() as uow:
        created = await asyncio.gather(
            *(uow.initiatives.create(name=f"{number}") for number in range(20))
        )
        found = await asyncio.gather(*(uow.initiatives.find_by_id(one.id) for one in created))
        assert found == created
    assert sorted(await names(store)) == sorted(f"{number}" for number in range(20))


async def test_a_commit_among_calls_from_several_tasks_takes_its_place(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.text("SELECT 1"))
        await asyncio.gather(
            uow.initiatives.create(name="a"),
            uow.commit(),
            uow.initiatives.create(name="b"),
            uow.initiatives.create(name="c"),
        )
    assert sorted(await names(store)) == ["a", "b", "c"]


async def test_a_compound_call_is_not_interrupted_by_other_tasks(store: Store) -> None:
    tasks = [await add_task(store) for _ in range(6)]
    async with store.unit_of_work() as uow:
        outcomes = await asyncio.gather(
            *(
                uow.tasks.create_dependency(one.id, other.id)
                for one in tasks
                for other in tasks
                if one is not other
            ),
            return_exceptions=True,
        )
        stored = [edge for edge in outcomes if not isinstance(edge, BaseException)]
        refused = [error for error in outcomes if isinstance(error, BaseException)]
        assert all(isinstance(error, DependencyCycleError) for error in refused)
        assert len(stored) == len(refused) == 15


# The session.


async def test_the_session_and_the_repositories_see_each_others_rows(store: Store) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    async with store.unit_of_work() as uow:
        assert isinstance(uow.session, AsyncSession)
        assert uow.session is uow.session
        await uow.initiatives.create(id="a", name="of the repository")
        selected = await uow.session.execute(sa.select(schema.initiatives.c.name))
        assert selected.scalars().all() == ["of the repository"]
        await uow.session.execute(
            sa.insert(schema.initiatives).values(id="b", name="b", created_at=now, updated_at=now)
        )
        found = await uow.initiatives.find_by_id("b")
        assert found == Initiative(
            id="b",
            name="b",
            status="active",
            branch=None,
            max_agents=None,
            dispatch_turn=None,
            created_at=now,
            updated_at=now,
        )
        assert len(await names(store)) == 0
    assert len(await names(store)) == 2


async def test_the_session_is_rolled_back_with_the_unit(store: Store, notes: None) -> None:
    with pytest.raises(Failure):
        async with store.unit_of_work() as uow:
            await uow.session.execute(sa.insert(NOTES).values(id="lost", text=""))
            raise Failure
    async with store.unit_of_work(read_only=True) as uow:
        assert (await uow.session.execute(sa.select(NOTES))).all() == []


async def test_session_commit_is_the_units_commit(store: Store) -> None:
    with pytest.raises(Failure):
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="kept")
            await uow.session.execute(sa.text("SELECT 1"))
            await uow.session.commit()
            assert await names(store) == ["kept"]
            await uow.initiatives.create(name="lost")
            raise Failure
    assert await names(store) == ["kept"]


async def test_session_rollback_is_the_units_rollback(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="lost")
        await uow.session.execute(sa.text("SELECT 1"))
        await uow.session.rollback()
        await uow.initiatives.create(name="kept")
    assert await names(store) == ["kept"]


async def test_the_units_commit_and_rollback_are_the_sessions(store: Store, notes: None) -> None:
    async with store.unit_of_work() as uow:
        uow.session.add(Note(id="kept", text=""))
        await uow.commit()
        uow.session.add(Note(id="lost", text=""))
        await uow.session.flush()
        await uow.rollback()
    async with store.unit_of_work() as uow:
        assert (await uow.session.execute(sa.select(Note.id))).scalars().all() == ["kept"]


async def test_objects_of_the_session_are_flushed_before_a_repositorys_call(
    store: Store, notes: None
) -> None:
    async with store.unit_of_work() as uow:
        initiative = await uow.initiatives.create(name="a")
        uow.session.add(Note(id="n", initiative_id=initiative.id, text="keeps it"))
        with pytest.raises(BrokenReferenceError):
            async with uow.savepoint():
                await uow.initiatives.delete(initiative.id)
    assert len(await names(store)) == 1


async def test_objects_of_the_session_are_stored_at_the_end(store: Store, notes: None) -> None:
    async with store.unit_of_work() as uow:
        uow.session.add(Note(id="n", text="first"))
    assert uow.committed is True
    async with store.unit_of_work() as uow:
        note = await uow.session.get_one(Note, "n")
        note.text = "second"
    async with store.unit_of_work(read_only=True) as uow:
        assert (await uow.session.get_one(Note, "n")).text == "second"


async def test_the_session_runs_a_statement_for_each_of_many_rows(
    store: Store, notes: None
) -> None:
    async with store.unit_of_work() as uow:
        rows = [{"id": f"{n}", "text": f"note {n}"} for n in range(3)]
        await uow.session.execute(sa.insert(NOTES), rows)
        stored = await uow.session.execute(sa.select(NOTES.c.id, NOTES.c.text).order_by("id"))
        assert [(row["id"], row["text"]) for row in rows] == [tuple(row) for row in stored]
        stream = await uow.session.stream_scalars(sa.select(NOTES.c.id).order_by("id"))
        assert [one async for one in stream.yield_per(2)] == ["0", "1", "2"]


async def test_what_the_database_refuses_of_the_session_spends_the_unit(
    store: Store, notes: None
) -> None:
    uow = store.unit_of_work()
    with pytest.raises(UnitOfWorkError, match="rolled back"):
        async with uow:
            await uow.initiatives.create(name="lost")
            with pytest.raises(IntegrityError):
                for _ in range(2):
                    await uow.session.execute(sa.insert(NOTES).values(id="n", text=""))
            with pytest.raises(UnitOfWorkError, match="spent"):
                await uow.initiatives.create(name="lost too")
    assert uow.committed is False
    assert await names(store) == []


async def test_a_flush_that_fails_spends_the_unit(store: Store, notes: None) -> None:
    uow = store.unit_of_work()
    with pytest.raises(UnitOfWorkError, match="rolled back"):
        async with uow:
            await uow.initiatives.create(name="lost")
            uow.session.add(Note(id="n", initiative_id="nowhere", text=""))
            with pytest.raises(IntegrityError):
                await uow.session.flush()
            with pytest.raises(UnitOfWorkError, match="spent"):
                await uow.initiatives.create(name="lost too")
    assert uow.committed is False
    assert await names(store) == []


async def test_a_repositorys_call_that_flushes_raises_no_error_of_sqlalchemy(
    store: Store, notes: None
) -> None:
    uow = store.unit_of_work()
    with pytest.raises(StoreError):
        async with uow:
            uow.session.add(Note(id="n", initiative_id="nowhere", text=""))
            await uow.initiatives.find_all()
    assert uow.committed is False


async def test_the_session_has_savepoints_of_its_own(store: Store, notes: None) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="before")
        with pytest.raises(IntegrityError):
            async with uow.session.begin_nested():
                uow.session.add(Note(id="n", initiative_id="nowhere", text=""))
        await uow.initiatives.create(name="after")
    assert await names(store) == ["before", "after"]


async def test_a_savepoint_undoes_what_the_session_did_in_it(store: Store, notes: None) -> None:
    async with store.unit_of_work() as uow:
        with pytest.raises(Failure):
            async with uow.savepoint():
                await uow.session.execute(sa.insert(NOTES).values(id="n", text=""))
                raise Failure
        found = await uow.session.execute(sa.select(sa.func.count()).select_from(NOTES))
        assert found.scalar_one() == 0


async def test_a_savepoint_and_a_session_in_use_do_not_wait_for_each_other(
    store: Store, notes: None
) -> None:
    async with store.unit_of_work() as uow:
        set_it, may_fail = asyncio.Event(), asyncio.Event()
        session = uow.session

        async def fail() -> None:
            with pytest.raises(Failure):
                async with uow.savepoint():
                    await uow.initiatives.create(name="undone")
                    set_it.set()
                    await may_fail.wait()
                    await uow.initiatives.create(name="undone")
                    raise Failure

        async def create() -> None:
            await set_it.wait()
            session.add(Note(id="added", text="b"))
            await uow.initiatives.create(name="kept")

        tasks = [asyncio.create_task(one()) for one in (fail, create)]
        await set_it.wait()
        await until_idle()
        may_fail.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)
    assert await names(store) == ["kept"]


async def test_a_flush_that_fails_in_a_savepoint_undoes_only_that(
    store: Store, notes: None
) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="before")
        with pytest.raises(IntegrityError):
            async with uow.savepoint():
                await uow.initiatives.create(name="lost")
                uow.session.add(Note(id="n", initiative_id="nowhere", text=""))
                await uow.session.flush()
        await uow.initiatives.create(name="after")
    assert await names(store) == ["before", "after"]


async def test_what_was_added_in_a_savepoint_is_refused_at_its_end(
    store: Store, notes: None
) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="before")
        with pytest.raises(StoreError):
            async with uow.savepoint():
                await uow.initiatives.create(name="lost")
                uow.session.add(Note(id="n", initiative_id="nowhere", text=""))
        await uow.initiatives.create(name="after")
    assert await names(store) == ["before", "after"]


async def test_after_a_flush_that_failed_others_can_write_at_once(
    store: Store, notes: None
) -> None:
    with pytest.raises(UnitOfWorkError, match="rolled back"):
        async with store.unit_of_work() as uow:
            uow.session.add(Note(id="n", initiative_id="nowhere", text=""))
            with pytest.raises(IntegrityError):
                await uow.session.flush()
            async with asyncio.timeout(10):
                await add_initiative(store, name="of another")
    assert await names(store) == ["of another"]


async def test_a_stream_left_open_holds_nothing_after_the_end(store: Store) -> None:
    for _ in range(3):
        await add_phase(store)
    for read_only in (True, False):
        async with store.unit_of_work(read_only=read_only) as uow:
            stream = await uow.session.stream(sa.select(schema.phases.c.id))
            await stream.fetchone()
        async with asyncio.timeout(10):
            await add_initiative(store)
        assert store.connections_in_use == 0


async def test_a_session_in_a_cancelled_unit_leaves_nothing_behind(store: Store) -> None:
    selected = asyncio.Event()

    async def work() -> None:
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="lost")
            await uow.session.execute(sa.text("SELECT 1"))
            selected.set()
            while True:
                await uow.session.execute(sa.select(schema.initiatives))

    task = asyncio.create_task(work())
    await selected.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        await add_initiative(store, name="next")
    assert await names(store) == ["next"]


async def test_closing_the_session_leaves_the_unit_as_it_is(store: Store, notes: None) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")
        async with uow.session as session:
            session.add(Note(id="flushed", text="a"))
            await session.flush()
            session.add(Note(id="forgotten", text="b"))
        await uow.initiatives.create(name="b")
        await uow.session.aclose()
        await uow.session.reset()
    assert uow.committed is True
    assert sorted(await names(store)) == ["a", "b"]
    async with store.unit_of_work(read_only=True) as uow:
        assert (await uow.session.scalars(sa.select(Note.id))).all() == ["flushed"]


@pytest.mark.parametrize("how", ["end", "commit"])
async def test_what_the_database_refuses_of_the_session_at_the_end_is_one_of_our_errors(
    store: Store, notes: None, how: str
) -> None:
    uow = store.unit_of_work()
    with pytest.raises(StoreError) as raised:
        async with uow:
            uow.session.add(Note(id="a", initiative_id="nowhere", text="a"))
            if how == "commit":
                await uow.commit()
    assert isinstance(raised.value.__cause__, IntegrityError)
    assert uow.committed is False
    assert store.connections_in_use == 0


@pytest.mark.parametrize("committed_before", [False, True])
async def test_a_unit_whose_store_was_closed_is_not_committed(
    database: str, committed_before: bool
) -> None:
    store = await Store.open(database)
    uow = store.unit_of_work()
    with pytest.raises(StoreError):
        async with uow:
            await uow.initiatives.create(name="a")
            if committed_before:
                await uow.commit()
                await uow.initiatives.create(name="b")
            await store.close()
    assert uow.committed is False


async def test_a_claim_in_a_unit_that_only_reads_is_refused_at_once(store: Store) -> None:
    async with store.unit_of_work() as writer:
        await writer.accounts.create(email="a@example.com")
        await writer.accounts.find_next_available()
        async with store.unit_of_work(read_only=True) as uow:
            async with asyncio.timeout(5):
                with pytest.raises(ReadOnlyError):
                    await uow.accounts.find_next_available()
                with pytest.raises(ReadOnlyError):
                    await uow.tasks.create_dependency("a", "b")
            assert await uow.accounts.find_all() == []
