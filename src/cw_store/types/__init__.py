"""Column types: what each column takes, how each database keeps it, what is refused.

A type checks a value before it reaches a driver, so both databases refuse the same
things for the same reason. It raises `Refused`; the database adds table and column and
makes an `InvalidValueError` of it.
"""

from cw_store.types.columns import (
    MAX_INDEXED_BYTES,
    CheckedJson,
    Encrypted,
    Flag,
    Id,
    Ids,
    IndexedText,
    Json,
    LargeNumber,
    Limit,
    Now,
    OneOf,
    PlainText,
    SharedNow,
    Stamp,
    UtcDateTime,
    WholeNumber,
    kind_on,
)
from cw_store.types.json_text import for_jsonb, read_json, read_json_or_keep
from cw_store.types.rules import (
    ENCRYPTION_MARK,
    MAX_TEXT_BYTES,
    Cell,
    Clock,
    Refused,
    Unreadable,
    ValueRules,
    clock_of,
    use_rules,
)
from cw_store.types.storage import storage_on
from cw_store.types.timestamps import (
    EARLIEST,
    EPOCH,
    MICROSECOND,
    Reading,
    StrictClock,
    microseconds_of,
    timestamp_of,
)

__all__ = [
    "EARLIEST",
    "ENCRYPTION_MARK",
    "EPOCH",
    "MAX_INDEXED_BYTES",
    "MAX_TEXT_BYTES",
    "MICROSECOND",
    "Cell",
    "CheckedJson",
    "Clock",
    "Encrypted",
    "Flag",
    "Id",
    "Ids",
    "IndexedText",
    "Json",
    "LargeNumber",
    "Limit",
    "Now",
    "OneOf",
    "PlainText",
    "Reading",
    "Refused",
    "SharedNow",
    "Stamp",
    "StrictClock",
    "Unreadable",
    "UtcDateTime",
    "ValueRules",
    "WholeNumber",
    "clock_of",
    "for_jsonb",
    "kind_on",
    "microseconds_of",
    "read_json",
    "read_json_or_keep",
    "storage_on",
    "timestamp_of",
    "use_rules",
]
