"""Ids of the source, which stay byte for byte, and what becomes of those that cannot."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence

from cw_store.errors import StoreError
from cw_store.original.findings import Draft, Findings, cut
from cw_store.original.shape import SourceValue
from cw_store.original.texts import REASONS, text_of
from cw_store.types import MAX_INDEXED_BYTES

NANOID_LENGTH = 21


class Ids:
    """What the rows of every table are called in the store, by what the source calls them."""

    def __init__(self) -> None:
        self._ids: dict[str, dict[bytes, str]] = {}

    def assign(self, drafts: Sequence[Draft], findings: Findings) -> None:
        """Give each row of one table its id; those that need another get it last."""
        taken: set[str] = set()
        others: list[tuple[Draft, bytes, str]] = []
        for draft in drafts:
            raw = key_of(draft.get("id"))
            text = text_of(raw).value or ""
            if text and text.encode() == raw and text not in taken:
                self._take(draft, raw, text, taken)
            else:
                others.append((draft, raw, text))
        for draft, raw, text in others:
            if not text:
                code, reason = "id_empty", "it had no id, and has a new one"
                text = derived_id(draft)
            elif text in taken:
                code, reason = "id_twice", "another row has this id; it has a new one"
                text = derived_id(draft)
            else:
                code = text_of(raw).codes[0]
                reason = REASONS[code]
            self._take(draft, raw, text, taken)
            findings.repair(draft, code, reason, "id", raw, text)

    def _take(self, draft: Draft, raw: bytes, text: str, taken: set[str]) -> None:
        if len(text.encode()) > MAX_INDEXED_BYTES:
            raise too_long(draft.table.name, "id", cut(text), len(text.encode()), MAX_INDEXED_BYTES)
        taken.add(text)
        draft.values["id"] = text
        self._ids.setdefault(draft.table.name, {}).setdefault(raw, text)

    def find(self, table: str, raw: bytes) -> str | None:
        """Return the id in the store of the row that the source calls so, None for no row."""
        return self._ids.get(table, {}).get(raw)


def key_of(raw: SourceValue) -> bytes:
    """Return what rows are compared by; a row without an id is the one with the empty id."""
    if raw is None:
        return b""
    return raw if isinstance(raw, bytes) else str(raw).encode()


def derived_id(draft: Draft, part: int = 0) -> str:
    """Return an id like a nanoid, the same whenever this row is read."""
    return nanoid_of(f"{draft.table.name}\0{draft.number}\0{part}\0{draft.raw!r}")


def nanoid_of(seed: str) -> str:
    """Return an id like a nanoid, which nothing but the seed decides."""
    digest = hashlib.sha256(seed.encode(errors="surrogatepass")).digest()
    return urlsafe_b64encode(digest).decode()[:NANOID_LENGTH]


def too_long(table: str, column: str, id: str | None, size: int, most: int) -> StoreError:
    """Return the refusal of text that the store does not take and that must not be cut."""
    return StoreError(
        f"{table}.{column} of {id!r} is {size} bytes long, more than the {most} that a store "
        "takes; nothing was written; shorten it in the source, or leave that row out there"
    )
