"""The table, the charts and the JSON."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.race import Figures
from bench.work import Row

RESULTS = Path(__file__).parent / "results"

LIBRARIES = (
    "cw-store",
    "aiosqlite",
    "sqlalchemy",
    "advanced-alchemy",
    "tortoise-orm",
    "asyncpg",
)


def machine() -> dict[str, Any]:
    """Say what the figures were taken on, without saying whose machine it is."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def is_met(row: Row, value: float, ratio: float | None) -> bool:
    """Whether cw_store's figure reaches the row's target."""
    if row.kind == "lag":
        return value <= row.target
    assert ratio is not None
    return ratio >= row.target if row.kind == "per second" else ratio <= row.target


def target_of(row: Row) -> str:
    """Write the target as the issue does."""
    if row.kind == "lag":
        return f"≤ {row.target:g} ms"
    return f"{'≥' if row.kind == 'per second' else '≤'} {row.target:.2f}"


def value_of(row: Row, value: float) -> str:
    """Write a figure with its unit."""
    match row.kind:
        case "microseconds":
            return f"{value:,.0f} µs"
        case "per second":
            return f"{value:,.0f} /s"
        case "lag":
            return f"{value:.1f} ms"


def print_table(
    console: Console, title: str, rows: Sequence[Row], figures: Figures, base: str
) -> int:
    """Print all ratios to the base; return how many targets cw_store missed."""
    names = list(next(iter(figures.values())))
    others = [name for name in names if name not in (base, "cw_store")]
    subject = ["cw_store"] if "cw_store" in names else []
    table = Table(title=title)
    table.add_column("work")
    table.add_column(base, justify="right")
    for name in (*subject, *others):
        table.add_column(name, justify="right", style="bold" if name == "cw_store" else "")
    if subject:
        table.add_column("target", justify="right")
        table.add_column("")
    missed = 0
    for row in rows:
        found = figures[row.key]
        cells = [row.title, value_of(row, found[base]["value"])]
        for name in (*subject, *others):
            figure = found[name]
            cells.append(
                value_of(row, figure["value"])
                if figure["ratio"] is None
                else f"{figure['ratio']:.2f}"
            )
        if subject:
            met = is_met(row, found["cw_store"]["value"], found["cw_store"]["ratio"])
            missed += not met
            cells += [target_of(row), "[green]met[/]" if met else "[red]not met[/]"]
        table.add_row(*cells)
    console.print(table)
    return missed


def write_json(name: str, content: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write a result where docs/explanation/speed.md and the charts' readers find it."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def race_as_json(rows: Sequence[Row], figures: Figures, base: str) -> dict[str, Any]:
    """Return all figures of a race, and whether cw_store reached each target."""
    return {
        "base": base,
        "rows": {
            row.key: {
                "title": row.title,
                "kind": row.kind,
                "target": row.target,
                "synchronous": row.synchronous,
                "met": "cw_store" in figures[row.key]
                and is_met(
                    row,
                    figures[row.key]["cw_store"]["value"],
                    figures[row.key]["cw_store"]["ratio"],
                ),
                "contenders": {
                    name: {
                        "value": round(figure["value"], 2),
                        "ratio": None if figure["ratio"] is None else round(figure["ratio"], 3),
                        "rounds": [round(each, 2) for each in figure["rounds"]],
                    }
                    for name, figure in figures[row.key].items()
                },
            }
            for row in rows
        },
    }
