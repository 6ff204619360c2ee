"""The file of rows that were left out, whole, so that nothing of the source disappears silently."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

from cw_store.errors import StoreError
from cw_store.location import Location
from cw_store.original.findings import Draft, Findings
from cw_store.original.shape import SourceValue


def path_beside(target: Location) -> Path:
    """Return where the file is to be: beside the target, or in the working directory."""
    if target.path is not None:
        return Path(f"{target.path}.left-out.jsonl")
    assert target.server is not None
    name = re.sub(r"[^\w.-]", "_", str(target.server.database))
    return Path.cwd() / f"{name}.left-out.jsonl"


def write(path: Path, findings: Findings) -> None:
    """Write the file anew, for its owner alone; raises StoreError when that is not possible."""
    try:
        path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            for draft, code, reason in findings.left_out:
                file.write(_line(draft, code, reason))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(
            f"cannot write {path.name!r}, the file of rows that are left out: {error.strerror}; "
            "nothing was imported"
        ) from error


def _line(draft: Draft, code: str, reason: str) -> str:
    row = {
        name: "(not shown)" if draft.is_secret(name) else _shown(value)
        for name, value in draft.whole().items()
    }
    found: dict[str, Any] = {"table": draft.table.name, "code": code, "reason": reason, "row": row}
    return json.dumps(found, ensure_ascii=False) + "\n"


def _shown(value: SourceValue) -> Any:
    if not isinstance(value, bytes):
        return value if value is None or isinstance(value, int) else _shown_float(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def _shown_float(value: float) -> Any:
    return value if value - value == 0 else str(value)
