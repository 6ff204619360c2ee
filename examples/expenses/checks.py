"""The checks: `python checks.py add-up FILE` says what is wrong with a report of expenses.

Each line of output tells of one line of the report, with tabs between: its number, `wrong` or
`ask`, and a text. A file that is no report ends the check with a traceback and an exit code of 1.
"""

import csv
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal

PAID_WITHOUT_ASKING = Decimal(100)

Row = tuple[int, str, Decimal]
Remark = tuple[int, str, str]


def read_report(path: str) -> list[Row]:
    """Return the lines of a report: number, what was paid, how much."""
    with open(path, newline="") as file:
        rows = csv.DictReader(file)
        return [(rows.line_num, row["what"], Decimal(row["amount"])) for row in rows]


def add_up(rows: list[Row]) -> Iterator[Remark]:
    """Compare the total with what stands above it."""
    *paid, (line, name, total) = rows
    is_total = name == "total"
    amount = sum((amount for _, _, amount in paid), Decimal(0))
    if not is_total:
        yield line, "wrong", "the report has no total"
    elif amount != total:
        yield line, "wrong", f"the total is {total}, and the lines are {amount}"


def judge(rows: list[Row]) -> Iterator[Remark]:
    """Ask about what costs much; a thing of the same price again is taken for a mistake."""
    seen: set[tuple[str, Decimal]] = set()
    for line, name, amount in rows:
        if name == "total":
            continue
        if (name, amount) in seen:
            yield line, "wrong", f"{name} for {amount} is there twice"
        elif amount > PAID_WITHOUT_ASKING:
            yield line, "ask", f"Is {name} for {amount} all right?"
        seen.add((name, amount))


CHECKS: dict[str, Callable[[list[Row]], Iterator[Remark]]] = {"add-up": add_up, "judge": judge}

if __name__ == "__main__":
    for remark in CHECKS[sys.argv[1]](read_report(sys.argv[2])):
        print(*remark, sep="\t", flush=True)
