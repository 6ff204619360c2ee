"""Mapped classes on the same tables, for the two contenders that use SQLAlchemy's ORM."""

# ruff: noqa: D102 -- `bench.work.Contender` tells the story

from __future__ import annotations

import asyncio

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.dml import ReturningUpdate

from bench.contenders.new_rows import Times
from bench.contenders.sqlalchemy_core import set_pragmas
from bench.seed import sqlalchemy_url
from cw_store import schema


class Base(DeclarativeBase):
    """The mapped classes' base."""


class Task(Base):
    """A row of `tasks`."""

    __table__ = schema.tasks


class Account(Base):
    """A row of `accounts`."""

    __table__ = schema.accounts


class Conversation(Base):
    """A row of `conversations`."""

    __table__ = schema.conversations


class LogChunk(Base):
    """A row of `agent_log_chunks`."""

    __table__ = schema.agent_log_chunks


class Sessions:
    """A sessionmaker, the turn of the writers, and a clock."""

    def __init__(self) -> None:
        self.times = Times()
        self.turn = asyncio.Lock()
        self.engine: AsyncEngine
        self.session: async_sessionmaker[AsyncSession]

    async def open(self, url: str, *, synchronous: str) -> None:
        self.engine = create_async_engine(sqlalchemy_url(url))
        set_pragmas(self.engine, synchronous)
        self.session = async_sessionmaker(self.engine, expire_on_commit=False)

    async def close(self) -> None:
        await self.engine.dispose()


def rotation(times: Times, provider: str) -> ReturningUpdate[Account]:
    """Write the statement that claims an account."""
    now = times.next()
    columns = schema.accounts.c
    next_account = (
        select(columns.id)
        .where(
            columns.provider == provider,
            or_(columns.is_exhausted.is_(False), columns.exhausted_until <= now),
        )
        .order_by(columns.last_used_at.nulls_first(), columns.sort_order, columns.id)
        .limit(1)
        .scalar_subquery()
    )
    return (
        update(Account)
        .where(columns.id == next_account)
        .values(last_used_at=now, updated_at=now)
        .returning(Account)
        .execution_options(synchronize_session=False)
    )
