"""Spans and metrics by OpenTelemetry, with its SDK, of a store on either database."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from cw_store import (
    BrokenReferenceError,
    InvalidValueError,
    NotFoundError,
    OutcomeUnknownError,
    Store,
    StoreClosedError,
    UnitOfWork,
    UnitOfWorkError,
)
from cw_store.observing import CallBegin, CallEnd, CallEnds, UnitBegin, UnitEnd, UnitEnds
from cw_store.telemetry import instrument
from logs import told
from postgres_proxy import Proxy
from waits import until


class Sdk:
    """OpenTelemetry's SDK, that keeps in memory what it is given."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Those that have ended."""
        return self._spans.get_finished_spans()

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def points(self, metric: str) -> list[Any]:
        """What was measured by this name."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (() if data is None else data.resource_metrics)
            for scope in resource.scope_metrics
            for one in scope.metrics
            if one.name == metric
            for point in one.data.data_points
        ]

    def instrument(self, store: Store) -> Any:
        return instrument(store, tracer_provider=self.tracers, meter_provider=self.meters)


def facts_of(span: ReadableSpan) -> dict[str, Any]:
    """Return the span's attributes."""
    return dict(span.attributes or {})


def id_of(span: ReadableSpan) -> int:
    """Return the span's own number."""
    assert span.context is not None
    return span.context.span_id


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    sdk = Sdk()
    yield sdk
    sdk.tracers.shutdown()
    sdk.meters.shutdown()


async def test_a_call_is_a_span_by_the_conventions(database: str, sdk: Sdk) -> None:
    async with Store(database) as store:
        sdk.instrument(store)
        await store.tasks.create(name="a secret plan")
        (span,) = sdk.spans
        facts = dict(span.attributes or {})
        is_server = database.startswith("postgresql")
        assert span.name == "tasks.create"
        assert span.kind is (SpanKind.CLIENT if is_server else SpanKind.INTERNAL)
        assert span.status.status_code is StatusCode.UNSET
        assert facts["db.system.name"] == ("postgresql" if is_server else "sqlite")
        assert facts["db.query.summary"] == "tasks.create"
        assert facts["db.operation.name"] == "create"
        assert facts["db.collection.name"] == "tasks"
        assert facts["db.namespace"]
        assert "secret" not in span.to_json()
        (point,) = sdk.points("db.client.operation.duration")
        assert point.count == 1
        assert 0 < point.sum < 60
        assert point.attributes["db.query.summary"] == "tasks.create"


async def test_calls_of_a_unit_are_children_of_its_span(database: str, sdk: Sdk) -> None:
    async with Store(database) as store:
        sdk.instrument(store)
        with sdk.tracers.get_tracer("test").start_as_current_span("outer") as outer:
            async with store.unit_of_work(label="plan") as uow:
                task = await uow.tasks.create(name="one")
                async with asyncio.TaskGroup() as others:
                    others.create_task(uow.tasks.find_by_id(task.id))
            assert get_current_span() is outer
        one, two, unit, above = sdk.spans
        assert [one.name, two.name, unit.name] == [
            "tasks.create",
            "tasks.find_by_id",
            "cw_store.unit",
        ]
        for child in (one, two):
            assert child.parent is not None
            assert child.parent.span_id == id_of(unit)
        assert unit.parent is not None
        assert unit.parent.span_id == id_of(above)
        facts = dict(unit.attributes or {})
        assert facts["cw_store.unit.outcome"] == "committed"
        assert facts["cw_store.unit.label"] == "plan"
        assert facts["cw_store.unit.statements"] == 2
        for metric in ("cw_store.unit.wait.duration", "cw_store.unit.hold.duration"):
            (point,) = sdk.points(metric)
            assert point.count == 1


