"""What a store holds, as the command line speaks of it: kinds, their columns, and where they are.

Columns are those of the tables, without secrets, which are never selected; and for each reference
the name of what it refers to, under the reference's name without `_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, get_args

from sqlalchemy import ColumnElement, Table, func, select

from cw_store import (
    AgentStatus,
    ChangeSetStatus,
    ChatSessionStatus,
    ConversationStatus,
    ErrandStatus,
    InitiativeStatus,
    MessageStatus,
    PhaseStatus,
    ProposalStatus,
    TaskStatus,
    metadata,
)
from cw_store.cli.failures import UsageError

SECRETS = frozenset({"config_json", "credentials"})
NAMES = {
    "initiatives": "name",
    "phases": "name",
    "tasks": "name",
    "agents": "name",
    "accounts": "email",
    "pages": "title",
    "projects": "name",
}
"""What people call a row of a table."""


NOTHING_MORE: Mapping[str, ColumnElement[Any]] = MappingProxyType({})


class Kind(NamedTuple):
    """One kind: `plural` is what `ls` takes, `columns` what it shows unless told otherwise.

    `repository` is the store's attribute, `of_agent` are the columns that refer to an agent, `more`
    are columns that no table has.
    """

    plural: str
    singular: str
    table: Table
    repository: str
    columns: tuple[str, ...]
    statuses: tuple[str, ...] = ()
    of_agent: tuple[str, ...] = ("agent_id",)
    more: Mapping[str, ColumnElement[Any]] = NOTHING_MORE

    def all_columns(self) -> Mapping[str, ColumnElement[Any]]:
        """Return everything that can be asked for, by name."""
        return {**self.own_columns(), **self.more}

    def own_columns(self) -> Mapping[str, ColumnElement[Any]]:
        """Return what a row has, by name: each column, each reference's name."""
        found: dict[str, ColumnElement[Any]] = {}
        for column in self.table.columns:
            if column.name in SECRETS or column.name == "seq":
                continue
            found[column.name] = column
            for reference in column.foreign_keys:
                referred = reference.column.table
                if column.name.endswith("_id") and referred.name in NAMES:
                    found[_named(column.name)] = _name_of(column, referred)
        return found

    def column(self, name: str) -> ColumnElement[Any]:
        """Return one of `all_columns`; UsageError, with those that there are, for another."""
        known = self.all_columns()
        if name not in known:
            raise UsageError(f"{self.plural} have no column {name}: {', '.join(known)}")
        return known[name]


def _named(reference: str) -> str:
    return "agent" if reference == "claimed_by_agent_id" else reference.removesuffix("_id")


def _name_of(reference: ColumnElement[Any], table: Table) -> ColumnElement[Any]:
    referred = table.alias()
    return select(referred.c[NAMES[table.name]]).where(referred.c.id == reference).scalar_subquery()


def _kind(
    plural: str,
    singular: str,
    columns: str,
    *,
    table: str | None = None,
    repository: str | None = None,
    statuses: object = None,
    of_agent: Sequence[str] = ("agent_id",),
    more: Mapping[str, ColumnElement[Any]] = NOTHING_MORE,
) -> Kind:
    name = table or plural
    return Kind(
        plural,
        singular,
        metadata.tables[name],
        repository or name,
        tuple(columns.split()),
        get_args(statuses),
        tuple(of_agent),
        more,
    )


def _holders() -> ColumnElement[Any]:
    """Return the names of the agents that hold an account, the oldest first."""
    accounts, agents = metadata.tables["accounts"], metadata.tables["agents"].alias()
    holds = agents.c.lease_expires_at.is_not(None)
    named = (
        select(agents.c.name)
        .where(agents.c.account_id == accounts.c.id, holds)
        .order_by(agents.c.seq)
        .correlate(accounts)
        .subquery()
    )
    return select(func.aggregate_strings(named.c.name, ", ")).scalar_subquery()


KINDS = (
    _kind(
        "initiatives",
        "initiative",
        "id name status branch max_agents updated_at",
        statuses=InitiativeStatus,
    ),
    _kind("phases", "phase", "id name status initiative updated_at", statuses=PhaseStatus),
    _kind(
        "tasks",
        "task",
        "id name status priority phase agent updated_at",
        statuses=TaskStatus,
        of_agent=("claimed_by_agent_id",),
    ),
    _kind(
        "agents",
        "agent",
        "id name status task account updated_at",
        statuses=AgentStatus,
        of_agent=("id",),
    ),
    _kind(
        "accounts",
        "account",
        "id email provider is_exhausted exhausted_until last_used_at held_by",
        more={"held_by": _holders()},
    ),
    _kind(
        "conversations",
        "conversation",
        "id status from_agent to_agent question answer created_at",
        statuses=ConversationStatus,
        of_agent=("from_agent_id", "to_agent_id"),
    ),
    _kind(
        "messages",
        "message",
        "id status type sender_type sender recipient_type recipient content created_at",
        statuses=MessageStatus,
        of_agent=("sender_id", "recipient_id"),
    ),
    _kind(
        "proposals",
        "proposal",
        "id status target_type title agent initiative created_at",
        statuses=ProposalStatus,
    ),
    _kind("pages", "page", "id title parent_page initiative updated_at"),
    _kind("projects", "project", "id name url default_branch last_fetched_at"),
    _kind(
        "errands",
        "errand",
        "id description status branch agent project updated_at",
        statuses=ErrandStatus,
    ),
    _kind(
        "reviews",
        "review comment",
        "id resolved phase file_path line_number author body created_at",
        table="review_comments",
    ),
    _kind(
        "chats",
        "chat",
        "id status target_type target_id agent initiative updated_at",
        table="chat_sessions",
        statuses=ChatSessionStatus,
    ),
    _kind(
        "changesets",
        "change set",
        "id status mode summary agent_name initiative created_at",
        table="change_sets",
        statuses=ChangeSetStatus,
    ),
)

BY_PLURAL = {kind.plural: kind for kind in KINDS}
BY_SINGULAR = {kind.singular: kind for kind in KINDS}
