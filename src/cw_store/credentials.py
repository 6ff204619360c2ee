"""Credentials at rest: sealed with Fernet keys when the store has any.

Sealed text begins with a marker, and so does plain text that happens to look like it, so
both come back byte for byte whatever they hold.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from cw_store.errors import StoreError
from cw_store.types import SEAL_MARK, ValueRules

KEYS_VARIABLE = "CW_STORE_KEYS"
_log = logging.getLogger("cw_store")
SEALED = SEAL_MARK + "fernet:"
"""Begins every text that is encrypted."""
_PLAIN = SEAL_MARK + "plain:"


def rules_for(keys: Sequence[str | bytes], max_text_bytes: int) -> ValueRules:
    """Return how values are checked and sealed under `keys`; without any, those of $CW_STORE_KEYS.

    Raises ValueError for something that is no Fernet key, StoreError when there are keys and
    the extra `cw-store[crypto]` is not installed.
    """
    if not keys:
        keys = [key.strip() for key in os.environ.get(KEYS_VARIABLE, "").split(",") if key.strip()]
    if not keys:
        return ValueRules(max_text_bytes, seal=_PlainSeal().seal, unseal=_unseal_plain)
    try:
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet
    except ImportError as error:
        raise StoreError(
            "encryption_keys need the extra crypto: install cw-store[crypto]"
        ) from error
    try:
        fernet = MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise ValueError("encryption_keys are Fernet keys: 32 bytes in url-safe base64") from error

    def seal(text: str) -> str:
        return SEALED + fernet.encrypt(text.encode()).decode()

    def unseal(text: str) -> str:
        if not text.startswith(SEALED):
            return _unseal_plain(text)
        try:
            return fernet.decrypt(text.removeprefix(SEALED)).decode()
        except InvalidToken as error:
            raise StoreError(
                "stored credentials are encrypted with a key that is not among encryption_keys"
            ) from error

    return ValueRules(max_text_bytes, seals=True, seal=seal, unseal=unseal)


class _PlainSeal:
    """Keeps text as it is, and says so once for each store."""

    def __init__(self) -> None:
        self._warned = False

    def seal(self, text: str) -> str:
        if not self._warned:
            self._warned = True
            _log.warning(
                "credentials are stored unencrypted; pass encryption_keys or set $%s",
                KEYS_VARIABLE,
            )
        return _PLAIN + text if text.startswith(SEAL_MARK) else text


def _unseal_plain(text: str) -> str:
    if text.startswith(SEALED):
        raise StoreError(
            "stored credentials are encrypted and this store has no encryption_keys; "
            f"pass them or set ${KEYS_VARIABLE}"
        )
    return text.removeprefix(_PLAIN) if text.startswith(_PLAIN) else text