async def test_an_error_is_named_and_its_words_are_not_told(database: str, sdk: Sdk) -> None:
    async with Store(database) as store:
        sdk.instrument(store)
        with pytest.raises(NotFoundError):
            await store.tasks.update("a-secret-id", name="one")
        with pytest.raises(InvalidValueError):
            await store.tasks.create(name="secret", phase_id="secret", status="secret")  # pyright: ignore[reportArgumentType]
        with pytest.raises(ZeroDivisionError):
            async with store.unit_of_work():
                raise ZeroDivisionError("secret")
        for span in sdk.spans:
            assert span.status.status_code is StatusCode.ERROR
            assert (span.attributes or {})["error.type"]
            assert "secret" not in span.to_json()
        assert (sdk.spans[0].attributes or {})["error.type"] == "cw_store.errors.NotFoundError"
        assert (sdk.spans[-1].attributes or {})["error.type"] == "ZeroDivisionError"
        assert (sdk.spans[-1].attributes or {})["cw_store.unit.outcome"] == "rolled_back"


async def test_a_cancelled_call_ends_its_span_once(database: str, sdk: Sdk) -> None:
    async with Store(database) as store:
        sdk.instrument(store)

        async def work() -> None:
            async with store.unit_of_work() as uow:
                await uow.tasks.create(name="one")
                await store.tasks.find_by_id("none")
                await asyncio.Event().wait()

        for steps in range(12):
            task = asyncio.create_task(work())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        ids = [id_of(span) for span in sdk.spans]
        assert len(ids) == len(set(ids))
        units = [span for span in sdk.spans if span.name == "cw_store.unit"]
        assert len(units) >= 10
        assert all(
            (span.attributes or {})["error.type"] == "asyncio.exceptions.CancelledError"
            for span in units
        )


async def rows(store: Store) -> AsyncGenerator[int]:
    """Read in a unit of work, and give what was read while it is open."""
    async with store.unit_of_work(read_only=True) as uow:
        for number in range(3):
            await uow.tasks.find_by_id("none")
            yield number


async def first_of_closed(store: Store) -> None:
    async with aclosing(rows(store)) as all_of_them:
        async for _ in all_of_them:
            return


async def first_of_dropped(store: Store) -> None:
    async for _ in rows(store):
        break
    await until(lambda: store.stats().units.read == 1)  # closed by the loop, in a task of its own


@pytest.mark.parametrize("first", [first_of_closed, first_of_dropped])
async def test_what_follows_a_unit_in_a_generator_that_was_left_is_no_child_of_it(
    database: str, sdk: Sdk, first: Any
) -> None:
    async with Store(database) as store:
        sdk.instrument(store)
        with sdk.tracers.get_tracer("test").start_as_current_span("outer") as outer:
            await first(store)
            await store.tasks.find_by_id("none")
            assert sdk.names == ["tasks.find_by_id", "cw_store.unit", "tasks.find_by_id"]
            for span in sdk.spans[1:]:
                assert span.parent == outer.get_span_context()


async def test_a_task_that_outlives_the_unit_it_began_in_stays_below_it(
    database: str, sdk: Sdk
) -> None:
    async with Store(database) as store:
        sdk.instrument(store)
        may_go = asyncio.Event()

        async def follow() -> None:
            await may_go.wait()
            await store.tasks.find_by_id("none")

        async with store.unit_of_work():
            following = asyncio.create_task(follow())
        may_go.set()
        await following
        unit, call = sdk.spans
        assert call.parent == unit.context


async def test_a_unit_that_hides_what_was_refused_has_the_error_of_its_end(
    database: str, sdk: Sdk
) -> None:
    async with Store(database) as store:
        sdk.instrument(store)
        with pytest.raises(UnitOfWorkError):
            async with store.unit_of_work() as uow:
                with pytest.raises(BrokenReferenceError):
                    await uow.phases.create(initiative_id="none", name="one")
        unit = sdk.spans[-1]
        assert unit.status.status_code is StatusCode.ERROR
        assert facts_of(unit)["error.type"] == "cw_store.errors.UnitOfWorkError"
        assert facts_of(unit)["cw_store.unit.outcome"] == "rolled_back"


