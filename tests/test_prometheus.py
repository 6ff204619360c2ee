"""The text that Prometheus reads, by its own parser, of a store on either database."""

from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from cw_store import Store
from cw_store.prometheus import text_of_gauges, text_of_stats
from cw_store.testing import SteppableClock
from cw_store.views import gauges


def samples_of(text: str) -> dict[tuple[str, str], float]:
    """Return the samples of a text by name and label, as Prometheus' parser reads them."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        assert family.type in ("gauge", "counter"), family.name
        for sample in family.samples:
            key = sample.name, ",".join(sample.labels.values())
            assert key not in found, key
            found[key] = sample.value
    return found


async def test_gauges_say_what_there_is(database: str) -> None:
    clock = SteppableClock()
    async with Store(database, clock=clock) as store:
        assert (await gauges(store)).questions_oldest_age is None
        await store.tasks.create(name="one")
        await store.tasks.create(name="two", status="completed")
        await store.accounts.create(email="one@example.com", provider="claude")
        account = await store.accounts.create(email="two@example.com", provider="claude")
        until = await store.claims.now() + timedelta(hours=1)
        await store.accounts.mark_exhausted(account.id, until)
        asking = await store.agents.create(name="asking", worktree_id="tree")
        other = await store.agents.create(name="other", worktree_id="tree")
        await store.conversations.create(
            from_agent_id=asking.id, to_agent_id=other.id, question="where?"
        )
        claimed = await store.claims.next(
            holder="host", worktree_id="tree", lease=timedelta(hours=1)
        )
        assert claimed is not None
        found = await gauges(store)
        assert found.tasks == {"completed": 1, "in_progress": 1}
        assert (found.accounts, found.accounts_available) == (2, 1)
        assert found.questions == 1
        assert found.questions_oldest_age is not None
        assert timedelta(0) <= found.questions_oldest_age < timedelta(minutes=5)
        assert found.claims == 1
        assert found.rows["tasks"] == 2
        assert found.claims_overdue == 0
        clock.advance(7200)
        assert (await gauges(store)).claims_overdue == 1
        samples = samples_of(text_of_gauges(found, log_bytes=7))
        assert samples["cw_store_tasks", "completed"] == 1
        assert samples["cw_store_accounts_available", ""] == 1
        assert samples["cw_store_rows", "tasks"] == 2
        assert samples["cw_store_claims", ""] == 1
        assert samples["cw_store_log_bytes", ""] == 7
        assert samples["cw_store_questions_oldest_age_seconds", ""] >= 0


async def test_what_a_store_has_done_is_read_as_well(database: str) -> None:
    async with Store(database) as store:
        async with store.unit_of_work() as uow:
            await uow.tasks.create(name="one")
        samples = samples_of(text_of_stats(store.stats()))
        assert samples["cw_store_units_total", "committed"] == 1
        assert samples["cw_store_unit_statements_total", ""] == 1
        assert samples["cw_store_unit_held_seconds_total", ""] > 0
        assert samples["cw_store_database_connections_limit", ""] > 0
