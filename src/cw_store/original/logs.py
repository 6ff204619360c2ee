"""Log chunks of the source, which may be many gigabytes: read and set right in batches."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from cw_store.original.cells import Cells
from cw_store.original.findings import Draft, Findings
from cw_store.original.ids import Ids, derived_id, key_of
from cw_store.original.references import name_free_id
from cw_store.original.rows import row_of
from cw_store.original.shape import LOGS
from cw_store.original.source import Source
from cw_store.original.texts import text_of
from cw_store.statements.reading import Row
from cw_store.types import MAX_INDEXED_BYTES


class LogChunks:
    """The source's log chunks, one pass over them, and how many that were."""

    def __init__(
        self, source: Source, ids: Ids, cells: Cells, findings: Findings, max_text_bytes: int
    ) -> None:
        self._source = source
        self._ids = ids
        self._cells = cells
        self._findings = findings
        self._most = max_text_bytes
        self.read = self.repaired = self.added = 0

    async def rows(self) -> AsyncGenerator[list[Row]]:
        """Give the rows to store, in the order of storing."""
        repeated = await self._source.repeated_ids(LOGS)
        seen: set[bytes] = set()
        async with aclosing(self._source.read(LOGS)) as batches:
            async for batch in batches:
                rows: list[Row] = []
                for draft in batch:
                    self._fill(draft, repeated, seen)
                    rows += self._pieces(draft)
                    self.repaired += draft.is_repaired
                self.read += len(batch)
                yield rows

    def _fill(self, draft: Draft, repeated: set[bytes], seen: set[bytes]) -> None:
        self._name(draft, repeated, seen)
        self._cells.fill(draft)
        name_free_id(draft, "agent_id", self._ids, self._findings)

    def _name(self, draft: Draft, repeated: set[bytes], seen: set[bytes]) -> None:
        """Keep the id, or give the row another that is the same in every pass."""
        raw = key_of(draft.get("id"))
        text, codes = text_of(raw)
        if text and not codes and raw not in seen and len(raw) <= MAX_INDEXED_BYTES:
            draft.values["id"] = text
            if raw in repeated:
                seen.add(raw)
            return
        draft.values["id"] = new = derived_id(draft)
        code = "id_twice" if raw in seen else "id_empty" if not text else "id_unfit"
        reason = "its id cannot be kept, as it is empty, no text or another's; it has a new one"
        self._findings.repair(draft, code, reason, "id", raw, new)

    def _pieces(self, draft: Draft) -> Iterator[Row]:
        """Give the chunk, or what it is split into where it is longer than a store's text."""
        content: Any = draft.values["content"]
        if len(content) * 4 <= self._most or len(encoded := content.encode()) <= self._most:
            yield row_of(draft)
            return
        pieces = list(split(encoded, self._most))
        self.added += len(pieces) - 1
        reason = f"it is {len(encoded)} bytes long; it is {len(pieces)} chunks now"
        self._findings.repair(draft, "split", reason, "content", None, None)
        for number, piece in enumerate(pieces):
            if number:
                draft.values["id"] = derived_id(draft, number)
            draft.values["content"] = piece
            yield row_of(draft)


def split(text: bytes, most: int) -> Iterator[str]:
    """Cut UTF-8 into pieces: after a line that ends in the second half, else between characters."""
    start = 0
    while len(text) - start > most:
        end = text.rfind(b"\n", start + most // 2, start + most) + 1
        if not end:
            end = start + most
            while text[end] & 0xC0 == 0x80:  # within a character
                end -= 1
        yield text[start:end].decode()
        start = end
    yield text[start:].decode()
