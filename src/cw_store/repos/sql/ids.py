"""Ids: nanoid's alphabet and length."""

from __future__ import annotations

import os

from nanoid.resources import alphabet, size

IDS_AT_A_TIME = 64

_letter_of_byte = bytes(ord(alphabet[byte % len(alphabet)]) for byte in range(256))
_made: list[str] = []

# A child would give the same ids as its parent.
os.register_at_fork(after_in_child=_made.clear)


def new_id() -> str:
    """Return a new nanoid; from any thread.

    The alphabet has 64 letters, so every byte of randomness is one of them with the same
    chance, and none has to be drawn again; nanoid.generate, made for any alphabet, takes
    ten times as long. The randomness for many is drawn at once, because the system call
    gives up the interpreter's lock.
    """
    try:
        return _made.pop()
    except IndexError:
        letters = os.urandom(size * IDS_AT_A_TIME).translate(_letter_of_byte).decode("ascii")
        ids = [letters[start : start + size] for start in range(0, len(letters), size)]
        made = ids.pop()
        _made.extend(ids)
        return made