@pytest.mark.parametrize(
    ("url", "facts"),
    [
        ("postgresql://me:secret@one:5432,two:5433/plan", {"db.namespace": "plan"}),
        (
            "postgresql://me:secret@[::1]:5433/a%20plan?sslmode=disable",
            {"db.namespace": "a plan", "server.address": "::1", "server.port": 5433},
        ),
        (
            "postgresql:///plan?user=me&password=secret&host=/tmp/Sockets",
            {"db.namespace": "plan", "server.address": "/tmp/Sockets"},
        ),
        ("postgresql://me:secret@one/plan", {"db.namespace": "plan", "server.address": "one"}),
    ],
)
async def test_a_span_says_which_server_and_database_and_no_password(
    url: str, facts: dict[str, Any], sdk: Sdk
) -> None:
    store = Store(url)
    sdk.instrument(store)
    with pytest.raises(StoreClosedError):
        await store.tasks.find_by_id("none")
    (span,) = sdk.spans
    found = facts_of(span)
    assert {name: found[name] for name in found if name in PLACES} == facts
    assert "secret" not in span.to_json()


PLACES = ("db.namespace", "server.address", "server.port")


@pytest.fixture
async def proxy(migrated_server: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the server; the test's rows are gone afterwards."""
    async with Proxy(migrated_server) as proxy:
        yield proxy
    await proxy.empty("tasks")


@pytest.fixture
async def observed(proxy: Proxy, sdk: Sdk) -> AsyncIterator[Store]:
    """A store behind the proxy, of which the SDK is told."""
    async with Store(proxy.url, busy_timeout=5) as store:
        sdk.instrument(store)
        yield store
        assert store.connections_in_use == 0


COMMIT = "COMMIT\0"  # as it is sent; BEGIN names a level that has the word in it


def assert_in_doubt(unit: ReadableSpan, store: Store, sdk: Sdk) -> None:
    assert unit.name == "cw_store.unit"
    assert unit.status.status_code is StatusCode.ERROR
    assert facts_of(unit)["cw_store.unit.outcome"] == "in_doubt"
    assert facts_of(unit)["error.type"] == "cw_store.errors.OutcomeUnknownError"
    (point,) = sdk.points("cw_store.unit.hold.duration")
    assert (point.count, point.attributes["cw_store.unit.outcome"]) == (1, "in_doubt")
    assert store.stats().units.in_doubt == 1
    assert not get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("lose", [Proxy.cut_before, Proxy.cut_instead_of_answer])
async def test_a_unit_whose_commit_is_lost_ends_its_span_once_and_in_doubt(
    observed: Store, proxy: Proxy, sdk: Sdk, lose: Any
) -> None:
    with pytest.raises(OutcomeUnknownError):
        async with observed.unit_of_work() as uow:
            await uow.tasks.create(name="secret")
            lose(proxy, COMMIT)
    assert sdk.names == ["tasks.create", "cw_store.unit"]
    assert_in_doubt(sdk.spans[1], observed, sdk)
    assert "secret" not in "".join(span.to_json() for span in sdk.spans)
    await observed.tasks.find_by_id("none")
    assert sdk.spans[-1].parent is None


async def test_a_commit_that_was_lost_within_is_in_doubt_whatever_the_block_makes_of_it(
    observed: Store, proxy: Proxy, sdk: Sdk
) -> None:
    with pytest.raises(OutcomeUnknownError):
        async with observed.unit_of_work() as uow:
            await uow.tasks.create(name="one")
            proxy.cut_instead_of_answer(COMMIT)
            with pytest.raises(OutcomeUnknownError):
                await uow.commit()
            with pytest.raises(UnitOfWorkError):
                await uow.tasks.create(name="two")
    assert sdk.names == ["tasks.create", "tasks.create", "cw_store.unit"]
    assert_in_doubt(sdk.spans[2], observed, sdk)


async def test_a_unit_that_is_run_again_and_again_is_not_once_its_commit_is_lost(
    observed: Store, proxy: Proxy, sdk: Sdk
) -> None:
    async def work(uow: UnitOfWork) -> None:
        await uow.tasks.create(name="one")
        proxy.cut_instead_of_answer(COMMIT)

    with pytest.raises(OutcomeUnknownError):
        await observed.run(work)
    assert sdk.names == ["tasks.create", "cw_store.unit"]
    assert_in_doubt(sdk.spans[1], observed, sdk)


async def test_a_call_whose_answer_is_lost_ends_its_span_once_with_the_error(
    observed: Store, proxy: Proxy, sdk: Sdk
) -> None:
    await observed.tasks.find_by_id("none")
    proxy.cut_instead_of_answer("secret")
    with pytest.raises(OutcomeUnknownError):
        await observed.tasks.create(name="secret")
    assert sdk.names == ["tasks.find_by_id", "tasks.create"]
    call = sdk.spans[1]
    assert call.status.status_code is StatusCode.ERROR
    assert facts_of(call)["error.type"] == "cw_store.errors.OutcomeUnknownError"
    assert "secret" not in call.to_json()


async def test_a_unit_that_is_cancelled_while_it_commits_ends_its_span_once(
    observed: Store, proxy: Proxy, sdk: Sdk
) -> None:
    async def work() -> None:
        async with observed.unit_of_work() as uow:
            await uow.tasks.create(name="one")
            proxy.hold_answer(COMMIT)

    task = asyncio.create_task(work())
    await proxy.reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert sdk.names == ["tasks.create"]
    proxy.answer()
    await asyncio.wait([task])
    assert task.cancelled()
    assert sdk.names == ["tasks.create", "cw_store.unit"]
    unit = facts_of(sdk.spans[1])
    assert unit["cw_store.unit.outcome"] == "committed"
    assert unit["error.type"] == "asyncio.exceptions.CancelledError"


async def test_a_unit_that_another_task_ends_leaves_the_contexts_alone(
    database: str, sdk: Sdk
) -> None:
    async with Store(database) as store:
        sdk.instrument(store)
        uow = store.unit_of_work()
        await uow.__aenter__()
        with told(40, "opentelemetry") as records:
            await asyncio.create_task(uow.__aexit__(None, None, None))
        assert not records
        assert sdk.names == ["cw_store.unit"]


async def test_a_repository_that_records_is_observed_as_well(database: str, sdk: Sdk) -> None:
    async with Store(database) as store:
        initiative = await store.initiatives.create(name="one")
        sdk.instrument(store)
        async with (
            store.unit_of_work() as uow,
            uow.change_sets.recording(
                agent_name="one", initiative_id=initiative.id, mode="plan"
            ) as recording,
        ):
            task = await uow.tasks.create(name="one", initiative_id=initiative.id)
        assert "tasks.create" in sdk.names
        entries = await store.change_sets.find_entries(recording.id)
        assert [entry.entity_id for entry in entries] == [task.id]


async def test_nothing_is_told_after_the_end(database: str, sdk: Sdk) -> None:
    async with Store(database) as store:
        uninstrument = sdk.instrument(store)
        await store.tasks.find_by_id("none")
        uninstrument()
        uninstrument()
        await store.tasks.find_by_id("none")
        async with store.unit_of_work() as uow:
            await uow.tasks.find_by_id("none")
        assert sdk.names == ["tasks.find_by_id"]
        assert store.stats().calls_by_name == {"tasks.find_by_id": 1}


async def test_without_an_sdk_nothing_is_made(database: str) -> None:
    async with Store(database) as store:
        uninstrument = instrument(store)
        async with store.unit_of_work() as uow:
            await uow.tasks.find_by_id("none")
            assert not get_current_span().get_span_context().is_valid
        uninstrument()


class Failing:
    """An observer that fails whenever it can."""

    def begin_call(self, call: CallBegin) -> CallEnds | None:
        if call.in_unit:
            raise RuntimeError
        return self._end

    def begin_unit(self, unit: UnitBegin) -> UnitEnds | None:
        return self._end

    def _end(self, end: CallEnd | UnitEnd) -> None:
        raise RuntimeError


async def test_an_observer_that_fails_changes_nothing_for_who_calls(
    database: str, sdk: Sdk
) -> None:
    async with Store(database) as store:
        store.observe(Failing())
        sdk.instrument(store)
        with told(40) as records:
            async with store.unit_of_work() as uow:
                task = await uow.tasks.create(name="one")
            assert await store.tasks.find_by_id(task.id) == task
        assert [vars(record)["event"] for record in records] == ["observer_failed"] * 3
        assert sdk.names == ["tasks.create", "cw_store.unit", "tasks.find_by_id"]
