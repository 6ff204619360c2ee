"""The units of work of one store, counted as they end, and a warning for each that was slow."""

from __future__ import annotations

import asyncio
import logging
from math import inf
from typing import Any

from cw_store.stats import UnitStats

logger = logging.getLogger(__name__)


class UnitCounts:
    """How many units of work ended how; `slow_unit` are the seconds after which one is slow."""

    __slots__ = (
        "committed",
        "dropped",
        "held",
        "in_doubt",
        "read",
        "rolled_back",
        "slow",
        "slow_after",
        "statements",
        "waited",
    )

    def __init__(self, slow_unit: float | None) -> None:
        self.slow_after = inf if slow_unit is None else slow_unit
        self.committed = self.rolled_back = self.in_doubt = 0
        self.dropped = self.read = self.slow = self.statements = 0
        self.waited = self.held = 0.0

    def warn_of_slow(
        self,
        label: str | None,
        task: asyncio.Task[Any] | None,
        statements: int,
        waited: float,
        held: float,
    ) -> None:
        """Count a slow unit of work, and log it."""
        self.slow += 1
        name = None if task is None else task.get_name()
        logger.warning(
            "%s of task %r held its turn or connection for %.3g s, with %d statements; "
            "it had waited %.3g s",
            "a unit of work" if label is None else f"the unit of work {label!r}",
            name,
            held,
            statements,
            waited,
            extra={
                "event": "unit_slow",
                "label": label,
                "task": name,
                "statements": statements,
                "waited": waited,
                "held": held,
            },
        )

    def stats(self) -> UnitStats:
        """Return what was counted."""
        return UnitStats(
            committed=self.committed,
            rolled_back=self.rolled_back,
            in_doubt=self.in_doubt,
            dropped=self.dropped,
            read=self.read,
            slow=self.slow,
            statements=self.statements,
            waited=self.waited,
            held=self.held,
        )
