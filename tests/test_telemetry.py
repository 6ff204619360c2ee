"""Spans and metrics by OpenTelemetry, with its SDK, of a store on either database."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from cw_store import InvalidValueError, NotFoundError, Store
from cw_store.observing import CallBegin, CallEnd, CallEnds, UnitBegin, UnitEnd, UnitEnds
from cw_store.telemetry import instrument
from logs import told


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
