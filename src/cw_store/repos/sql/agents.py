"""Agents in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Unpack

from sqlalchemy import bindparam, delete, or_, select

from cw_store.errors import NotFoundError, StaleStateError
from cw_store.repos.agents import (
    Agent,
    AgentChanges,
    AgentExpected,
    AgentRepository,
    AgentStatus,
    NewAgent,
)
from cw_store.repos.sql.agent_names import FREE_NAME, names
from cw_store.repos.sql.listings import Ids, Listing, newest_first, oldest_first
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import agents
from cw_store.statements.database import Database
from cw_store.statements.expressions import insert_unless
from cw_store.statements.query import Query

TABLE = TableGateway(agents, Agent, NewAgent, AgentChanges, AgentExpected)

IDS = Ids(agents)

INSERT_IF_NAME_IS_FREE = Query(
    Agent,
    insert_unless(agents)
    .values({**TABLE.new_row, "name": FREE_NAME})
    .on_conflict_do_nothing(index_elements=["name"])
    .returning(*TABLE.columns),
    agents,
)

ALL = Listing(Agent, select(*TABLE.columns), agents)

BY_NAME = Query(Agent, select(*TABLE.columns).where(agents.c.name == bindparam("name")), agents)

NEWEST_OF_TASK = Query(
    Agent,
    select(*TABLE.columns)
    .where(agents.c.task_id == bindparam("task_id"))
    .order_by(*newest_first(agents))
    .limit(1),
    agents,
)

NEWEST_OF_SESSION = Query(
    Agent,
    select(*TABLE.columns)
    .where(agents.c.session_id == bindparam("session_id"))
    .order_by(*newest_first(agents))
    .limit(1),
    agents,
)


IN_STATUS = Query(
    Agent, select(*TABLE.columns).where(agents.c.status == bindparam("status")), agents
)


@cache
def _by_status(number: int) -> Query[Agent]:
    """Return the query for the agents in one of so many statuses: `status_0` and so on."""
    statuses = [bindparam(f"status_{n}", type_=agents.c.status.type) for n in range(number)]
    return Query(
        Agent,
        select(*TABLE.columns)
        .where(or_(*(agents.c.status == status for status in statuses)))
        .order_by(*oldest_first(agents)),
        agents,
    )


BY_INITIATIVE_ID = TABLE.listing_by("initiative_id")

ALL_BY_TASK_ID = TABLE.listing_by("task_id")

BY_ACCOUNT_ID = TABLE.listing_by("account_id")


DELETE_WITHOUT_LEASE = Query(
    int,
    delete(agents).where(agents.c.id == bindparam("id"), agents.c.lease_expires_at.is_(None)),
    agents,
)


@dataclass(frozen=True, slots=True)
class Lease:
    """What an agent holds, if it holds anything."""

    name: str
    holder: str | None
    task_id: str | None
    created_at: datetime
    lease_expires_at: datetime | None


LEASE = Query(
    Lease,
    select(
        *[agents.c.name, agents.c.holder, agents.c.task_id],
        *[agents.c.created_at, agents.c.lease_expires_at],
    ).where(agents.c.id == bindparam("id")),
    agents,
)


def described(name: str | None, id: str | None, holder: str | None) -> str:
    """Say which agent it is, and whose."""
    whose = "" if holder is None else f" of {holder!r}"
    return f"agent {id!r}" if name is None else f"agent {name!r} ({id}){whose}"


def _leased_error(id: str, lease: Lease) -> StaleStateError:
    return StaleStateError(
        agents.name,
        id,
        f"{described(lease.name, id, lease.holder)} has task {lease.task_id!r} since "
        f"{lease.created_at.isoformat()}; end its claim, or take the task away with "
        "claims.revoke(), before you delete it",
    )


class Agents(AgentRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewAgent]) -> Agent:
        if "name" in values:
            return await TABLE.insert(self._database, values)
        return await self._create_with_a_new_name(values)

    async def find_by_id(self, id: str) -> Agent | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(self, *, limit: int | None = None, after: str | None = None) -> list[Agent]:
        return await ALL.read(self._database, limit, after)

    async def find_by_name(self, name: str) -> Agent | None:
        return await self._database.first(BY_NAME, name=name)

    async def find_by_task_id(self, task_id: str) -> Agent | None:
        return await self._database.first(NEWEST_OF_TASK, task_id=task_id)

    async def find_all_by_task_id(self, task_id: str) -> list[Agent]:
        return await self._database.all(ALL_BY_TASK_ID, task_id=task_id)

    async def find_by_session_id(self, session_id: str) -> Agent | None:
        return await self._database.first(NEWEST_OF_SESSION, session_id=session_id)

    async def find_by_account_id(self, account_id: str) -> list[Agent]:
        return await self._database.all(BY_ACCOUNT_ID, account_id=account_id)

    async def find_by_initiative_id(self, initiative_id: str) -> list[Agent]:
        return await self._database.all(BY_INITIATIVE_ID, initiative_id=initiative_id)

    async def find_by_status(self, *statuses: AgentStatus) -> list[Agent]:
        # The query for several has parameters of other names, which an error must not tell.
        self._database.check(IN_STATUS, [{"status": status} for status in statuses])
        given = {f"status_{number}": each for number, each in enumerate(dict.fromkeys(statuses))}
        return await self._database.all(_by_status(len(given)), **given) if given else []

    async def update(
        self,
        id: str,
        *,
        expected: AgentExpected | None = None,
        **changes: Unpack[AgentChanges],
    ) -> Agent:
        return await TABLE.change(self._database, id, changes, expected)

    async def delete(self, id: str) -> None:
        while await self._database.count(DELETE_WITHOUT_LEASE, id=id) == 0:
            found = await self._database.first(LEASE, id=id)
            if found is None:
                raise NotFoundError(agents.name, id)
            if found.lease_expires_at is not None:
                raise _leased_error(id, found)

    async def _create_with_a_new_name(self, values: Mapping[str, Any]) -> Agent:
        for offered in names(side_by_side=meets_others(self._database)):
            row = TABLE.complete(values, **offered)
            stored = await self._database.first(INSERT_IF_NAME_IS_FREE, **row)
            if stored is not None:
                return stored
        raise AssertionError("there are names without end")


def meets_others(database: Database) -> bool:
    """Whether a name that was taken here stays hidden from others who write meanwhile."""
    return database.is_transaction and database.capabilities.has_concurrent_writers
