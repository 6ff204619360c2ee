"""Accounts and their rotation in SQL."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, Unpack

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)

from cw_store.errors import NotFoundError, UnreadableError
from cw_store.repos.accounts import (
    Account,
    AccountChanges,
    AccountExpected,
    AccountRepository,
    NewAccount,
)
from cw_store.repos.sql.listings import Ids, Listing
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import accounts
from cw_store.statements.database import Database
from cw_store.statements.expressions import (
    NOW,
    PRESENT,
    STAMP,
    EndOfTime,
    Later,
    MicrosecondAfter,
    later_than,
)
from cw_store.statements.query import NEW_VALUE, Query, new_values
from cw_store.types import Encrypted, PlainText, WholeNumber

logger = logging.getLogger(__name__)

TABLE = TableGateway(accounts, Account, NewAccount, AccountChanges, AccountExpected)

IDS = Ids(accounts)

ALL = Listing(Account, select(*TABLE.columns), accounts)

BY_EMAIL = TABLE.listing_by("email")

BY_PROVIDER = TABLE.listing_by("provider")

others = accounts.alias("others")


def _available(row: FromClause) -> ColumnElement[bool]:
    return row.c.is_exhausted.is_(false()) | (row.c.exhausted_until <= NOW)


# What another program wrote is no time of ours, and must not become everybody's.
last_use = (
    select(func.max(others.c.last_used_at))
    .where(others.c.provider == bindparam("provider"), others.c.last_used_at <= EndOfTime())
    .scalar_subquery()
)

claim = (
    update(accounts)
    .values(
        last_used_at=Later(STAMP, func.coalesce(MicrosecondAfter(last_use), STAMP)),
        is_exhausted=False,
        updated_at=later_than(accounts.c.updated_at),
    )
    .returning(*TABLE.columns)
)


def _passing_by(passed: int) -> ColumnElement[bool]:
    """Leave out the accounts whose ids are the parameters `passed_0` and so on."""
    names = [f"passed_{number}" for number in range(passed)]
    return and_(
        others.c.provider == bindparam("provider"),
        *(others.c.id != bindparam(name, type_=others.c.id.type) for name in names),
    )


def _first_in_line(passed: int) -> Select[Any, Any]:
    """Select the account that is to be used next, but for so many that are passed by."""
    return (
        select(others.c.id, others.c.last_used_at)
        .where(_passing_by(passed), _available(others))
        .order_by(others.c.last_used_at.nulls_first(), others.c.sort_order, others.c.id)
        .limit(literal_column("1"))
    )


# The use is stamped later than every other, so the turn goes round when the clock stands still or
# steps back.


@cache
def _claim_next(passed: int) -> Query[Account]:
    """Return the claim of the first in line where nobody else writes meanwhile."""
    first = _first_in_line(passed).with_only_columns(others.c.id).scalar_subquery()
    return Query(Account, claim.where(accounts.c.id == first), accounts)


@cache
def _claim_unchanged(passed: int) -> Query[Account]:
    """Return the claim of the first in line where others write as well: compare-and-set.

    One who waited for the same account finds it changed, and takes nothing.
    """
    candidate = _first_in_line(passed).subquery("candidate")
    return Query(
        Account,
        claim.where(
            accounts.c.id == candidate.c.id,
            accounts.c.last_used_at.is_not_distinct_from(candidate.c.last_used_at),
            _available(accounts),
        ),
        accounts,
    )


@cache
def _any_available(passed: int) -> Query[int]:
    return Query(
        int,
        select(PRESENT).select_from(others).where(_passing_by(passed), _available(others)).limit(1),
        accounts,
    )


until = bindparam(NEW_VALUE + "exhausted_until", type_=accounts.c.exhausted_until.type)

# What was reported before counts if it lasts longer, and is not over.
MARK_EXHAUSTED = TABLE.returning(
    update(accounts)
    .where(accounts.c.id == bindparam("id"))
    .values(
        is_exhausted=True,
        exhausted_until=case(
            (
                accounts.c.is_exhausted.is_(true())
                & (
                    accounts.c.exhausted_until.is_(None)
                    | (accounts.c.exhausted_until > NOW) & (accounts.c.exhausted_until > until)
                ),
                accounts.c.exhausted_until,
            ),
            else_=until,
        ),
        updated_at=later_than(accounts.c.updated_at),
    )
)

CLEAR_EXPIRED_EXHAUSTION = Query(
    int,
    update(accounts)
    .where(accounts.c.exhausted_until <= NOW)
    .values(
        is_exhausted=False,
        exhausted_until=None,
        updated_at=later_than(accounts.c.updated_at),
    ),
    accounts,
)


@dataclass(frozen=True, slots=True)
class Secret:
    """The text that one account has in one of its encrypted columns."""

    id: str
    text: str | None = field(repr=False)


ENCRYPTED = [column for column in accounts.columns if isinstance(column.type, Encrypted)]

SECRET = {
    column.name: Query(
        Secret,
        select(*[accounts.c.id, column]).where(accounts.c.id == bindparam("id")),
        accounts,
    )
    for column in ENCRYPTED
}

# Nothing of the record changes, and so its `updated_at` stays.
REENCRYPT = {
    column.name: Query(
        int,
        update(accounts)
        .values({column: bindparam(NEW_VALUE + column.name)})
        .where(accounts.c.id == bindparam("id")),
        accounts,
    )
    for column in ENCRYPTED
}

# Nobody changes the rows between the look and the update; SQLite has one writer anyway.
LOCKED_WITH_SECRETS = Query(
    str,
    select(accounts.c.id)
    .where(
        accounts.c.id > bindparam("after", type_=PlainText()),
        or_(*(column.is_not(None) for column in ENCRYPTED)),
    )
    .order_by(accounts.c.id)
    .limit(bindparam("limit", type_=WholeNumber()))
    .with_for_update(),
    accounts,
)


class Reencrypted(NamedTuple):
    """The accounts of one batch, and what of them could not be read and stays as it is."""

    ids: list[str]
    unreadable: list[UnreadableError]


async def reencrypt(database: Database, after: str, limit: int) -> Reencrypted:
    """Encrypt the secrets of the next accounts by id anew, under the first key."""
    ids = await database.all(LOCKED_WITH_SECRETS, after=after, limit=limit)
    unreadable: list[UnreadableError] = []
    for id in ids:
        for column in ENCRYPTED:
            try:
                secret = await database.first(SECRET[column.name], id=id)
                text = None if secret is None else secret.text
            except UnreadableError as error:
                unreadable.append(error)
                continue
            if text is not None:
                new = new_values({column.name: text})
                await database.count(REENCRYPT[column.name], id=id, **new)
    return Reencrypted(ids, unreadable)


class Accounts(AccountRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewAccount]) -> Account:
        return await TABLE.insert(self._database, values)

    async def find_by_id(self, id: str) -> Account | None:
        found = await TABLE.get(self._database, id)
        return None if found is None else _readable(found)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Account]:
        return await ALL.read(self._database, limit, after)

    async def find_by_email(self, email: str) -> list[Account]:
        return await self._database.all(BY_EMAIL, email=email)

    async def find_by_provider(self, provider: str) -> list[Account]:
        return await self._database.all(BY_PROVIDER, provider=provider)

    async def find_next_available(self, provider: str = "claude") -> Account | None:
        database = self._database
        claim_next = _claim_next
        if database.capabilities.has_concurrent_writers:
            # One who finds the account taken keeps a lock on it all the same, so two transactions
            # that go on to the next one could wait for each other.
            await database.lock(f"accounts.{provider!a}")
            claim_next = _claim_unchanged
        passed: dict[str, str] = {}
        unreadable: UnreadableError | None = None
        while True:
            try:
                claim = claim_next(len(passed))
                claimed = await database.first(claim, provider=provider, **passed)
                if claimed is not None:
                    return _readable(claimed)
            except UnreadableError as error:
                if error.id is None:
                    raise
                logger.warning("find_next_available passes an account by: %s", error)
                passed[f"passed_{len(passed)}"] = error.id
                unreadable = unreadable or error
                continue
            left = _any_available(len(passed))
            if await database.first(left, provider=provider, **passed) is None:
                if unreadable is not None:
                    raise unreadable
                return None

    async def mark_exhausted(self, id: str, until: datetime | None = None) -> Account:
        changes = new_values({"exhausted_until": until})
        exhausted = await self._database.first(MARK_EXHAUSTED, id=id, **changes)
        if exhausted is None:
            raise NotFoundError(accounts.name, id)
        return exhausted

    async def mark_available(self, id: str) -> Account:
        changes = {"is_exhausted": False, "exhausted_until": None}
        return await TABLE.patch(self._database, id, changes)

    async def clear_expired_exhaustion(self) -> int:
        return await self._database.count(CLEAR_EXPIRED_EXHAUSTION)

    async def update(
        self,
        id: str,
        *,
        expected: AccountExpected | None = None,
        **changes: Unpack[AccountChanges],
    ) -> Account:
        return await TABLE.change(self._database, id, changes, expected)

    async def delete(self, id: str) -> None:
        await TABLE.delete(self._database, id)


def _readable(account: Account) -> Account:
    """Return the account; raises UnreadableError when one of its secrets cannot be read."""
    _secrets = account.config_json, account.credentials
    return account
