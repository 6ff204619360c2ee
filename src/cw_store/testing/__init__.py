"""For those who test programs on cw_store: a clock, plans to work on, and what can go wrong.

The pytest plugin gives a test an open store (`cw_store`), on a file of its own, in memory or on a
PostgreSQL server; docs/how-to/testing.md shows it. What stands in `__all__` needs no pytest.
"""

__all__ = [
    "START",
    "SteppableClock",
    "Plan",
    "plan",
    "CANCELLATIONS",
    "Cancellation",
    "CancelledRun",
    "cancelled_at_every_await",
    "others_hold_the_turn",
    "lost_connection",
    "killed_while",
    "assert_unchanged",
    "queries",
]

# As type checkers know it. pytest imports this package in every run, so nothing is loaded yet.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from cw_store.testing.cancellation import (
        CANCELLATIONS,
        Cancellation,
        CancelledRun,
        cancelled_at_every_await,
    )
    from cw_store.testing.clock import START, SteppableClock
    from cw_store.testing.counting import queries
    from cw_store.testing.faults import lost_connection, others_hold_the_turn
    from cw_store.testing.killing import killed_while
    from cw_store.testing.plans import Plan, plan
    from cw_store.testing.rows import assert_unchanged
else:
    _HOMES = {
        "cancellation": (
            "CANCELLATIONS",
            "Cancellation",
            "CancelledRun",
            "cancelled_at_every_await",
        ),
        "clock": ("START", "SteppableClock"),
        "counting": ("queries",),
        "faults": ("lost_connection", "others_hold_the_turn"),
        "killing": ("killed_while",),
        "plans": ("Plan", "plan"),
        "rows": ("assert_unchanged",),
    }

    def __getattr__(name):
        """Load what is asked for."""
        for home, names in _HOMES.items():
            if name in names:
                import importlib

                module = importlib.import_module(f"cw_store.testing.{home}")
                return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module 'cw_store.testing' has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
