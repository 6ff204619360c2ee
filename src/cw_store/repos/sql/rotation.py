"""The rotation of accounts: which one is to be used next, and how it is claimed.

Whoever claims one for an agent takes a lease too, so that only those count that have room for one
more; whoever only wants a login takes none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    exists,
    false,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from cw_store.errors import UnreadableError
from cw_store.repos.accounts import Account, AccountChanges, AccountExpected, NewAccount
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import accounts, agents
from cw_store.statements.expressions import (
    PRESENT,
    SHARED_NOW,
    STAMP,
    EndOfTime,
    Later,
    MicrosecondAfter,
    later_than,
)
from cw_store.statements.procedure import Procedure, row
from cw_store.statements.query import Query

logger = logging.getLogger(__name__)

TABLE = TableGateway(accounts, Account, NewAccount, AccountChanges, AccountExpected)

others = accounts.alias("others")


def _available(row: FromClause) -> ColumnElement[bool]:
    return row.c.is_exhausted.is_(false()) | (row.c.exhausted_until <= SHARED_NOW)


def _has_room(row: FromClause) -> ColumnElement[bool]:
    """Whether one agent more may work under an account, by the leases that are live."""
    users = agents.alias("users")
    in_use = (
        select(func.count())
        .where(users.c.account_id == row.c.id, users.c.lease_expires_at.is_not(None))
        .scalar_subquery()
    )
    return row.c.max_agents.is_(None) | (row.c.max_agents > in_use)


class Asked(NamedTuple):
    """Which accounts come into question: any, or one; with room for one agent more, or without."""

    is_leased: bool
    is_given: bool
    passed: int = 0
    """So many are passed by: their ids are the parameters `passed_0` and so on."""


ANY_IN_TURN = Asked(is_leased=False, is_given=False)


def candidates(asked: Asked) -> ColumnElement[bool]:
    """Return the condition that `others` are accounts that can be used now."""
    conditions = [others.c.provider == bindparam("provider"), _available(others)]
    if asked.is_given:
        conditions.append(others.c.id == bindparam("account_id", type_=others.c.id.type))
    if asked.is_leased:
        conditions.append(_has_room(others))
    for number in range(asked.passed):
        conditions.append(others.c.id != bindparam(f"passed_{number}", type_=others.c.id.type))
    return and_(*conditions)


def is_any_available(asked: Asked) -> ColumnElement[bool]:
    """Return the condition that there is an account to be used."""
    return exists(select(PRESENT).select_from(others).where(candidates(asked)))


# What another program wrote is no time of ours, and must not become everybody's.
last_use = (
    select(func.max(others.c.last_used_at))
    .where(others.c.provider == bindparam("provider"), others.c.last_used_at <= EndOfTime())
    .scalar_subquery()
)

# The use is stamped later than every other, so the turn goes round when the clock stands still or
# steps back.
use = (
    update(accounts)
    .values(
        last_used_at=Later(STAMP, func.coalesce(MicrosecondAfter(last_use), STAMP)),
        is_exhausted=False,
        updated_at=later_than(accounts.c.updated_at),
    )
    .returning(*TABLE.columns)
)


def _first_in_line(asked: Asked) -> Select[Any, Any]:
    """Select the account that is to be used next."""
    return (
        select(others.c.id, others.c.last_used_at)
        .where(candidates(asked))
        .order_by(others.c.last_used_at.nulls_first(), others.c.sort_order, others.c.id)
        .limit(literal_column("1"))
    )


@cache
def use_next(asked: Asked) -> Query[Account]:
    """Return the claim of the first in line where nobody else writes meanwhile."""
    first = _first_in_line(asked).with_only_columns(others.c.id).scalar_subquery()
    return Query(Account, use.where(accounts.c.id == first), accounts)


def unchanged(asked: Asked) -> ReturningUpdate[Any]:
    """Return the claim of the first in line where others write as well: compare-and-set.

    One who waited for the same account finds it changed, and takes nothing.
    """
    candidate = _first_in_line(asked).subquery("candidate")
    return use.where(
        accounts.c.id == candidate.c.id,
        accounts.c.last_used_at.is_not_distinct_from(candidate.c.last_used_at),
        _available(accounts),
    )


@cache
def use_unchanged(asked: Asked) -> Query[Account]:
    """Return the same as a query."""
    return Query(Account, unchanged(asked), accounts)


@cache
def any_available(asked: Asked) -> Query[int]:
    """Return the query whether any account is left to be used."""
    return Query(
        int, select(PRESENT).select_from(others).where(candidates(asked)).limit(1), accounts
    )


def lock_of(provider: str) -> str:
    """Return the name under which those take turns who rotate a provider's accounts."""
    return f"accounts.{provider!a}"


look_at_secrets = attrgetter("config_json", "credentials")
"""Raises UnreadableError when one of an account's secrets cannot be read."""


def pass_by(error: UnreadableError) -> None:
    """Note that an account cannot be read, and is passed by; raises what is not of one account."""
    if error.id is None:
        raise error
    logger.warning(
        "an account is passed by in the rotation: %s", error, extra={"event": "account_unreadable"}
    )


def next_account(
    use_one: Callable[[Asked], Query[Account]], asked: Asked, values: dict[str, Any]
) -> Procedure[Account | UnreadableError | None]:
    """Use the next account that can be read, and pass the others by.

    `use_one` is the claim of the first in line, of those that come into question.

    Returns the first error if there are accounts left that cannot be read, and no others; None
    when there is none at all.
    """
    unreadable: UnreadableError | None = None
    while True:
        try:
            account = yield from row(use_one(asked), **values)
            if account is not None:
                look_at_secrets(account)
                return account
        except UnreadableError as error:
            pass_by(error)
            values = {**values, f"passed_{asked.passed}": error.id}
            asked = asked._replace(passed=asked.passed + 1)
            unreadable = unreadable or error
            continue
        if (yield from row(any_available(asked), **values)) is None:
            return unreadable
