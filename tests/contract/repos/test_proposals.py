"""The proposals of agents."""

from typing import Any, cast

import pytest

from builders import add_agent, add_initiative, add_proposal
from cw_store import InvalidValueError, Store


async def test_a_new_proposal_is_pending(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent, initiative = await add_agent(uow), await add_initiative(uow)
        proposal = await uow.proposals.create(
            agent_id=agent.id, initiative_id=initiative.id, target_type="page", title="Rename"
        )
    assert (proposal.agent_id, proposal.initiative_id) == (agent.id, initiative.id)
    assert (proposal.target_type, proposal.target_id) == ("page", None)
    assert (proposal.title, proposal.summary, proposal.content) == ("Rename", None, None)
    assert (proposal.metadata, proposal.status, proposal.sort_order) == (None, "pending", 0)


async def test_proposals_are_found_by_agent_and_by_initiative_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        one, two = await add_agent(uow), await add_agent(uow)
        here, there = await add_initiative(uow), await add_initiative(uow)
        z = await add_proposal(uow, id="z", agent_id=one.id, initiative_id=here.id, sort_order=2)
        m = await add_proposal(uow, id="m", agent_id=two.id, initiative_id=here.id, sort_order=1)
        a = await add_proposal(uow, id="a", agent_id=one.id, initiative_id=there.id)
        assert await uow.proposals.find_by_agent_id(one.id) == [z, a]
        assert await uow.proposals.find_by_agent_id(two.id) == [m]
        assert await uow.proposals.find_by_agent_id("unknown") == []
        assert await uow.proposals.find_by_initiative_id(here.id) == [z, m]
        assert await uow.proposals.find_by_initiative_id("unknown") == []


async def test_proposals_of_an_agent_are_found_and_counted_by_status(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent, other = await add_agent(uow), await add_agent(uow)
        pending = [await add_proposal(uow, id=id, agent_id=agent.id) for id in "zam"]
        accepted = await add_proposal(uow, agent_id=agent.id, status="accepted")
        await add_proposal(uow, agent_id=other.id)
        repository = uow.proposals
        assert await repository.find_by_agent_id_and_status(agent.id, "pending") == pending
        assert await repository.find_by_agent_id_and_status(agent.id, "accepted") == [accepted]
        assert await repository.find_by_agent_id_and_status(agent.id, "dismissed") == []
        assert await repository.find_by_agent_id_and_status("unknown", "pending") == []
        assert await repository.count_by_agent_id_and_status(agent.id, "pending") == 3
        assert await repository.count_by_agent_id_and_status(agent.id, "accepted") == 1
        assert await repository.count_by_agent_id_and_status(agent.id, "dismissed") == 0
        assert await repository.count_by_agent_id_and_status("unknown", "pending") == 0


async def test_all_proposals_of_an_agent_are_changed_at_once(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent = await add_agent(uow)
        one = await add_proposal(uow, agent_id=agent.id, content="one")
        two = await add_proposal(uow, agent_id=agent.id, content="two", status="accepted")
        other = await add_proposal(uow)
        changed = await uow.proposals.update_many_by_agent_id(agent.id, status="dismissed")
        assert changed == 2
        found = await uow.proposals.find_by_agent_id(agent.id)
        assert [(row.content, row.status) for row in found] == [
            ("one", "dismissed"),
            ("two", "dismissed"),
        ]
        for before, after in zip((one, two), found, strict=True):
            assert after.updated_at > before.updated_at
            assert after.created_at == before.created_at
        assert await uow.proposals.find_by_id(other.id) == other


async def test_none_is_a_value_for_many_proposals_too(store: Store) -> None:
    async with store.unit_of_work() as uow:
        proposal = await add_proposal(uow, summary="s", content="c", metadata={"n": 1})
        changed = await uow.proposals.update_many_by_agent_id(
            proposal.agent_id, summary=None, metadata=None
        )
        assert changed == 1
        found = await uow.proposals.find_by_id(proposal.id)
        assert found is not None
        assert (found.summary, found.content, found.metadata) == (None, "c", None)


async def test_an_agent_without_proposals_has_none_to_change(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent = await add_agent(uow)
        await add_proposal(uow)
        assert await uow.proposals.update_many_by_agent_id(agent.id, status="accepted") == 0
        assert await uow.proposals.update_many_by_agent_id("unknown", status="accepted") == 0


async def test_bad_changes_of_many_proposals_change_none(store: Store) -> None:
    proposal = await add_proposal(store)
    repository = cast(Any, store.proposals)
    for column, bad in (("status", "nope"), ("title", None), ("sort_order", True)):
        with pytest.raises(InvalidValueError) as caught:
            await repository.update_many_by_agent_id(proposal.agent_id, **{column: bad})
        assert (caught.value.table, caught.value.column) == ("proposals", column)
    for unknown in ("nonsense", "agent_id", "created_at"):
        with pytest.raises(TypeError):
            await repository.update_many_by_agent_id(proposal.agent_id, **{unknown: "x"})
    assert await store.proposals.find_by_id(proposal.id) == proposal


async def test_the_target_of_a_proposal_does_not_have_to_exist(store: Store) -> None:
    proposal = await add_proposal(store, target_id="unknown", metadata=["any", {"thing": None}])
    assert await store.proposals.find_by_id(proposal.id) == proposal
    assert proposal.metadata == ["any", {"thing": None}]
