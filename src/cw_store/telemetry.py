"""Spans and metrics of a store for OpenTelemetry, of whose packages only the API is needed.

    from cw_store.telemetry import instrument

    uninstrument = instrument(store)

Each call of a repository is a span, `tasks.create`, by OpenTelemetry's stable semantic conventions
for databases; each unit of work is one, `cw_store.unit`, and the calls in it are its children.
Nothing that a call was given is in any of them. The extra `otel` brings the API; without an SDK
next to nothing is done.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextvars import Token
from functools import partial
from time import perf_counter
from typing import Any, TypeAlias
from urllib.parse import unquote

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, MeterProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from cw_store import OutcomeUnknownError, Store, __version__, metadata
from cw_store.observing import CallBegin, CallEnd, CallEnds, UnitBegin, UnitEnd, UnitEnds

Facts: TypeAlias = dict[str, str | int | float | bool]

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
"""The buckets that the conventions name for `db.client.operation.duration`."""

_TABLES = {name: name for name in metadata.tables} | {"log_chunks": "agent_log_chunks"}


def instrument(
    store: Store,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Callable[[], None]:
    """Make spans and metrics of what `store` does from now on; return what ends that.

    The providers are OpenTelemetry's global ones, those that are set later included, or the given
    ones. What `Store.observe` says of repositories and units that are there already holds here.
    """
    return store.observe(_Telemetry(store.url, tracer_provider, meter_provider))


class _Telemetry:
    """The observer of one store."""

    def __init__(
        self, url: str, tracers: TracerProvider | None, meters: MeterProvider | None
    ) -> None:
        self._tracer = trace.get_tracer("cw_store", __version__, tracers)
        self._is_traced = tracers is not None
        meter = metrics.get_meter("cw_store", __version__, meters)
        self._durations = meter.create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._waits, self._holds = (
            _histogram_of_units(meter, "wait", "Until a unit of work had its turn or connection."),
            _histogram_of_units(meter, "hold", "From then on until the end of the unit of work."),
        )
        self._store = _facts_of_store(url)
        is_server = self._store["db.system.name"] == "postgresql"
        self._kind = SpanKind.CLIENT if is_server else SpanKind.INTERNAL
        self._facts: dict[str, Facts] = {}

    def begin_call(self, call: CallBegin) -> CallEnds:
        """Begin a span, unless nobody would see it."""
        facts = self._facts.get(call.name)
        if facts is None:
            facts = self._facts[call.name] = {**self._store, **_facts_of_call(call)}
        span = None
        if self._is_traced or self._looked():
            span = self._begin(call.name, self._kind, facts)
            if call.batch_size is not None and call.batch_size > 1:
                span.span.set_attribute("db.operation.batch.size", call.batch_size)
        return partial(self._end_call, facts, span, perf_counter())

    def _end_call(self, facts: Facts, span: _Current | None, began: float, end: CallEnd) -> None:
        seconds = perf_counter() - began
        failed = {} if end.error is None else _facts_of_error(end.error)
        self._durations.record(seconds, {**facts, **failed} if failed else facts)
        if span is not None:
            span.end(failed)

    def begin_unit(self, unit: UnitBegin) -> UnitEnds:
        """Begin a span in which those of the calls in the unit are."""
        span = None
        if self._is_traced or self._looked():
            facts = {**self._store, "cw_store.unit.read_only": unit.read_only}
            if unit.label is not None:
                facts["cw_store.unit.label"] = unit.label
            span = self._begin("cw_store.unit", SpanKind.INTERNAL, facts)
        return partial(self._end_unit, span)

    def _end_unit(self, span: _Current | None, end: UnitEnd) -> None:
        outcome = {True: "committed", False: "rolled_back", None: "in_doubt"}[end.committed]
        facts = {**self._store, "cw_store.unit.outcome": outcome}
        self._waits.record(end.waited, facts)
        self._holds.record(end.held, facts)
        if span is not None:
            span.span.set_attributes(
                {
                    "cw_store.unit.outcome": outcome,
                    "cw_store.unit.statements": end.statements,
                    "cw_store.unit.waited": end.waited,
                    "cw_store.unit.held": end.held,
                }
            )
            failed: Facts = {} if end.error is None else {"error.type": _name(end.error)}
            span.end(failed)

    def _begin(self, name: str, kind: SpanKind, facts: Facts) -> _Current:
        _leave_ended()
        return _Current(self._tracer.start_span(name, kind=kind, attributes=facts))

    def _looked(self) -> bool:
        """Whether there is an SDK by now, which may be set up after the store is open."""
        self._is_traced = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        return self._is_traced


class _Current:
    """A span that is the current one of the running task until it ends.

    Where another task ends it, as that which closes a generator that was left early, it stays the
    current one of its own, until that one begins another.
    """

    __slots__ = ("_before", "_has_ended", "_task", "_token", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self._has_ended = False
        self._task = asyncio.current_task()
        self._before = context.get_current()
        inside = context.set_value(_CURRENT, self, trace.set_span_in_context(span))
        self._token: Token[Context] = context.attach(inside)

    def end(self, failed: Facts) -> None:
        """End it, with the error if there is one; another context than its own is left alone."""
        if failed:
            self.span.set_attributes(failed)
            self.span.set_status(Status(StatusCode.ERROR))
        self.span.end()
        self._has_ended = True
        if self._is_current:
            context.detach(self._token)
            self._task = None  # which a context that was copied meanwhile would keep

    @property
    def _is_current(self) -> bool:
        """Whether this is the task that began it, and nothing else is the current span there."""
        return self._task is _running_task() and trace.get_current_span() is self.span

    def leave(self) -> bool:
        """Leave it if it has ended and is still the current one; return whether it was so."""
        is_left_over = self._has_ended and self._is_current
        if is_left_over:
            context.attach(self._before)
        return is_left_over


_CURRENT = context.create_key("cw_store.current")
"""Under which a context has the span of this module that is the current one, or was above it."""


def _leave_ended() -> None:
    """Have what comes next be no child of spans that have ended."""
    while isinstance(last := context.get_value(_CURRENT), _Current) and last.leave():
        pass


def _running_task() -> asyncio.Task[Any] | None:
    """Return the running task; None where there is no loop any more, as when one is torn out."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _histogram_of_units(meter: metrics.Meter, what: str, description: str) -> Histogram:
    return meter.create_histogram(
        f"cw_store.unit.{what}.duration",
        unit="s",
        description=description,
        explicit_bucket_boundaries_advisory=SECONDS,
    )


