"""Credentials at rest: encrypted with Fernet keys when the store has any.

Encrypted text begins with a marker, and so does plain text that happens to look like it, so
both come back byte for byte whatever they hold.

What is encrypted is bound to its cell, so that whoever can write to the database but has no key
cannot give one account another's credentials. Fernet authenticates what it encrypts and knows no
associated data, so table, column and id are encrypted together with the text, in front of it, and
compared when it is read. That leaves the keys and their rotation as they are, where an AEAD would
need a second key derived from each. NUL keeps the parts apart, as no id and no text holds one; for
the same reason a bound text under the older marker, which is bound to nothing, is found out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Protocol

from cw_store.errors import StoreError, UnreadableError
from cw_store.types import ENCRYPTION_MARK, Cell, ValueRules

KEYS_VARIABLE = "CW_STORE_KEYS"
logger = logging.getLogger(__name__)
BOUND = ENCRYPTION_MARK + "bound:"
"""Begins every text that is encrypted for its cell."""
UNBOUND = ENCRYPTION_MARK + "fernet:"
"""Begins a text that is encrypted and bound to nothing: of an older version, or written with an
application's own statement; `rekey` binds it."""
_PLAIN = ENCRYPTION_MARK + "plain:"


def rules_for(keys: Sequence[str | bytes], max_text_bytes: int) -> ValueRules:
    """Return how values are checked and encrypted under `keys`; else under those of $CW_STORE_KEYS.

    Raises ValueError for something that is no Fernet key, StoreError when there are keys and
    the extra `cw-store[crypto]` is not installed.
    """
    if not keys:
        keys = [key.strip() for key in os.environ.get(KEYS_VARIABLE, "").split(",") if key.strip()]
    if not keys:
        return ValueRules(max_text_bytes, encrypt=_PlainCipher().encrypt, decrypt=_decrypt_plain)
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
    encrypt = _FernetCipher(fernet, InvalidToken)
    return ValueRules(
        max_text_bytes, encrypts=True, encrypt=encrypt.encrypt, decrypt=encrypt.decrypt
    )


class _Fernet(Protocol):
    def encrypt(self, msg: bytes) -> bytes: ...

    def decrypt(self, msg: bytes | str) -> bytes: ...


class _FernetCipher:
    """Encrypts under the first key, decrypts under any."""

    def __init__(self, fernet: _Fernet, invalid: type[Exception]) -> None:
        self._fernet = fernet
        self._invalid = invalid

    def encrypt(self, text: str, cell: Cell | None) -> str:
        mark, whole = (UNBOUND, text) if cell is None else (BOUND, _binding(cell) + text)
        # An id with a lone surrogate is refused after this, by its own column.
        return mark + self._fernet.encrypt(whole.encode(errors="surrogatepass")).decode()

    def decrypt(self, text: str, cell: Cell | None) -> str:
        if text.startswith(BOUND):
            if cell is None:
                return text  # it is for the accounts repository, which knows whose it is
            whole = self._decrypted(text.removeprefix(BOUND), cell)
            binding = _binding(cell)
            if not whole.startswith(binding):
                raise unreadable(cell, "it was encrypted for another row or column")
            return whole.removeprefix(binding)
        if text.startswith(UNBOUND):
            whole = self._decrypted(text.removeprefix(UNBOUND), cell)
            if "\0" in whole:
                raise unreadable(cell, "it was encrypted for some row and column, and says no more")
            return whole
        return _decrypt_plain(text, cell)

    def _decrypted(self, token: str, cell: Cell | None) -> str:
        try:
            return self._fernet.decrypt(token).decode()
        except (self._invalid, ValueError) as error:
            raise unreadable(
                cell, "it is damaged, or encrypted with a key that is not among encryption_keys"
            ) from error


class _PlainCipher:
    """Keeps text as it is, and says so once for each store."""

    def __init__(self) -> None:
        self._warned = False

    def encrypt(self, text: str, _cell: Cell | None) -> str:
        if not self._warned:
            self._warned = True
            logger.warning(
                "credentials are stored unencrypted; pass encryption_keys or set $%s",
                KEYS_VARIABLE,
                extra={"event": "credentials_unencrypted"},
            )
        return _PLAIN + text if text.startswith(ENCRYPTION_MARK) else text


def _decrypt_plain(text: str, cell: Cell | None) -> str:
    if text.startswith((BOUND, UNBOUND)):
        raise unreadable(
            cell,
            "it is encrypted and this store has no encryption_keys; "
            f"pass them or set ${KEYS_VARIABLE}",
        )
    return text.removeprefix(_PLAIN) if text.startswith(_PLAIN) else text


def _binding(cell: Cell) -> str:
    return f"{cell.table}\0{cell.column}\0{cell.id}\0"


def unreadable(cell: Cell | None, reason: str) -> StoreError:
    """Return the error for a text that cannot be read from its cell, which may be unknown."""
    if cell is None:
        return StoreError(f"an encrypted column cannot be read: {reason}")
    return UnreadableError(cell.table, cell.id, cell.column, reason)
