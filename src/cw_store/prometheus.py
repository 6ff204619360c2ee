"""The text that Prometheus reads, of what is stored, and of what a store has done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from cw_store.stats import DatabaseStats, Stats, UnitStats
from cw_store.views import Gauges

_NOW = ("connections", "connections_in_use", "connections_limit", "log_bytes", "largest_group")
"""What goes up and down; all else only grows."""

_ENDS = ("committed", "rolled_back", "in_doubt", "dropped", "read")


def text_of_gauges(gauges: Gauges, *, log_bytes: int | None = None) -> str:
    """Return gauges in Prometheus' text format; `log_bytes` where there is a write-ahead log."""
    oldest = gauges.questions_oldest_age
    single = {
        "accounts_available": gauges.accounts_available,
        "questions": gauges.questions,
        "questions_oldest_age_seconds": 0.0 if oldest is None else oldest.total_seconds(),
        "claims": gauges.claims,
        "claims_overdue": gauges.claims_overdue,
    }
    if log_bytes is not None:
        single["log_bytes"] = log_bytes
    lines = [
        *_labelled("tasks", "gauge", "status", gauges.tasks),
        *_labelled("agents", "gauge", "status", gauges.agents),
        *_labelled("rows", "gauge", "table", gauges.rows),
    ]
    for name, value in single.items():
        lines += _metric(name, "gauge", [("", value)])
    return "".join(lines)


def text_of_stats(stats: Stats) -> str:
    """Return what a store has done in Prometheus' text format, for the program that has it open."""
    units, lines = stats.units, list[str]()
    lines += _metric("calls_total", "counter", [("", stats.calls)])
    lines += _metric("wakeups_total", "counter", [("", stats.wakeups)])
    lines += _labelled("method_calls_total", "counter", "method", stats.calls_by_name)
    lines += _labelled(
        "units_total", "counter", "outcome", {end: getattr(units, end) for end in _ENDS}
    )
    for field in fields(UnitStats):
        if field.name not in _ENDS:
            name = f"unit_{_with_unit(field.name)}_total"
            lines += _metric(name, "counter", [("", getattr(units, field.name))])
    for field in fields(DatabaseStats):
        value = getattr(stats.database, field.name)
        name = f"database_{_with_unit(field.name)}"
        if field.name in _NOW:
            lines += _metric(name, "gauge", [("", value)])
        else:
            lines += _metric(f"{name}_total", "counter", [("", value)])
    return "".join(lines)


def _with_unit(name: str) -> str:
    return f"{name}_seconds" if name.endswith(("waited", "held")) else name


def _labelled(name: str, kind: str, label: str, values: Mapping[str, float]) -> Iterable[str]:
    # The values are names of tables, methods and statuses, with nothing in them to be escaped.
    return _metric(name, kind, [(f'{{{label}="{one}"}}', value) for one, value in values.items()])


def _metric(name: str, kind: str, samples: Iterable[tuple[str, float]]) -> Iterable[str]:
    yield f"# TYPE cw_store_{name} {kind}\n"
    for labels, value in samples:
        yield f"cw_store_{name}{labels} {value}\n"