def _facts_of_store(url: str) -> Facts:
    """Return what the conventions want to know of a database: never more than its name and host."""
    if not url.startswith("postgresql"):
        return {"db.system.name": "sqlite", "db.namespace": url.rpartition("/")[2]}
    hosts, _, database = url.removeprefix("postgresql://").partition("/")
    facts: Facts = {"db.system.name": "postgresql", "db.namespace": unquote(database)}
    if one := _ONE_HOST.fullmatch(hosts):  # of several it is not known which
        facts["server.address"] = unquote(one["name"]).strip("[]")
        if one["port"]:
            facts["server.port"] = int(one["port"])
    return facts


_ONE_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:,]+)(:(?P<port>\d+))?")


def _facts_of_call(call: CallBegin) -> Facts:
    facts: Facts = {"db.operation.name": call.method, "db.query.summary": call.name}
    if call.repository in _TABLES:
        facts["db.collection.name"] = _TABLES[call.repository]
    return facts


def _facts_of_error(error: BaseException) -> Facts:
    """Return what the database called it, or else what it is; its text may hold what was given.

    What a lost connection is called by the driver says less than that the outcome is unknown.
    """
    cause: BaseException | None = None if isinstance(error, OutcomeUnknownError) else error
    while cause is not None:
        for name in ("sqlstate", "sqlite_errorname"):
            code = getattr(cause, name, None)
            if isinstance(code, str):
                return {"error.type": code, "db.response.status_code": code}
        cause = cause.__cause__
    return {"error.type": _name(type(error))}


def _name(kind: type[BaseException]) -> str:
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"
