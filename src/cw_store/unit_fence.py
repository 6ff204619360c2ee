"""The fence of a unit of work: each of its transactions begins with the look at a claim."""

from __future__ import annotations

from typing import Protocol

from cw_store.backends.port import Backend, Transaction
from cw_store.repos.claims import Claim
from cw_store.repos.sql.fence import FENCE, claim_values, find_lost_error
from cw_store.statements.database import Database


class Host(Protocol):
    """What a fence needs of the unit of work that it is around."""

    @property
    def transaction(self) -> Transaction:
        """The transaction that the unit is in."""
        ...

    async def rollback_transaction(self) -> None:
        """Roll it back, and have the next call begin another one."""
        ...


class Fence:
    """What lets a transaction write: that the claim is held, until the transaction ends."""

    __slots__ = ("_backend", "_behind", "_claim")

    def __init__(self, claim: Claim, backend: Backend) -> None:
        self._claim = claim
        self._backend = backend
        self._behind: Transaction | None = None

    async def enter(self, unit: Host) -> None:
        """Have the unit's transaction begin with the fence; LeaseLostError when the claim is over.

        Nothing has been done in a transaction that does not get in, so it is given back, whatever
        the reason, and the next statement begins another one, with the fence.
        """
        while self._behind is not unit.transaction:
            try:
                await self._let_in(unit.transaction)
            except GeneratorExit:
                raise  # torn out of the event loop, where nothing may be waited for
            except BaseException:
                await unit.rollback_transaction()
                raise

    async def _let_in(self, transaction: Transaction) -> None:
        backend = self._backend
        database = Database(
            transaction, backend.statements, backend.capabilities, is_transaction=True
        )
        if await database.first(FENCE, **claim_values(self._claim)) is None:
            raise await find_lost_error(database, self._claim)
        self._behind = transaction
