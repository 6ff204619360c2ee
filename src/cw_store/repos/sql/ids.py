"""Ids: nanoid's alphabet and length."""

from __future__ import annotations

import os

from nanoid.resources import alphabet, size

_letter_of_byte = bytes(ord(alphabet[byte % len(alphabet)]) for byte in range(256))


def new_id() -> str:
    """Return a new nanoid.

    The alphabet has 64 letters, so every byte of randomness is one of them with the same
    chance, and none has to be drawn again; nanoid.generate, made for any alphabet, takes
    five times as long.
    """
    return os.urandom(size).translate(_letter_of_byte).decode("ascii")
