"""Functions that are written out as text, as dataclasses does it.

A loop over the parameters of a statement, or the columns of a row, takes two to three times as
long. The text is made of the names of columns and parameters alone. A traceback shows it, and
`inspect.getsource` finds it, since linecache is told of it.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import cache
from itertools import count, zip_longest
from types import CodeType, MappingProxyType
from typing import Any

from cw_store.types import Refused, Unreadable

Processor = Callable[..., Any]

NUL = repr("\0")
"""The character that no text may hold, as it is written in a program."""


def write_binder(
    what: str,
    result: Sequence[str],
    checks: Mapping[str, Processor],
    fixed: Mapping[str, Any],
    needed: Container[str],
    refuse: Callable[[Mapping[str, Any]], None],
    with_id: Container[str] = (),
    plain: Mapping[str, range] = MappingProxyType({}),
) -> Callable[[Mapping[str, Any]], list[Any]]:
    """Return what makes a list of values by name: as `result` names them, some of them twice.

    Each is checked and converted, or is one of the `fixed`; those `with_id` are checked together
    with the row's id, which is the value of that name. ASCII without NUL, of a length that is
    `plain` for its name, needs no check. `refuse` is called with the values and shall raise if one
    that is `needed` is None, or a check raised Refused. `what` says in tracebacks what the values
    are of.
    """
    names = [name for name in dict.fromkeys(result) if name not in fixed]
    places = {name: f"value_{place}" for place, name in enumerate(names)}
    known: dict[str, Any] = {"Refused": Refused, "refuse": refuse, "type": type, "str": str}
    lines = ["def bind(values):", "    try:", "        pass"]  # there may be nothing to check
    for place, name in enumerate(names):
        known[f"check_{place}"] = checks[name]
        if name in plain:
            lines += _unless_plain(f"value_{place}", name, plain[name])
            lines.append(f"            value_{place} = check_{place}(value_{place})")
            continue
        id = ", values['id']" if name in with_id else ""
        lines.append(f"        value_{place} = check_{place}(values[{name!r}]{id})")
    lines += ["    except Refused:", "        refuse(values)", "        raise"]
    empty = [f"{places[name]} is None" for name in names if name in needed]
    if empty:
        lines += [f"    if {' or '.join(empty)}:", "        refuse(values)"]
    for place, (name, value) in enumerate(fixed.items()):
        places[name] = f"fixed_{place}"
        known[f"fixed_{place}"] = value
    lines.append(f"    return [{', '.join(places[name] for name in result)}]")
    return _written(f"binder of {what}", lines, known)["bind"]


def _unless_plain(value: str, name: str, lengths: range) -> list[str]:
    is_fit = f"{lengths.start} <= len({value}) < {lengths.stop}"
    return [
        f"        {value} = values[{name!r}]",
        f"        if type({value}) is not str or not ({is_fit}) or not {value}.isascii()"
        f" or {NUL} in {value}:",
    ]


def write_reader(
    what: str,
    names: Sequence[str],
    processors: Sequence[Processor | None],
    kinds: Sequence[type | None] = (),
    with_id: Container[str] = (),
    unreadable: Callable[[Any, Sequence[Any]], None] | None = None,
    record: type | None = None,
) -> Callable[[Iterable[Sequence[Any]]], list[Any]]:
    """Return what makes an object with these slots of each row, and converts what it holds.

    It becomes a `record` where one is given, whose slots are the same. A value is None or of its
    `kind`, where it has one. What is `with_id` is converted together with the row's id, which is
    the slot of that name. `unreadable` is called with the object and the row when a value is not,
    or cannot be converted, and shall raise, or fill the object and make it what it is to be. `what`
    says in tracebacks what the rows become.
    """
    # A column may be called `type`.
    known: dict[str, Any] = {"Unreadable": Unreadable, "_unreadable": unreadable, "_type": type}
    known |= {"_new": object.__new__, "_Record": record}
    known["_Blank"] = type("Blank", (), {"__slots__": tuple(names)})
    row = f"({', '.join(names)},)"
    lines = ["def read(_rows):", "    _made = []", f"    for {row} in _rows:"]
    lines += ["        _each = _new(_Blank)", "        try:"]
    strange: list[str] = []
    for place, (name, kind) in enumerate(zip(names, kinds, strict=False)):
        if kind is not None:
            known[f"_kind_{place}"] = kind
            strange.append(f"(_type({name}) is not _kind_{place} and {name} is not None)")
    if strange:
        lines += [f"            if {' or '.join(strange)}:", "                raise Unreadable"]
    # A statement that gives no rows back may have fewer columns than the record.
    for name, process in zip_longest(names, processors[: len(names)]):
        if process is None:
            lines.append(f"            _each.{name} = {name}")
        else:
            known[f"_convert_{name}"] = process
            id = ", id" if name in with_id else ""
            value = f"None if {name} is None else _convert_{name}({name}{id})"
            lines.append(f"            _each.{name} = {value}")
    lines.append("        except Exception:")
    lines.append(f"            {'raise' if unreadable is None else f'_unreadable(_each, {row})'}")
    if record is not None:
        lines += ["        else:", "            _each.__class__ = _Record"]
    lines += ["        _made.append(_each)", "    return _made"]
    return _written(f"reader of {what}", lines, known)["read"]


def _written(what: str, lines: Sequence[str], known: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = {}
    known["__name__"] = __name__
    exec(_compiled(what, "\n".join(lines) + "\n"), known, written)  # noqa: S102 -- of names from the schema alone
    return written


@cache
def _compiled(what: str, source: str) -> CodeType:
    """Compile the text, under the name of a file that linecache knows and no other text has."""
    lines = (len(source), None, source.splitlines(keepends=True))
    for number in count(1):
        file = f"<cw_store: {what}>" if number == 1 else f"<cw_store: {what}, {number}>"
        known: tuple[Any, ...] = linecache.cache.setdefault(file, (*lines, file))
        if known == (*lines, file):
            return compile(source, file, "exec")
    raise AssertionError("the numbers do not end")
