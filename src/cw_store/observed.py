"""A repository whose every call is told to who observes the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Protocol

from cw_store.observing import CallBegin, CallEnd, Observers


class Plain(Protocol):
    """The repositories themselves, each an attribute that makes it when it is first asked for."""

    is_in_unit: bool


class ObservedRepository:
    """Stands for the repository of this name.

    A method is looked up with each call, since a recording exchanges the repository's class.
    """

    __slots__ = ("_name", "_observers", "_plain")

    def __init__(self, name: str, plain: Plain, observers: Observers) -> None:
        self._name = name
        self._plain = plain
        self._observers = observers

    def __repr__(self) -> str:
        """Say what this stands for."""
        return f"<observed {self._name}>"

    def __getattr__(self, method: str) -> Any:
        """Return a method that is observed, and whatever else there is as it is."""
        found = getattr(getattr(self._plain, self._name), method)
        if method.startswith("_") or not iscoroutinefunction(found):
            return found
        return self._observed(method, found)

    def _observed(
        self, method: str, call: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        observers, name, in_unit = self._observers, self._name, self._plain.is_in_unit

        @wraps(call)
        async def observed(*arguments: Any, **values: Any) -> Any:
            begin = CallBegin(name, method, _batch_size(arguments), in_unit)
            end = observers.begin_call(begin)
            try:
                result = await call(*arguments, **values)
            except BaseException as error:
                end(CallEnd(error))
                raise
            end(CallEnd(None))
            return result

        return observed


def _batch_size(arguments: tuple[Any, ...]) -> int | None:
    """Return how many rows a method was given that takes any number of them."""
    first: Any = arguments[0] if arguments else None
    return len(first) if isinstance(first, list | tuple) else None  # pyright: ignore[reportUnknownArgumentType] -- of any kind
