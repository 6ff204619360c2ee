"""What a type must know of the store whose values it checks, and how it says no.

Two stores of one process may have different keys, clocks and limits, so the rules are kept by
the dialect object, of which every store has its own, and not by the type, of which all share one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect

ENCRYPTION_MARK = "cw-store:"
"""Begins every text that is not what it was when it was stored."""
MAX_TEXT_BYTES = 16 * 1024 * 1024


class Refused(ValueError):
    """A value that a column type does not take; the message is the reason."""


class Unreadable(ValueError):
    """A stored value that a column type cannot read; the message is the reason."""


class Cell(NamedTuple):
    """Where a value is stored: its table, its column and the id of its row."""

    table: str
    column: str
    id: str


def _keep(text: str, _cell: Cell | None) -> str:
    return text


class Clock(Protocol):
    """A store's time, in microseconds since 1970."""

    @property
    def is_given(self) -> bool:
        """Whether it is the application's, and not the system's."""
        ...

    def set_times(
        self, readings: Sequence[int], stamps: Sequence[int], parameters: list[Any]
    ) -> None:
        """Put times into these places of a list; raises StoreError when the clock fails.

        A reading may stand still or step back, a stamp is later than any before.
        """
        ...


@dataclass(frozen=True, slots=True)
class ValueRules:
    """What statements and types must know of the store that uses them.

    `encrypt` and `decrypt` are told which cell a text is for, None where nobody knows. `clock` is
    None where nothing is stamped.
    """

    max_text_bytes: int = MAX_TEXT_BYTES
    encrypts: bool = False
    encrypt: Callable[[str, Cell | None], str] = _keep
    decrypt: Callable[[str, Cell | None], str] = _keep
    clock: Clock | None = None


_DEFAULT_RULES = ValueRules()
_rules: WeakKeyDictionary[Dialect, ValueRules] = WeakKeyDictionary()


def use_rules(dialect: Dialect, rules: ValueRules) -> None:
    """Make every statement compiled or run with `dialect` follow `rules`."""
    _rules[dialect] = rules


def clock_of(dialect: Dialect) -> Clock | None:
    """Return the clock of the store that uses this dialect."""
    return rules_of(dialect).clock


def rules_of(dialect: Dialect) -> ValueRules:
    """Return the rules of the store that uses this dialect, or those of a store without any."""
    return _rules.get(dialect, _DEFAULT_RULES)
