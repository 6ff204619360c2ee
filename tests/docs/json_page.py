"""docs/reference/json.md: what `--json` writes, as JSON Schema made of the records' types."""

import dataclasses
import json
import types
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cw_store import Agent, Proposal, views
from cw_store.cli.failures import EXIT_CODES
from cw_store.cli.output import SCHEMA_VERSION

PAGE = "reference/json.md"

DATA: dict[str, tuple[object, str]] = {
    "inbox": (views.Inbox, "What waits for a person."),
    "search": (views.SearchResult, "What was found, by kind."),
    "graph": (list[views.Graph], "Each initiative's graph."),
    "timeline": (list[views.Timeline], "Each initiative's timeline."),
    "accept": (Proposal, "The proposal as it is now."),
    "dismiss": (Proposal | Agent, "The proposal, or the agent, as it is now."),
}
"""What stands under `data`, by the command."""

ROWS = ("ls", "ready", "retry", "account", "resolve")

OPENING = f"""# JSON

With `--json` each command writes one line of JSON to stdout, and if it fails one to stderr, with
`error` instead of `data`: `{{"schema_version": {SCHEMA_VERSION}, "data": …}}`.
`schema_version` grows when something is renamed or taken away; what is added does not change it.
Times are in ISO 8601 and UTC, lengths of time in seconds. No secret is ever in it.

{", ".join(f"`{name}`" for name in ROWS)} write a list of rows: objects with the columns' names,
which `--help` lists. `logs -f` and `watch` write a line for each thing that comes.
The rest of this page is JSON Schema of what views and actions write under `data`. What the other
commands write are objects whose names are those of what they show.
"""


def page() -> dict[str, str]:
    """Return the page's text by its path in docs/."""
    parts = [OPENING, f"## An error\n\n{_block(error_schema())}"]
    parts += [
        f"## {name}\n\n{words}\n\n{_block(schema(kind))}" for name, (kind, words) in DATA.items()
    ]
    return {PAGE: "\n".join(parts)}


def error_schema() -> dict[str, Any]:
    """Return what stands under `error`."""
    properties: dict[str, Any] = {
        "code": {"enum": list(EXIT_CODES)},
        "exit_code": {"enum": sorted(set(EXIT_CODES.values()))},
        "message": {"type": "string"},
        "docs": {"type": "string"},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def schema(kind: object) -> dict[str, Any]:
    """Return the schema of what is written of a value of this type."""
    records = dict[str, Any]()
    return {**_of(kind, records), "$defs": records}


def _block(written: object) -> str:
    return f"```json\n{json.dumps(written, indent=2)}\n```\n"


_PLAIN: dict[object, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
    timedelta: {"type": "number"},
    types.NoneType: {"type": "null"},
}


def _of(kind: Any, records: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin is types.UnionType or origin is Union:
        return {"anyOf": [_of(each, records) for each in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(arguments[1], records)}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return {"type": "array", "items": _of(arguments[0], records)}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _record(kind, records)
    return {}  # any JSON


def _record(kind: type, records: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in records:
        records[kind.__name__] = {}  # it may refer to itself
        hints = get_type_hints(kind)
        shown = [field.name for field in dataclasses.fields(kind) if field.repr]
        properties = {name: _of(hints[name], records) for name in shown}
        records[kind.__name__] = {"type": "object", "properties": properties, "required": shown}
    return {"$ref": f"#/$defs/{kind.__name__}"}
