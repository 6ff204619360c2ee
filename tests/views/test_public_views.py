"""What `cw_store.views` exports, and what all of its records have in common."""

import dataclasses
import inspect
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from cw_store import views
from cw_store.views import Inbox

FUNCTIONS = ["inbox", "board", "graph", "timeline", "agent", "search", "gauges"]

RECORDS = """
Inbox InboxItem Board BoardInitiative BoardPhase BoardLane TaskCard Graph PhaseNode TaskNode Edge
Timeline TimelineRow Bar AccountBand AgentView ClaimSeen LogSession MessageSeen SearchResult
SearchGroup SearchHit LaneCounts AgentSeen AccountSeen QuestionSeen Gauges
""".split()

OTHERS = [
    "Source",
    "InboxKind",
    "HitKind",
    "CutReason",
    "Lane",
    "LANES",
    "AccountState",
    "snapshot",
]


def test_these_names_are_public() -> None:
    assert sorted(views.__all__) == sorted([*FUNCTIONS, *RECORDS, *OTHERS])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_view_tells_what_it_returns_and_takes_a_store_or_a_unit(name: str) -> None:
    view = getattr(views, name)
    assert inspect.iscoroutinefunction(view)
    assert inspect.getdoc(view)
    assert next(iter(inspect.signature(view).parameters)) == "source"


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_frozen_has_slots_and_is_made_by_names(name: str) -> None:
    record: type[Any] = getattr(views, name)
    assert inspect.getdoc(record)
    assert vars(record)["__dataclass_params__"].frozen
    assert set(vars(record)["__slots__"]) == {field.name for field in dataclasses.fields(record)}
    assert all(field.kw_only for field in dataclasses.fields(record))


def test_a_record_is_compared_copied_and_made_a_dict_by_its_values() -> None:
    one = Inbox(now=datetime(2026, 1, 1, tzinfo=UTC), initiative_id=None, items=(), counts={})
    assert pickle.loads(pickle.dumps(one)) == one
    assert dataclasses.asdict(one)["items"] == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.initiative_id = "i"  # pyright: ignore[reportAttributeAccessIssue] -- that is tested
