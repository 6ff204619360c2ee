"""The command line: `python -m bench`, and `python -m bench growth`, `python -m bench disk`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from bench.contenders import (
    POSTGRES,
    POSTGRES_BASE,
    SQLITE,
    SQLITE_BASE,
    is_installed,
)
from bench.race import (
    Effort,
    Race,
    WrongAnswersError,
    postgres_databases,
    postgres_version,
    sqlite_databases,
)
from bench.report import RESULTS, machine, print_table, race_as_json, write_json
from bench.work import POSTGRES_ROWS, SQLITE_ROWS, Row
from cw_store.testing.postgres_server import PostgresServer

if TYPE_CHECKING:
    from bench.growth import Compared

PRODUCTS = {"sqlite": "SQLite", "postgres": "PostgreSQL"}

THOROUGH = Effort(rounds=36, seconds=0.03, race_rounds=18, race_seconds=0.4)
QUICK = Effort(rounds=3, seconds=0.03, race_rounds=3, race_seconds=0.25)


def main() -> int:
    """Do what the command line says; 1 when a target is missed, 2 when answers differ."""
    arguments = _parser().parse_args()
    console = Console() if sys.stdout.isatty() else Console(width=160)
    quick = arguments.quick
    partial = quick or any(
        (
            arguments.only,
            arguments.rows,
            arguments.cpu,
            arguments.any_core,
            arguments.database,
        )
    )
    output: Path | None = arguments.output or (None if partial else RESULTS)
    with tempfile.TemporaryDirectory(prefix="cw-bench-", dir=arguments.folder) as folder:
        if arguments.what == "growth":
            databases = arguments.database or PRODUCTS
            return _growth(console, Path(folder), quick, output, tuple(databases))
        if arguments.what == "claims":
            databases = arguments.database or PRODUCTS
            return _claims(console, Path(folder), quick, output, tuple(databases))
        if arguments.what == "waits":
            databases = arguments.database or PRODUCTS
            return _waits(console, Path(folder), quick, output, tuple(databases))
        if arguments.what == "views":
            databases = arguments.database or PRODUCTS
            return _views(console, Path(folder), quick, output, tuple(databases))
        if arguments.what == "live":
            databases = arguments.database or ("sqlite",)
            return _live(console, Path(folder), quick, output, tuple(databases))
        if arguments.what == "keep":
            databases = arguments.database or PRODUCTS
            return _keep(console, Path(folder), quick, output, tuple(databases))
        if arguments.what == "disk":
            return _disk(console, Path(folder), quick, output)
        try:
            return _races(console, arguments, Path(folder), output)
        except WrongAnswersError as error:
            console.print(f"[red]{error}[/]")
            return 2


def _races(
    console: Console, arguments: argparse.Namespace, folder: Path, output: Path | None
) -> int:
    effort = QUICK if arguments.quick else THOROUGH
    effort = Effort(
        arguments.rounds or effort.rounds,
        arguments.seconds or effort.seconds,
        arguments.race_rounds or effort.race_rounds,
        arguments.race_seconds or effort.race_seconds,
    )
    about = machine()
    results: dict[str, Any] = {"machine": about, "effort": effort._asdict()}
    missed = 0
    with ExitStack() as stack:
        for database in arguments.database or PRODUCTS:
            if database == "sqlite":
                modules, base, rows = SQLITE, SQLITE_BASE, SQLITE_ROWS
                new_database = sqlite_databases(folder)
            else:
                if not is_installed(POSTGRES_BASE):
                    console.print("asyncpg is not installed: nothing is measured on PostgreSQL")
                    continue
                modules, base, rows = POSTGRES, POSTGRES_BASE, POSTGRES_ROWS
                create = stack.enter_context(PostgresServer()).create_database
                about["postgres"] = postgres_version(create())
                new_database = postgres_databases(create)
            race = Race(
                _chosen(modules, base, arguments.only),
                base,
                _rows(rows, arguments.rows),
                new_database,
                by_cpu=arguments.cpu,
                any_core=arguments.any_core,
            )
            race.check()
            console.print(
                f"{database}: the same answers, and the same rows left behind, from "
                + ", ".join(race.modules)
            )
            if arguments.check:
                continue
            figures = race.run(effort, _teller(console))
            of_what = "ratios of processor time" if arguments.cpu else "ratios"
            title = f"{PRODUCTS[database]}: {of_what} to {base} written by hand"
            missed += print_table(console, title, race.rows, figures, base)
            results[database] = race_as_json(race.rows, figures, base)
            if output is not None:
                _draw(output / f"{database}.svg", database, race, figures, about)
    if output is not None and not arguments.check:
        write_json("latest.json", results, output)
    return 1 if missed else 0


def _draw(path: Path, database: str, race: Race, figures: Any, about: dict[str, Any]) -> None:
    from bench.charts import draw_pair, draw_race, footer_of

    footer = footer_of(about, database)
    if database == "sqlite":
        title = "The same work on one SQLite file: ratio to aiosqlite written by hand"
        draw_race(path, title, race.rows, figures, race.base, footer)
    else:
        title = "cw_store on PostgreSQL: ratio to asyncpg written by hand"
        draw_pair(path, title, race.rows, figures, race.base, footer)


def _growth(
    console: Console, folder: Path, quick: bool, output: Path | None, databases: Sequence[str]
) -> int:
    missed = 0
    results: dict[str, Any] = {"machine": machine()}
    if "sqlite" in databases:
        missed += _growth_on_sqlite(console, folder, quick, results)
    if "postgres" in databases:
        missed += _growth_on_postgres(console, quick, results)
    if output is not None:
        write_json("growth.json", results, output)
        if "sizes" in results:
            from bench.charts import draw_growth, footer_of
            from bench.growth import LIMIT

            title = "What a call costs when the tables grow"
            footer = footer_of(results["machine"], "sqlite")
            chart = output / "growth.svg"
            draw_growth(chart, title, results["sizes"], results["ratios"], LIMIT, footer)
    return 1 if missed else 0


def _growth_on_sqlite(console: Console, folder: Path, quick: bool, results: dict[str, Any]) -> int:
    from bench.growth import MEGABYTES, SIZES, measure_growth

    sizes = SIZES[:-1] if quick else SIZES
    found = measure_growth(folder, sizes, *((5, 0.04) if quick else (9, 0.1)), _teller(console))
    results.update(found)
    missed = _print_growth(console, "SQLite", found)
    memory = found["memory"]
    for key, what in (
        ("open_store", "an open store with 10 readers adds"),
        ("stream", f"streaming {memory['chunks']:,} log chunks adds"),
    ):
        met = memory[key] < MEGABYTES
        missed += not met
        console.print(f"{what} {memory[key]:.1f} MB; target < {MEGABYTES:g} MB {_mark(met)}")
    return missed


def _growth_on_postgres(console: Console, quick: bool, results: dict[str, Any]) -> int:
    if not is_installed(POSTGRES_BASE):
        console.print("asyncpg is not installed: nothing is measured on PostgreSQL")
        return 0
    from bench.growth_on_postgres import SIZES, measure_growth_on_postgres

    sizes = SIZES[:-1] if quick else SIZES
    with PostgresServer() as server:
        results["machine"]["postgres"] = postgres_version(server.create_database())
        effort = (5, 0.1) if quick else (9, 0.2)
        found = measure_growth_on_postgres(server.create_database, sizes, *effort, _teller(console))
    results["postgres"] = found
    return _print_growth(console, "PostgreSQL", found)


def _print_growth(console: Console, product: str, found: Compared) -> int:
    from bench.growth import LIMIT, LIMIT_OF_CLAIMS

    table = Table(
        title=f"microseconds for a call on {product}, by rows in each table; target: ratio "
        f"≤ {LIMIT:g}, of claims ≤ {LIMIT_OF_CLAIMS:g}"
    )
    table.add_column("call")
    for size in found["sizes"]:
        table.add_column(f"{size:,}", justify="right")
    table.add_column("worst ratio", justify="right")
    table.add_column("")
    missed = 0
    for name, ratios in found["ratios"].items():
        worst = max(ratios)
        met = worst <= (LIMIT_OF_CLAIMS if name.startswith("claims.") else LIMIT)
        missed += not met
        cells = [f"{value:,.0f}" for value in found["microseconds"][name]]
        table.add_row(name, *cells, f"{worst:.2f}", _mark(met))
    console.print(table)
    return missed


def _disk(console: Console, folder: Path, quick: bool, output: Path | None) -> int:
    from bench.disk import (
        LONG_WAIT,
        LONG_WAITS,
        RATIO,
        WAITING,
        WRITERS,
        longest_log,
        measure_disks,
    )

    found = measure_disks(folder, 3 if quick else 60, _teller(console))
    table = Table(title=f"{WRITERS} writers on a slow disk, synchronous = NORMAL")
    table.add_column("an fsync, contender")
    for name in ("writes/s", "ratio", "waiting", f"> {LONG_WAIT * 1000:g} ms", "longest", "log"):
        table.add_column(name, justify="right")
    table.add_column("missed")
    missed = 0
    for milliseconds, reports in found.items():
        plain = reports["sqlite3"]["per_second"]
        for contender, report in reports.items():
            ratio = report["per_second"] / plain
            targets = {
                "ratio": ratio >= RATIO,
                "waiting": report["waiting"] < WAITING,
                "long waits": report["long_waits"] < LONG_WAITS or int(milliseconds) > 10,
                "log": report["log"] < longest_log(int(milliseconds)),
            }
            wrong = [name for name, met in targets.items() if not met and contender != "sqlite3"]
            missed += len(wrong)
            table.add_row(
                f"{milliseconds} ms, {contender}",
                f"{report['per_second']:,.0f}",
                f"{ratio:.2f}",
                f"{report['waiting']:.1%}",
                f"{report['long_waits']:.2%}",
                f"{report['longest_wait']:.2f} s",
                f"{report['log']:.0f} MiB",
                ", ".join(wrong),
            )
    console.print(table)
    if output is not None:
        write_json("disk.json", {"machine": machine(), "milliseconds": found}, output)
    return 1 if missed else 0


def _views(
    console: Console, folder: Path, quick: bool, output: Path | None, databases: Sequence[str]
) -> int:
    from bench.views import measure_views

    missed, results = 0, dict[str, Any](machine=machine())
    chunks, rounds = (100_000, 5) if quick else (1_000_000, 15)
    for database in databases:
        with ExitStack() as stack:
            url = str(folder / "views.db")
            if database == "postgres":
                url = stack.enter_context(PostgresServer()).create_database()
            found = asyncio.run(measure_views(url, chunks, rounds, _teller(console)))
        table = Table(title=f"what it costs to look, on {PRODUCTS[database]}")
        for name in ("view", "median", "most", "target", ""):
            table.add_column(name)
        for view in found:
            met = view.target is None or view.median <= view.target
            missed += not met
            target = "" if view.target is None else f"≤ {view.target:,.0f} ms"
            mark = "" if view.target is None else _mark(met)
            table.add_row(view.name, f"{view.median:.1f} ms", f"{view.most:.1f} ms", target, mark)
        console.print(table)
        results[database] = [view._asdict() for view in found]
    if output is not None:
        write_json("views.json", results, output)
    return 1 if missed else 0


def _live(
    console: Console, folder: Path, quick: bool, output: Path | None, databases: Sequence[str]
) -> int:
    from bench.live import AGENTS, CHANGES_A_SECOND, TASKS, VIEWERS, measure_live

    missed, results = 0, dict[str, Any](machine=machine())
    seconds, rounds = (6.0, 1) if quick else (20.0, 5)
    for database in databases:
        with ExitStack() as stack:
            url = str(folder / "live.db")
            if database == "postgres":
                url = stack.enter_context(PostgresServer()).create_database()
            found = asyncio.run(measure_live(url, seconds, rounds, _teller(console)))
        table = Table(
            title=f"{TASKS:,} tasks, {AGENTS} agents, {CHANGES_A_SECOND} changes a second, "
            f"{VIEWERS} viewers, on {PRODUCTS[database]}"
        )
        for name in ("", "measured", "target", ""):
            table.add_column(name)
        for title, value, unit, target, met in (
            ("from a commit to the event, median", found.median, "ms", "", True),
            ("95 %", found.p95, "ms", "< 300 ms", found.p95 < 300),
            ("at most", found.most, "ms", "", True),
            (
                "events a second at a viewer",
                found.events_a_second,
                "",
                "≤ 4",
                found.events_a_second <= 4.05,
            ),
            ("an event", found.kilobytes, "kB", "", True),
            ("the server, of a core", found.share * 100, "%", "< 15 %", found.share < 0.15),
            ("its memory", found.megabytes, "MB", "< 120 MB", found.megabytes < 120),
            (
                "a supervisor's work, watched / alone",
                found.ratio,
                "",
                "≥ 0.95",
                found.ratio >= 0.95,
            ),
            (
                "the document of the page",
                found.first_page,
                "ms",
                "< 500 ms",
                found.first_page < 500,
            ),
            ("the layout of 500 tasks", found.layout, "ms", "< 100 ms", found.layout < 100),
        ):
            missed += not met
            mark = _mark(met) if target else ""
            table.add_row(title, f"{value:,.2f} {unit}".strip(), target, mark)
        console.print(table)
        results[database] = found._asdict()
    if output is not None:
        write_json("live.json", results, output)
    return 1 if missed else 0


def _keep(
    console: Console, folder: Path, quick: bool, output: Path | None, databases: Sequence[str]
) -> int:
    from bench.keep import Kept, measure_keep

    missed, results = 0, dict[str, Any](machine=machine())
    for database in databases:
        place = folder / database
        place.mkdir()
        with ExitStack() as stack:
            url = str(place / "cw.db")
            if database == "postgres":
                url = stack.enter_context(PostgresServer()).create_database()
            chunks = 100_000 if quick else 1_000_000
            found: Kept = asyncio.run(measure_keep(place, url, chunks, _teller(console)))
        missed += _print_kept(console, PRODUCTS[database], found)
        results[database] = {
            name: value._asdict() if isinstance(value, tuple) else value
            for name, value in found._asdict().items()
        }
    if output is not None:
        write_json("keep.json", results, output)
    return 1 if missed else 0


def _print_kept(console: Console, product: str, found: Any) -> int:
    """Show the figures; return how many targets were missed."""
    table = Table(
        title=f"{found.chunks:,} log chunks on {product}, a backup of {found.bytes:,} bytes"
    )
    for name in ("what", "seconds", "calls", "median", "99.9 %", "most", "memory"):
        table.add_column(name)
    for what, waits, seconds in (
        ("a writer alone", found.alone, ""),
        ("beside a backup", found.beside_backup, f"{found.backup_seconds:.1f}"),
    ):
        times = (f"{each:.2f} ms" for each in waits[1:])
        table.add_row(what, seconds, f"{waits.calls:,}", *times, "")
    for what, run in (
        ("export", found.exported),
        ("import into a file", found.imported),
        ("export of that", found.exported_again),
    ):
        table.add_row(what, f"{run.seconds:.1f}", "", "", "", "", f"{run.megabytes:.0f} MB")
    console.print(table)
    met = {
        "99.9 % of the writer's waits under 50 ms": found.beside_backup.p999 < 50,
        "equal digests": len({found.exported.sha256, found.exported_again.sha256}) == 1,
        "less than 100 MB": max(found.exported.megabytes, found.imported.megabytes) < 100,
    }
    for target, is_met in met.items():
        console.print(f"{target}: {_mark(is_met)}")
    return sum(not is_met for is_met in met.values())


def _claims(
    console: Console, folder: Path, quick: bool, output: Path | None, databases: Sequence[str]
) -> int:
    missed = 0
    results: dict[str, Any] = {"machine": machine()}
    if "sqlite" in databases:
        missed += _claims_on_sqlite(console, folder, quick, results)
    if "postgres" in databases:
        missed += _claims_on_postgres(console, quick, results)
    if output is not None:
        write_json("claims.json", results, output)
    return 1 if missed else 0


def _claims_on_sqlite(console: Console, folder: Path, quick: bool, results: dict[str, Any]) -> int:
    from bench.claims import FIFTY_AT_ONCE, ONE_AT_A_TIME, measure_claims

    effort = (5, 0.1) if quick else (20, 0.1)
    found = asyncio.run(measure_claims(folder, *effort, _teller(console)))
    table = Table(title="claim and complete, on one SQLite file")
    for name in ("work", "aiosqlite by hand", "cw_store", "ratio", "target", ""):
        table.add_column(name)
    single, fifty = found
    met = [single["ratio"] <= ONE_AT_A_TIME, fifty["ratio"] >= FIFTY_AT_ONCE]
    for title, unit, pair, target, is_met in (
        ("one at a time", "µs", single, f"≤ {ONE_AT_A_TIME:.2f}", met[0]),
        ("fifty tasks at once", "/s", fifty, f"≥ {FIFTY_AT_ONCE:.2f}", met[1]),
    ):
        values = (f"{pair['by_hand']:,.0f} {unit}", f"{pair['cw_store']:,.0f} {unit}")
        table.add_row(title, *values, f"{pair['ratio']:.2f}", target, _mark(is_met))
    console.print(table)
    results["sqlite"] = found._asdict()
    return met.count(False)


def _claims_on_postgres(console: Console, quick: bool, results: dict[str, Any]) -> int:
    if not is_installed(POSTGRES_BASE):
        console.print("asyncpg is not installed: nothing is measured on PostgreSQL")
        return 0
    from bench.claims_on_postgres import measure_claims_on_postgres

    with PostgresServer() as server:
        results["machine"]["postgres"] = postgres_version(server.create_database())
        effort = (5, 0.5) if quick else (15, 1.0)
        found = measure_claims_on_postgres(server.create_database, *effort, _teller(console))
    table = Table(title="claim and complete, on one PostgreSQL server")
    for name in ("work", "beside", "that", "cw_store", "ratio", "target", ""):
        table.add_column(name)
    missed = 0
    for one, figures in found:
        met = one.is_met(figures["ratio"])
        missed += not met
        table.add_row(
            one.title,
            one.other,
            f"{figures['other']:,.0f} {one.unit}",
            f"{figures['cw_store']:,.0f} {one.unit}",
            f"{figures['ratio']:.2f}",
            f"{'≤' if one.unit == 'µs' else '≥'} {one.target:.2f}",
            _mark(met),
        )
    console.print(table)
    results["postgres"] = [{**one._asdict(), **figures} for one, figures in found]
    return missed


def _waits(
    console: Console, folder: Path, quick: bool, output: Path | None, databases: Sequence[str]
) -> int:
    from bench.waits import LISTENERS, measure_waits

    missed, results = 0, dict[str, Any](machine=machine())
    for database in databases:
        with ExitStack() as stack:
            url = str(folder / "waits.db")
            if database == "postgres":
                url = stack.enter_context(PostgresServer()).create_database()
            found = asyncio.run(measure_waits(url, 50 if quick else 200, _teller(console)))
        between = 60 if database == "sqlite" else 15
        table = Table(title=f"whoever waits, on {PRODUCTS[database]}")
        for name in ("from a call until somebody has it", "median", "p99", "targets", ""):
            table.add_column(name)
        for title, wakeups, most in (
            ("in one process", found.in_process, (1, 5)),
            ("the same, asked every 100 ms", found.polled, None),
            ("between processes", found.between_processes, (between, between)),
            ("completion to the dependent's claim", found.dependent_claimed, (between, between)),
        ):
            met = most is None or (wakeups.median < most[0] and wakeups.p99 < most[1])
            missed += not met
            target = "" if most is None else f"< {most[0]}, < {most[1]} ms"
            mark = "" if most is None else _mark(met)
            times = (f"{time:.2f} ms" for time in wakeups)
            table.add_row(title, *times, target, mark)
        for title, value, target, met in (
            (f"{LISTENERS:,} idle: of a core", f"{found.idle:.1%}", "< 3 %", found.idle < 0.03),
            (
                "a writer's work beside them",
                f"{found.throughput:.2f}",
                "≥ 0.90",
                found.throughput >= 0.9,
            ),
            ("woken for another's question", str(found.in_vain), "0", not found.in_vain),
        ):
            missed += not met
            table.add_row(title, value, "", target, _mark(met))
        console.print(table)
        results[database] = found._asdict()
    if output is not None:
        write_json("waits.json", results, output)
    return 1 if missed else 0


def _mark(met: bool) -> str:
    return "[green]met[/]" if met else "[red]not met[/]"


def _chosen(modules: dict[str, str], base: str, only: Sequence[str] | None) -> dict[str, str]:
    unknown = set(only or ()) - {*SQLITE, *POSTGRES}
    if unknown:
        raise SystemExit(f"no such contender: {', '.join(sorted(unknown))}")
    return {
        name: module
        for name, module in modules.items()
        if (not only or name in only or name == base) and is_installed(name)
    }


def _rows(rows: Sequence[Row], keys: Sequence[str] | None) -> list[Row]:
    chosen = [row for row in rows if not keys or row.key in keys]
    if not chosen:
        raise SystemExit(f"no such row; there are {', '.join(row.key for row in rows)}")
    return chosen


def _teller(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(f"[dim]{line}[/]")


def _parser() -> argparse.ArgumentParser:
    def names(text: str) -> list[str]:
        return [name.strip() for name in text.split(",")]

    parser = argparse.ArgumentParser(
        prog="python -m bench", description="The same work by cw_store and by what people use."
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("race", "growth", "disk", "claims", "waits", "views", "live", "keep"),
        default="race",
        help="race: everybody side by side (default); growth: cost against table size, and memory; "
        "disk: many writers where an fsync takes long; claims: claim and complete; "
        "waits: how soon somebody wakes, and what many who wait cost; "
        "views: what it costs to look; live: what it costs to watch",
    )
    parser.add_argument("--quick", action="store_true", help="about a minute; nothing is saved")
    parser.add_argument("--check", action="store_true", help="only compare the answers")
    parser.add_argument("--only", type=names, help="these contenders, and the base: a,b")
    parser.add_argument("--rows", type=names, help="these rows, by their keys: find_task,mixed")
    parser.add_argument(
        "--database",
        choices=tuple(PRODUCTS),
        action="append",
        help="only on this one",
    )
    parser.add_argument("--rounds", type=int, help="how often everybody has a turn")
    parser.add_argument("--seconds", type=float, help="how long a row is measured in a round")
    parser.add_argument("--race-rounds", type=int, help="how often fifty tasks have one")
    parser.add_argument("--race-seconds", type=float, help="the same for a row of fifty tasks")
    parser.add_argument(
        "--cpu", action="store_true", help="ratios of processor time, for a machine that is busy"
    )
    parser.add_argument(
        "--any-core", action="store_true", help="do not bind each process to one core"
    )
    parser.add_argument("--folder", type=Path, help="where the databases are put for the run")
    parser.add_argument("--output", type=Path, help="where the results are saved, partial or not")
    return parser


if __name__ == "__main__":
    sys.exit(main())
