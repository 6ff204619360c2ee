"""Records and what they are made of, as pydantic and FastAPI meet them."""

import dataclasses
import typing
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter
from typing_extensions import is_typeddict

import cw_store
from builders import add_agent, add_change_set, add_task
from cw_store import Store

RECORDS = [name for name in cw_store.__all__ if dataclasses.is_dataclass(getattr(cw_store, name))]
TYPED_DICTS = [name for name in cw_store.__all__ if is_typeddict(getattr(cw_store, name))]


def test_there_are_records_and_what_they_are_made_from() -> None:
    assert "Task" in RECORDS and "NewTask" in TYPED_DICTS and "TaskChanges" in TYPED_DICTS


@pytest.mark.parametrize("name", [*RECORDS, *TYPED_DICTS])
def test_it_can_be_a_field_of_a_model(name: str) -> None:
    kind = getattr(cw_store, name)
    described = TypeAdapter[Any](kind).json_schema()
    assert described["properties"].keys() == typing.get_type_hints(kind).keys()


@pytest.mark.parametrize("name", [*RECORDS, *TYPED_DICTS])
def test_it_can_be_what_an_endpoint_takes_and_returns(name: str) -> None:
    application = FastAPI()
    kind = getattr(cw_store, name)

    def endpoint(given: Any) -> Any:
        return given

    endpoint.__annotations__ = {"given": kind, "return": list[kind]}
    application.post("/")(endpoint)
    assert name in str(application.openapi()["paths"])


async def test_a_record_survives_the_way_through_json(database: str) -> None:
    async with Store(database) as store:
        task = await add_task(store)
        agent = await add_agent(store, result={"tests": [1, 2.5, None, {"deep": True}]})
        change_set = await add_change_set(store)
    for row in (task, agent, change_set):
        adapter = TypeAdapter[Any](type(row))
        assert adapter.validate_json(adapter.dump_json(row)) == row
