"""The charts, drawn with matplotlib, which is imported only here."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patheffects import withStroke

from bench.race import Figures
from bench.report import is_met, target_of, value_of
from bench.work import Row

WIDEST = 3.0
"""The ratio axis ends here; a longer bar is cut off and its ratio written on it."""

WIDEST_PER_SECOND = 4.0

COLUMNS = 3
INK, SUBJECT, OTHERS, BASE = "#24292f", "#1f6feb", "#b8c0cc", "#6e7781"
MISSED, TARGET = "#cf222e", "#1a7f37"

plt.rcParams.update(
    {
        "font.family": "sans-serif",
        "font.size": 8.5,
        "svg.fonttype": "path",  # the same picture wherever it is shown
        "svg.hashsalt": "cw_store",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
    }
)


def draw_race(
    path: Path, title: str, rows: Sequence[Row], figures: Figures, base: str, footer: str
) -> None:
    """Draw one panel for each row: a bar for each contender, a line for the base and the target."""
    shown = [row for row in rows if row.kind != "lag"]
    names = sorted(next(iter(figures.values())), key=lambda name: name != base)
    height = 0.2 * len(names) + 0.62
    lines = math.ceil(len(shown) / COLUMNS)
    drawing, panels = plt.subplots(
        lines, COLUMNS, figsize=(12, height * lines + 1.4), squeeze=False
    )
    for index, panel in enumerate(panels.flat):
        if index >= len(shown):
            panel.set_visible(False)
            continue
        _draw_panel(panel, shown[index], names, figures, base)
        if index % COLUMNS:
            panel.set_yticklabels([])
    drawing.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    note = (
        f"Ratio to {base}, median; » = longer than the axis. Time for a call: shorter is better; "
        "calls per second: longer is better. Green line: cw_store's target."
    )
    drawing.text(0.01, 0.006, f"{note}\n{footer}", fontsize=8, color=BASE)
    drawing.tight_layout(rect=(0, 0.6 / (height * lines + 1.4), 1, 0.99), h_pad=1.6)
    _save(drawing, path)


def _draw_panel(panel: Axes, row: Row, names: list[str], figures: Figures, base: str) -> None:
    per_second = row.kind == "per second"
    widest = WIDEST_PER_SECOND if per_second else WIDEST
    panel.axvline(1, color=BASE, linewidth=0.8, linestyle=":")
    panel.axvline(row.target, color=TARGET, linewidth=1.4)
    for place, name in enumerate(reversed(names)):
        figure = figures[row.key][name]
        ratio = figure["ratio"] or 0.0
        colour = {base: BASE, "cw_store": SUBJECT}.get(name, OTHERS)
        panel.barh(place, min(ratio, widest), height=0.72, color=colour)
        text, text_colour = (f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"), INK
        if name == base:
            text = value_of(row, figure["value"])
        elif name == "cw_store" and not is_met(row, figure["value"], figure["ratio"]):
            text, text_colour = f"{text} ✗", MISSED
        outside = ratio < widest * 0.85
        label = panel.text(
            ratio + 0.012 * widest if outside else min(ratio, widest) - 0.012 * widest,
            place,
            f"{text} »" if ratio > widest else text,
            va="center",
            ha="left" if outside else "right",
            color=text_colour if outside or name != "cw_store" else "white",
            fontweight="bold" if name == "cw_store" else "normal",
        )
        if outside:
            label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    unit = ", per second" if per_second else ""
    panel.set_title(row.title + unit, loc="left", fontsize=9.5, fontweight="bold", pad=5)
    panel.set_title(target_of(row), loc="right", fontsize=8.5, color=TARGET, pad=5)
    panel.set_xlim(0, widest)
    panel.set_ylim(-0.5, len(names) - 0.5)
    panel.set_yticks(range(len(names)), list(reversed(names)))
    panel.tick_params(axis="y", length=0)


def draw_pair(
    path: Path, title: str, rows: Sequence[Row], figures: Figures, base: str, footer: str
) -> None:
    """Draw one bar for each row: cw_store's ratio to the base."""
    shown = [row for row in rows if row.kind != "lag"]
    drawing, panel = plt.subplots(figsize=(10, 0.3 * len(shown) + 1.7))
    for place, row in enumerate(reversed(shown)):
        figure = figures[row.key]["cw_store"]
        ratio = figure["ratio"] or 0.0
        met = is_met(row, figure["value"], figure["ratio"])
        panel.barh(place, min(ratio, WIDEST), height=0.66, color=SUBJECT if met else MISSED)
        panel.text(min(ratio, WIDEST) + 0.02, place, f"{ratio:.2f}", va="center")
        panel.plot([row.target] * 2, [place - 0.45, place + 0.45], color=TARGET, linewidth=2)
    panel.axvline(1, color=BASE, linewidth=0.8, linestyle=":")
    panel.set_yticks(
        range(len(shown)),
        [
            row.title + (" (per second: longer is better)" if row.kind == "per second" else "")
            for row in reversed(shown)
        ],
    )
    panel.tick_params(axis="y", length=0)
    longest = max(figures[row.key]["cw_store"]["ratio"] or 0.0 for row in shown)
    panel.set_xlim(0, min(WIDEST, max(1.6, longest + 0.2)))
    panel.set_ylim(-0.6, len(shown) - 0.4)
    panel.set_xlabel(f"ratio to {base} (1 = the same); green: the target")
    drawing.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    drawing.text(0.01, 0.01, footer, fontsize=8, color=BASE)
    drawing.tight_layout(rect=(0, 0.05, 1, 1))
    _save(drawing, path)


def draw_growth(
    path: Path,
    title: str,
    sizes: Sequence[int],
    ratios: Mapping[str, Sequence[float]],
    limit: float,
    footer: str,
) -> None:
    """Draw the cost of each call against the number of rows, as ratio to the smallest."""
    drawing, panel = plt.subplots(figsize=(10, 5.2))
    colours = plt.get_cmap("tab20").colors  # pyright: ignore[reportAttributeAccessIssue]
    for number, (name, line) in enumerate(ratios.items()):
        panel.plot(sizes, line, marker="o", markersize=4, label=name, color=colours[number % 20])
    panel.axhline(limit, color=TARGET, linewidth=1.6)
    panel.text(sizes[0], limit, f" target: ≤ {limit:g} ", va="bottom", color=TARGET)
    panel.set_xscale("log")
    panel.set_xlim(sizes[0] * 0.9, sizes[-1] * 1.1)
    panel.set_ylim(0, max(limit * 1.25, *(max(line) * 1.08 for line in ratios.values())))
    panel.set_xlabel("tasks, conversations and log chunks in the database (of each)")
    panel.set_ylabel(f"time for a call, ratio to {sizes[0]:,} rows")
    panel.grid(axis="y", color="#eaeef2")
    panel.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    drawing.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    drawing.text(0.01, 0.01, footer, fontsize=8, color=BASE)
    drawing.tight_layout(rect=(0, 0.04, 1, 1))
    _save(drawing, path)


def footer_of(machine: dict[str, Any], database: str) -> str:
    """Write the date, the machine and the versions in one line."""
    product = {"sqlite": "SQLite", "postgres": "PostgreSQL"}[database]
    facts = (
        machine["date"],
        f"{machine['cpu']}, each process on one core",
        f"Python {machine['python']}",
        f"{product} {machine[database]}",
    )
    return " · ".join(facts)


def _save(drawing: Drawing, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    # Without the date two drawings of the same figures are the same file.
    drawing.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(drawing)
