"""Accounts and their rotation in SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Unpack

from sqlalchemy import (
    bindparam,
    case,
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
from cw_store.repos.sql.rotation import (
    ANY_IN_TURN,
    TABLE,
    any_available,
    lock_of,
    look_at_secrets,
    next_account,
    pass_by,
    use_next,
    use_unchanged,
)
from cw_store.schema import accounts
from cw_store.statements.database import Database
from cw_store.statements.expressions import (
    SHARED_NOW,
    later_than,
)
from cw_store.statements.procedure import Lock, Procedure
from cw_store.statements.query import NEW_VALUE, Query, new_values
from cw_store.types import Encrypted, PlainText, WholeNumber

IDS = Ids(accounts)

ALL = Listing(Account, select(*TABLE.columns), accounts)

BY_EMAIL = TABLE.listing_by("email")

BY_PROVIDER = TABLE.listing_by("provider")

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
                    | (accounts.c.exhausted_until > SHARED_NOW)
                    & (accounts.c.exhausted_until > until)
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
    .where(accounts.c.exhausted_until <= SHARED_NOW)
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
        if found is not None:
            look_at_secrets(found)
        return found

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
        use_one = use_next
        if database.capabilities.has_concurrent_writers:
            # One who finds the account taken keeps a lock on it all the same, so two transactions
            # that go on to the next one could wait for each other.
            await database.lock(lock_of(provider))
            use_one = use_unchanged
        try:
            account = await database.first(use_one(ANY_IN_TURN), provider=provider)
            if account is not None:
                look_at_secrets(account)
                return account
        except UnreadableError as error:
            pass_by(error)
        if await database.first(any_available(ANY_IN_TURN), provider=provider) is None:
            return None
        return await self._use_readable(provider)

    async def _use_readable(self, provider: str) -> Account | None:
        """Return the next account that can be read; raises UnreadableError if only that is left."""
        is_side_by_side = self._database.capabilities.has_concurrent_writers
        use_one = use_unchanged if is_side_by_side else use_next

        def begin() -> Procedure[Account | UnreadableError | None]:
            yield Lock(lock_of(provider))
            return (yield from next_account(use_one, ANY_IN_TURN, {"provider": provider}))

        found = await self._database.perform(use_next(ANY_IN_TURN), begin)
        if isinstance(found, UnreadableError):
            raise found
        return found

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
