"""Renewals that fail, in the ways of one database or the other."""

import asyncio
import logging
import shutil
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from claims import claimed
from cw_store import Claim, OutcomeUnknownError, Store, StoreBusyError
from postgres_proxy import Proxy

QUICK = timedelta(seconds=0.06)


class Warnings(logging.Handler):
    """The warnings of the keeper, and an event for each that comes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.causes: list[BaseException | None] = []
        self.came = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        assert "tried again in" in record.getMessage()
        self.causes.append(record.exc_info[1] if record.exc_info else None)
        self.came.set()


@pytest.fixture
def warnings() -> Warnings:
    return Warnings()


@pytest.fixture(autouse=True)
def listening(warnings: Warnings) -> object:
    logger = logging.getLogger("cw_store.keeping")
    logger.addHandler(warnings)
    yield
    logger.removeHandler(warnings)


async def until_leased_longer(store: Store, claim: Claim, than: datetime) -> None:
    async with asyncio.timeout(20):
        while True:
            agent = await store.agents.find_by_id(claim.agent.id)
            assert agent is not None and agent.lease_expires_at is not None
            if agent.lease_expires_at > than:
                return


async def test_a_renewal_that_finds_the_file_locked_is_tried_again_until_it_is_not(
    migrated_file: Path, tmp_path: Path, warnings: Warnings
) -> None:
    path = shutil.copyfile(migrated_file, tmp_path / "cw.db")
    async with Store(path, busy_timeout=0.02) as store:
        claim = await claimed(store)
        async with store.keep(claim, lease=QUICK):
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            while len(warnings.causes) < 3:
                warnings.came.clear()
                await warnings.came.wait()
            other.execute("ROLLBACK")
            other.close()
            assert {type(cause) for cause in warnings.causes} == {StoreBusyError}
            (live,) = await store.claims.find_live()
            assert live.agent.lease_expires_at is not None
            await until_leased_longer(store, claim, live.agent.lease_expires_at)


async def test_a_renewal_whose_connection_is_lost_is_tried_again(
    migrated_server: str, warnings: Warnings
) -> None:
    async with Proxy(migrated_server) as proxy, Store(proxy.url) as store:
        claim = await claimed(store)
        async with store.keep(claim, lease=QUICK):
            proxy.cut_before("asyncpg_stmt")
            await proxy.reached.wait()
            await warnings.came.wait()
            (cause,) = warnings.causes
            assert isinstance(cause, OutcomeUnknownError | StoreBusyError)
            (live,) = await store.claims.find_live()
            assert live.agent.lease_expires_at is not None
            await until_leased_longer(store, claim, live.agent.lease_expires_at)
        await store.tasks.delete(claim.task.id)
        await store.agents.delete(claim.agent.id)
