"""What belongs to an extra that may not be installed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from cw_store.cli.failures import UsageError

_MODULES = {"live": frozenset({"starlette", "uvicorn", "h11", "jinja2", "fast_sugiyama"})}


@contextmanager
def needs_extra(extra: str) -> Generator[None]:
    """Import what belongs to an extra in this block; UsageError when it is not installed."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _MODULES[extra]:
            raise
        raise UsageError(f"this needs the extra {extra}: install cw-store[{extra}]") from error
