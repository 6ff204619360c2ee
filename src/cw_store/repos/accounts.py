"""Accounts: the logins that agents run under, used in rotation."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NotRequired, Protocol, Unpack

from typing_extensions import TypedDict


@dataclass(frozen=True, slots=True)
class Account:
    """One account.

    `config_json` and `credentials` are opaque text, kept byte for byte and left out of `repr`, but
    not of what pydantic or `dataclasses.asdict` make of the record.
    With `is_exhausted` set, `exhausted_until` is when the account can be used again; `None`
    means not before `mark_available`. Without it, it is when the last rest ended, until
    `clear_expired_exhaustion`. `max_agents` is how many agents may run under the account at once,
    `None` for any number.

    A secret that cannot be read (it was encrypted under a key that this store does not have) is
    an `UnreadableError` when it is looked at; the account's other values can be read.
    """

    id: str
    email: str
    provider: str
    config_json: str | None = field(repr=False)
    credentials: str | None = field(repr=False)
    is_exhausted: bool
    exhausted_until: datetime | None
    last_used_at: datetime | None
    sort_order: int
    max_agents: int | None
    created_at: datetime
    updated_at: datetime


class NewAccount(TypedDict):
    """What an account is created from.

    Unless given, `provider` is `claude`, `sort_order` is 0, and the account is neither used nor
    exhausted. A `max_agents` below 1 is an `InvalidValueError`.
    """

    id: NotRequired[str]
    email: str
    provider: NotRequired[str]
    config_json: NotRequired[str | None]
    credentials: NotRequired[str | None]
    is_exhausted: NotRequired[bool]
    exhausted_until: NotRequired[datetime | None]
    last_used_at: NotRequired[datetime | None]
    sort_order: NotRequired[int]
    max_agents: NotRequired[int | None]


class AccountChanges(TypedDict, total=False):
    """What can be changed of an account; use and exhaustion have verbs of their own.

    A `max_agents` below 1 is an `InvalidValueError`.
    """

    email: str
    provider: str
    config_json: str | None
    credentials: str | None
    sort_order: int
    max_agents: int | None


class AccountExpected(TypedDict, total=False):
    """What an account must hold for an `update` to be done; `None` is no value."""

    id: str
    email: str
    provider: str
    is_exhausted: bool
    exhausted_until: datetime | None
    last_used_at: datetime | None
    sort_order: int
    max_agents: int | None
    created_at: datetime
    updated_at: datetime


class AccountRepository(Protocol):
    """The accounts; bad input raises `InvalidValueError` and writes nothing.

    An account whose secrets cannot be read can be listed, changed, marked and deleted. Whether
    `exhausted_until` has passed the database server's clock says, where there is one and the store
    was given no `clock`.
    """

    async def create(self, **values: Unpack[NewAccount]) -> Account:
        """Create an account and return it; `AlreadyExistsError` when the id is taken."""
        ...

    async def find_by_id(self, id: str) -> Account | None:
        """Return the account, or `None` when there is none with this id.

        `UnreadableError` when one of its secrets cannot be read.
        """
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the accounts that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Account]:
        """Return all accounts, oldest first; with `limit`, at most so many.

        `after` is the id of the last account seen: the list starts behind it, and
        `NotFoundError` is raised when it does not exist. A `limit` below 1 is an
        `InvalidValueError`.
        """
        ...

    async def find_by_email(self, email: str) -> list[Account]:
        """Return the accounts with this address, of all providers, oldest first."""
        ...

    async def find_by_provider(self, provider: str) -> list[Account]:
        """Return the accounts of a provider, exhausted ones included, oldest first."""
        ...

    async def find_next_available(self, provider: str = "claude") -> Account | None:
        """Claim the least recently used account of `provider` that can be used now.

        An account can be used when it is not exhausted or its `exhausted_until` has passed. Never
        used ones come first, then the order is `last_used_at`, `sort_order`, `id`. The claim
        stamps `last_used_at`, so concurrent callers, in any number of processes, rotate evenly,
        and leaves an account whose rest is over as not exhausted. `None` when no account can be
        used.

        An account that cannot be read is passed by, with a warning in the log that names it;
        `UnreadableError` when there is no other.
        """
        ...

    async def mark_exhausted(self, id: str, until: datetime | None = None) -> Account:
        """Take an account out of the rotation until `until`, and return it.

        Without `until` it stays out until `mark_available`. What was reported before is never
        shortened: "without end" counts more than any time, and a later time, if it has not
        passed, more than an earlier one. `NotFoundError` for an unknown id.
        """
        ...

    async def mark_available(self, id: str) -> Account:
        """Bring an account back into the rotation, and return it.

        `NotFoundError` for an unknown id.
        """
        ...

    async def clear_expired_exhaustion(self) -> int:
        """Mark the accounts available whose `exhausted_until` has passed; return how many.

        Those count too that were claimed since then.
        """
        ...

    async def update(
        self,
        id: str,
        *,
        expected: AccountExpected | None = None,
        **changes: Unpack[AccountChanges],
    ) -> Account:
        """Change what is passed, stamp `updated_at`, return the account.

        `NotFoundError` for an unknown id.

        With `expected` only if the account still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete an account; `NotFoundError` for an unknown id.

        Its agents stay, their `account_id` becomes `None`.
        """
        ...
