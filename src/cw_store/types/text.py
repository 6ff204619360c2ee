"""Which text both databases can keep."""

from __future__ import annotations

from cw_store.types.rules import MAX_TEXT_BYTES, Refused


def check_text(value: object, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the text of `value` when both databases can keep it, else raise `Refused`."""
    if not isinstance(value, str):
        raise Refused(f"takes text, not {type(value).__name__}")
    value = plain(value)
    if "\0" in value:
        raise Refused("must not contain the character NUL")
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise Refused("must not contain a lone surrogate") from None
    if size > max_bytes:
        raise Refused(f"is {size} bytes long, more than the {max_bytes} allowed")
    return value


def plain(text: str) -> str:
    """Return the text alone, of a member of an enumeration for instance, as it will be read."""
    return text if type(text) is str else str.__str__(text)
