"""The port by which somebody is told of each call and each unit of work of a store.

`Store.observe(observer)` installs one. Without any a call does not even look whether there is one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

logger = logging.getLogger(__name__)

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class CallBegin:
    """A method of a repository was called: `repository` and `method`, as in `tasks`, `create`.

    `batch_size` is how many rows it was given, where it takes any number. There is nothing of the
    values that it was called with.
    """

    repository: str
    method: str
    batch_size: int | None
    in_unit: bool

    @property
    def name(self) -> str:
        """The method as it is called, `tasks.create`."""
        return f"{self.repository}.{self.method}"


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended: with nothing, or with this error, a cancellation among them."""

    error: BaseException | None


@dataclass(frozen=True, slots=True)
class UnitBegin:
    """The block of a unit of work was entered."""

    label: str | None
    read_only: bool


@dataclass(frozen=True, slots=True)
class UnitEnd:
    """How a unit of work ended.

    `committed` is as that of the unit: None when nobody can know. `error` is what the block or the
    commit raised; GeneratorExit where it was torn out of its loop, or dropped. `statements` is how
    many it ran; `waited` the seconds until it had the writer's turn or a connection, `held` those
    from then on.
    """

    committed: bool | None
    error: type[BaseException] | None
    statements: int
    waited: float
    held: float


CallEnds: TypeAlias = Callable[[CallEnd], object]
UnitEnds: TypeAlias = Callable[[UnitEnd], object]


class Observer(Protocol):
    """Who is told of calls and units of work.

    Both methods are called on the store's event loop, in the task that calls, before anything is
    done. What they return is called once, when it has ended, however it did, and in the same task;
    but for a unit that is ended by another task than the one that entered it, or was dropped. They
    must not wait. What any of it raises is logged, and changes nothing for who calls.
    """

    def begin_call(self, call: CallBegin) -> CallEnds | None:
        """Take note that a method of a repository is called; None when its end is not wanted."""
        ...

    def begin_unit(self, unit: UnitBegin) -> UnitEnds | None:
        """Take note that a unit of work is entered; None when its end is not wanted."""
        ...


class Observers:
    """All who observe one store, and how often each method was called while anybody does."""

    def __init__(self, calls_by_name: Counter[str], *observers: Observer) -> None:
        self.calls_by_name = calls_by_name
        self.all = observers

    def begin_call(self, call: CallBegin) -> CallEnds:
        """Tell all that a method is called; return what tells them of its end."""
        self.calls_by_name[call.name] += 1
        return _each([_told(observer.begin_call, call) for observer in self.all])

    def begin_unit(self, label: str | None, *, read_only: bool) -> UnitEnds:
        """Tell all that a unit is entered; return what tells them of its end."""
        unit = UnitBegin(label, read_only)
        return _each([_told(observer.begin_unit, unit) for observer in self.all])


def _each(ends: list[Callable[[A], object] | None]) -> Callable[[A], None]:
    """Return what calls those that are wanted, the last first, as blocks end."""

    def end(how: A) -> None:
        for one in reversed(ends):
            if one is not None:
                _told(one, how)

    return end


B = TypeVar("B")


def _told(tell: Callable[[A], B], what: A) -> B | None:
    """Tell, and log what whoever is told raises."""
    try:
        return tell(what)
    except Exception:
        logger.exception("who observes the store failed", extra={"event": "observer_failed"})
        return None
