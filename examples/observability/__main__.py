"""Do a little work on a store, and show its spans, metrics and numbers.

    python -m examples.observability --store cw.db

Nothing leaves this machine: spans are kept in memory and printed. An application gives its tracer
provider an exporter to its own collector in place of that.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cw_store import NotFoundError, Store
from cw_store.prometheus import text_of_gauges, text_of_stats
from cw_store.telemetry import instrument
from cw_store.views import gauges


async def main(url: str) -> None:
    """Work, then show what was seen of it."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    async with Store(url) as store:
        uninstrument = instrument(store, tracer_provider=tracers, meter_provider=meters)
        with tracers.get_tracer("example").start_as_current_span("plan a login page"):
            await plan(store)
        uninstrument()
        show(spans.get_finished_spans())
        print()
        print(text_of_stats(store.stats()), end="")
        print(text_of_gauges(await gauges(store)), end="")
    tracers.shutdown()
    meters.shutdown()


async def plan(store: Store) -> None:
    """Create two tasks in a unit of work, and look for one that is not there."""
    async with store.unit_of_work(label="plan") as uow:
        form = await uow.tasks.create(name="Build the form")
        check = await uow.tasks.create(name="Check the password")
        await uow.tasks.create_dependency(form.id, check.id)
    try:
        await store.tasks.update("none", name="Nobody has this one")
    except NotFoundError:
        print("there is no task none")


def show(spans: Sequence[ReadableSpan]) -> None:
    """Print the spans as a tree, each with how long it took."""
    children: dict[int | None, list[ReadableSpan]] = {}
    for span in sorted(spans, key=lambda span: span.start_time or 0):
        children.setdefault(None if span.parent is None else span.parent.span_id, []).append(span)
    show_below(None, children, "")


def show_below(
    parent: int | None, children: dict[int | None, list[ReadableSpan]], indent: str
) -> None:
    """Print the spans below one."""
    for span in children.get(parent, ()):
        facts = span.attributes or {}
        error = f"  {facts['error.type']}" if "error.type" in facts else ""
        microseconds = ((span.end_time or 0) - (span.start_time or 0)) / 1000
        print(f"{indent}{span.name}  {microseconds:.0f} us{error}")
        if span.context is not None:
            show_below(span.context.span_id, children, indent + "  ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Show what is seen of a store at work.")
    parser.add_argument("--store", default="observed.db", help="a file or a URL")
    asyncio.run(main(parser.parse_args().store))
