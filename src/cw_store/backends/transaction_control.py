"""An application's statements that would take a unit's transaction from it, told by their words."""

from __future__ import annotations

import re
from typing import Protocol

from cw_store.errors import UnitOfWorkError

NO_ISOLATION_LEVEL = (
    "a unit of work is one transaction, whose isolation is the store's affair; a session's "
    "connection takes no isolation_level"
)

SAVEPOINT_NAMES = "cw_savepoint_"
"""What the names of a unit's savepoints begin with."""

_BLANK = re.compile(r"(?:[\s\ufeff]+|--[^\n]*(?:\n|$))*")
_WORD = re.compile(r"\w+|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]")
_COMMENT_MARK = re.compile(r"/\*|\*/")
_ENDS = frozenset({"ABORT", "BEGIN", "COMMIT", "END", "START"})
_ENDS_SAVEPOINT = frozenset({"RELEASE", "ROLLBACK", "SAVEPOINT"})


class Spendable(Protocol):
    """A unit of work, of which nothing shall be stored any more."""

    def lose(self, error: UnitOfWorkError) -> None:
        """Spend the unit so that only its rollback makes it good again."""
        ...


def refuse_transaction_control(sql: str, owner: Spendable) -> None:
    """Raise UnitOfWorkError, and spend the unit, for a statement that would end its transaction.

    Or begin another, or end one of the unit's own savepoints. An application's savepoints are its
    own affair.
    """
    word = transaction_control(sql)
    if word is None:
        return
    error = UnitOfWorkError(
        f"{word} as a statement would take the transaction from its unit of work, so it was not "
        "sent, and nothing of the unit is stored; call uow.commit() or uow.rollback(), and "
        "uow.savepoint() for a part"
    )
    owner.lose(error)
    raise error


def transaction_control(sql: str) -> str | None:
    """Return the word with which a statement would end or begin a transaction, or None.

    Comments are read as SQLite does, which does not nest them, and as PostgreSQL does.
    """
    for nested in (False, True):
        words = leading_words(sql, nested=nested)
        first, second = (*(word.upper() for word in words[:2]), "", "")[:2]
        if first in _ENDS:
            return first
        if (first, second) == ("PREPARE", "TRANSACTION"):
            return "PREPARE TRANSACTION"
        if first in _ENDS_SAVEPOINT:
            if first == "ROLLBACK" and "TO" not in (word.upper() for word in words[1:3]):
                return first
            if words[-1].strip('"`[]').lower().startswith(SAVEPOINT_NAMES):
                return f"{first} of the unit's savepoint"
    return None


def leading_words(sql: str, *, nested: bool) -> list[str]:
    """Return the first words of a statement, as many as a savepoint's longest takes."""
    words: list[str] = []
    start = _past_blanks(sql, 0, nested=nested)
    while sql.startswith(";", start):  # statements without words
        start = _past_blanks(sql, start + 1, nested=nested)
    while len(words) < 5:
        word = _WORD.match(sql, start)
        if word is None:
            break
        words.append(word[0])
        start = _past_blanks(sql, word.end(), nested=nested)
    return words


def _past_blanks(sql: str, start: int, *, nested: bool) -> int:
    while True:
        blank = _BLANK.match(sql, start)
        assert blank is not None, "it matches nothing too"
        start = blank.end()
        if not sql.startswith("/*", start):
            return start
        start = _end_of_comment(sql, start, nested=nested)


def _end_of_comment(sql: str, start: int, *, nested: bool) -> int:
    depth = 0
    for mark in _COMMENT_MARK.finditer(sql, start):
        if mark[0] == "/*":
            depth = depth + 1 if nested or not depth else depth
        else:
            depth -= 1
        if not depth:
            return mark.end()
    return len(sql)
