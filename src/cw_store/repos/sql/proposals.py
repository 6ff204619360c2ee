"""Proposals in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Unpack

from sqlalchemy import bindparam, func, select

from cw_store.repos.proposals import (
    NewProposal,
    Proposal,
    ProposalChanges,
    ProposalExpected,
    ProposalRepository,
    ProposalStatus,
)
from cw_store.repos.sql.listings import Ids, Listing, oldest_first
from cw_store.repos.sql.table import Expectation, TableGateway
from cw_store.schema import proposals
from cw_store.statements.database import Database
from cw_store.statements.query import Query, new_values

TABLE = TableGateway(proposals, Proposal, NewProposal, ProposalChanges, ProposalExpected)

IDS = Ids(proposals)

ALL = Listing(Proposal, select(*TABLE.columns), proposals)

OLDEST_FIRST = select(*TABLE.columns).order_by(*oldest_first(proposals))

of_agent = proposals.c.agent_id == bindparam("agent_id")

in_status = proposals.c.status == bindparam("status")

OF_AGENT = TABLE.listing_by("agent_id")

OF_AGENT_IN_STATUS = Query(Proposal, OLDEST_FIRST.where(of_agent, in_status), proposals)

OF_INITIATIVE = TABLE.listing_by("initiative_id")

COUNT_OF_AGENT_IN_STATUS = Query(
    int, select(func.count()).select_from(proposals).where(of_agent, in_status), proposals
)


@cache
def _update_of_agent(columns: tuple[str, ...], held: Expectation) -> Query[int]:
    return Query(int, TABLE.setting(columns).where(of_agent, *TABLE.held(held)), proposals)


class Proposals(ProposalRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewProposal]) -> Proposal:
        return await TABLE.insert(self._database, values)

    async def create_many(self, rows: Sequence[NewProposal]) -> list[Proposal]:
        return await TABLE.insert_many(self._database, rows)

    async def find_by_id(self, id: str) -> Proposal | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Proposal]:
        return await ALL.read(self._database, limit, after)

    async def find_by_agent_id(self, agent_id: str) -> list[Proposal]:
        return await self._database.all(OF_AGENT, agent_id=agent_id)

    async def find_by_initiative_id(self, initiative_id: str) -> list[Proposal]:
        return await self._database.all(OF_INITIATIVE, initiative_id=initiative_id)

    async def find_by_agent_id_and_status(
        self, agent_id: str, status: ProposalStatus
    ) -> list[Proposal]:
        return await self._database.all(OF_AGENT_IN_STATUS, agent_id=agent_id, status=status)

    async def count_by_agent_id_and_status(self, agent_id: str, status: ProposalStatus) -> int:
        counted = await self._database.first(
            COUNT_OF_AGENT_IN_STATUS, agent_id=agent_id, status=status
        )
        return counted or 0

    async def update(
        self,
        id: str,
        *,
        expected: ProposalExpected | None = None,
        **changes: Unpack[ProposalChanges],
    ) -> Proposal:
        return await TABLE.change(self._database, id, changes, expected)

    async def update_many_by_agent_id(
        self,
        agent_id: str,
        *,
        expected: ProposalExpected | None = None,
        **changes: Unpack[ProposalChanges],
    ) -> int:
        TABLE.refuse_unknown(changes)
        held = TABLE.expectation({} if expected is None else expected)
        query = _update_of_agent(tuple(sorted(changes)), held.names)
        return await self._database.count(
            query, agent_id=agent_id, **held.values, **new_values(changes)
        )

    async def delete(self, id: str) -> None:
        await TABLE.delete(self._database, id)
