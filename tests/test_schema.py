"""The tables, the records and what the ports take belong together; here they are compared."""

from dataclasses import fields
from typing import Any, get_args, get_type_hints

import pytest
from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Table,
    UniqueConstraint,
)
from sqlalchemy.sql.schema import ColumnCollectionConstraint

from cw_store import ChangeSetEntry, NewChangeSetEntry, PhaseDependency, TaskDependency
from cw_store.repos.json_value import JsonValue
from cw_store.schema import metadata, metadata_on, record_columns
from cw_store.types import (
    Encrypted,
    Flag,
    Id,
    IndexedText,
    Json,
    LargeNumber,
    Limit,
    OneOf,
    PlainText,
    UtcDateTime,
    WholeNumber,
)
from every_port import PORTS, Column, Kind, Port, columns_of

RECORDS: dict[str, type] = {
    **{port.table: port.record for port in PORTS},
    "phase_dependencies": PhaseDependency,
    "task_dependencies": TaskDependency,
    "change_set_entries": ChangeSetEntry,
}
NEW: dict[str, type] = {
    **{port.table: port.new for port in PORTS},
    "change_set_entries": NewChangeSetEntry,
}
# What a record has beyond its row.
JOINED = {"errands": ["agent_alias"]}
# What the store fills in by itself, or knows from the row above.
OWN = {"created_at", "updated_at", "seq"}
# What claims and triggers keep, and no call gives.
KEPT = {
    "agents": {"holder", "lease_expires_at", "epoch"},
    "initiatives": {"dispatch_turn"},
    "phases": {"open_dependencies"},
    "tasks": {"claimed_by_agent_id", "epoch", "open_dependencies"},
}
GIVEN_BY_PARENT = {"change_set_entries": {"change_set_id"}}
KINDS: dict[type, Kind] = {
    Id: "id",
    PlainText: "text",
    IndexedText: "text",
    Encrypted: "text",
    OneOf: "choice",
    WholeNumber: "integer",
    LargeNumber: "integer",
    Limit: "integer",
    Flag: "flag",
    UtcDateTime: "timestamp",
    Json: "json",
}

by_name = pytest.mark.parametrize("name", sorted(RECORDS))
by_new = pytest.mark.parametrize("name", sorted(NEW))


def test_there_are_exactly_the_tables_of_the_contract() -> None:
    assert sorted(metadata.tables) == sorted(
        {*RECORDS, "initiative_projects", "store_state", "changes"}
    )


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_all_text_that_an_index_holds_is_limited(name: str) -> None:
    table = metadata.tables[name]
    keys = [key for key in table.constraints if isinstance(key, ColumnCollectionConstraint)]
    indexes: list[Index | ColumnCollectionConstraint] = [*table.indexes]
    indexes += [key for key in keys if not isinstance(key, CheckConstraint)]
    for column in (column for index in indexes for column in index.columns):
        is_text = isinstance(column.type, PlainText)
        assert not is_text or isinstance(column.type, (IndexedText, OneOf)), str(column)


@by_name
def test_a_record_has_the_columns_of_its_table_in_their_order(name: str) -> None:
    columns = [column.name for column in record_columns(metadata.tables[name])]
    assert [field.name for field in fields(RECORDS[name])] == columns + JOINED.get(name, [])


@by_name
def test_a_field_may_be_none_where_its_column_may_be_null(name: str) -> None:
    hints = get_type_hints(RECORDS[name])
    optional = {
        field for field, hint in hints.items() if type(None) in get_args(hint) or hint is JsonValue
    }
    nullable = {column.name for column in metadata.tables[name].columns if column.nullable}
    assert optional == nullable | {*JOINED.get(name, [])}


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_a_row_with_an_id_has_a_place_in_the_order_of_storing(name: str) -> None:
    table = metadata.tables[name]
    assert ("seq" in table.columns) == ("id" in table.columns or name == "changes")
    if "id" in table.columns:
        assert list(table.columns) == [*record_columns(table), table.c.seq]
        assert [*table.primary_key.columns] == [table.c.id]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_no_index_goes_by_a_time(dialect: str, name: str) -> None:
    for index in metadata_on(dialect).tables[name].indexes:
        columns = [column.name for column in index.columns]
        assert "created_at" not in columns
        assert "seq" not in columns[:-1]


@by_new
def test_create_takes_every_column_but_those_the_store_keeps(name: str) -> None:
    columns = {column.name for column in metadata.tables[name].columns}
    taken = {column.name for column in columns_of(NEW[name], name)}
    assert taken == columns - OWN - KEPT.get(name, set()) - GIVEN_BY_PARENT.get(name, set())


@pytest.mark.parametrize("port", [port for port in PORTS if port.changes], ids=str)
def test_an_update_may_expect_every_column_but_json_and_secrets(port: Port) -> None:
    table = metadata.tables[port.table]
    columns = {
        column.name
        for column in table.columns
        if not isinstance(column.type, (Json, Encrypted)) and column.name != "seq"
    }
    expected = port.expected_columns()
    assert {column.name for column in expected} == columns
    for column in expected:
        compare(column, table)


@by_new
def test_create_requires_what_has_no_default(name: str) -> None:
    table = metadata.tables[name]
    required = {column.name for column in columns_of(NEW[name], name) if column.required}
    ids = {"id"} if name == "errands" else set[str]()
    expected = {
        column.name
        for column in table.columns
        if not column.nullable and column.default is None and column.name not in {"id", *OWN}
    }
    if name == "agents":
        expected -= {"name"}  # one is made up
    assert required == (expected | ids) - GIVEN_BY_PARENT.get(name, set())


def compare(column: Column, table: Table) -> None:
    in_table = table.columns[column.name]
    assert column.nullable == bool(in_table.nullable)
    assert column.kind == KINDS[type(in_table.type)]
    if isinstance(in_table.type, OneOf):
        assert tuple(in_table.type.values) == column.choices


@by_new
def test_create_takes_what_the_columns_take(name: str) -> None:
    for column in columns_of(NEW[name], name):
        compare(column, metadata.tables[name])


@pytest.mark.parametrize("port", [port for port in PORTS if port.changes], ids=str)
def test_update_takes_what_the_columns_take(port: Port) -> None:
    for column in port.changeable_columns():
        compare(column, metadata.tables[port.table])
        assert column.name not in {"id", *OWN, *KEPT.get(port.table, ())}


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_an_enumeration_is_guarded_by_a_named_check(name: str) -> None:
    table = metadata.tables[name]
    checks = {
        str(constraint.name): str(constraint.sqltext)
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    choices = [column for column in table.columns if isinstance(column.type, OneOf)]
    others = {"ck_tasks_claimed"} if name == "tasks" else set[str]()
    assert checks.keys() - others == {f"ck_{name}_{column.name}" for column in choices}
    for column in choices:
        text = checks[f"ck_{name}_{column.name}"]
        values: Any = column.type
        assert text == f"{column.name} IN ({', '.join(repr(value) for value in values.values)})"


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_every_constraint_and_index_has_a_name(name: str) -> None:
    table = metadata.tables[name]
    for constraint in table.constraints:
        assert constraint.name
        prefixes = ("pk_", "fk_", "uq_", "ck_")
        assert str(constraint.name).startswith(tuple(f"{prefix}{name}" for prefix in prefixes))
    for index in table.indexes:
        assert str(index.name).startswith((f"ix_{name}", f"uq_{name}"))


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_every_foreign_key_can_be_followed_by_an_index(name: str) -> None:
    table = metadata.tables[name]
    led = {next(iter(index.columns)).name for index in table.indexes}
    led.add(next(iter(table.primary_key.columns)).name)
    led |= {
        next(iter(constraint.columns)).name
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    }
    for constraint in table.constraints:
        if isinstance(constraint, ForeignKeyConstraint):
            [column] = constraint.columns
            assert column.name in led
            assert constraint.ondelete in ("CASCADE", "SET NULL")
            assert (constraint.ondelete == "SET NULL") <= bool(column.nullable)


@pytest.mark.parametrize("port", PORTS, ids=str)
def test_the_tests_know_every_foreign_key(port: Port) -> None:
    referring = {
        column.name for column in metadata.tables[port.table].columns if column.foreign_keys
    } - KEPT.get(port.table, set())
    assert {*port.foreign_keys} == referring
    assert {*port.references} <= referring


ACTIONS = {
    "phases.initiative_id": "initiatives CASCADE",
    "phase_dependencies.phase_id": "phases CASCADE",
    "phase_dependencies.depends_on_phase_id": "phases CASCADE",
    "tasks.phase_id": "phases CASCADE",
    "tasks.initiative_id": "initiatives CASCADE",
    "tasks.parent_task_id": "tasks CASCADE",
    "task_dependencies.task_id": "tasks CASCADE",
    "task_dependencies.depends_on_task_id": "tasks CASCADE",
    "agents.task_id": "tasks SET NULL",
    "agents.initiative_id": "initiatives SET NULL",
    "agents.account_id": "accounts SET NULL",
    "proposals.agent_id": "agents CASCADE",
    "proposals.initiative_id": "initiatives CASCADE",
    "pages.initiative_id": "initiatives CASCADE",
    "pages.parent_page_id": "pages CASCADE",
    "initiative_projects.initiative_id": "initiatives CASCADE",
    "initiative_projects.project_id": "projects CASCADE",
    "messages.sender_id": "agents SET NULL",
    "messages.recipient_id": "agents SET NULL",
    "messages.parent_message_id": "messages SET NULL",
    "conversations.from_agent_id": "agents CASCADE",
    "conversations.to_agent_id": "agents CASCADE",
    "conversations.initiative_id": "initiatives SET NULL",
    "conversations.phase_id": "phases SET NULL",
    "conversations.task_id": "tasks SET NULL",
    "chat_sessions.initiative_id": "initiatives CASCADE",
    "chat_sessions.agent_id": "agents SET NULL",
    "chat_messages.chat_session_id": "chat_sessions CASCADE",
    "chat_messages.change_set_id": "change_sets SET NULL",
    "errands.agent_id": "agents SET NULL",
    "errands.project_id": "projects CASCADE",
    "review_comments.phase_id": "phases CASCADE",
    "change_sets.initiative_id": "initiatives CASCADE",
    "change_sets.agent_id": "agents SET NULL",
    "tasks.claimed_by_agent_id": "agents SET NULL",
    "change_set_entries.change_set_id": "change_sets CASCADE",
}


def test_foreign_keys_point_and_act_as_the_contract_says() -> None:
    found = {
        f"{table.name}.{key.parent.name}": f"{key.column.table.name} {key.ondelete}"
        for table in metadata.tables.values()
        for key in table.foreign_keys
    }
    assert found == ACTIONS


INDEXES = [
    ("agent_log_chunks", ["agent_id"]),
    ("conversations", ["to_agent_id", "status"]),
    ("conversations", ["from_agent_id"]),
    ("chat_sessions", ["target_type", "target_id"]),
    ("chat_sessions", ["initiative_id"]),
    ("chat_messages", ["chat_session_id"]),
    ("review_comments", ["phase_id"]),
    ("messages", ["recipient_type", "recipient_id", "status"]),
    ("messages", ["parent_message_id"]),
]


@pytest.mark.parametrize(("name", "columns"), INDEXES, ids=lambda value: str(value))
def test_the_indexes_that_the_contract_names_are_there(name: str, columns: list[str]) -> None:
    """An index may have more columns behind those, which serve the order of the lists."""
    indexes = [[column.name for column in index.columns] for index in metadata.tables[name].indexes]
    assert any(index[: len(columns)] == columns for index in indexes)


@pytest.mark.parametrize(
    ("name", "columns"),
    [("agents", ["name"]), ("projects", ["name"]), ("projects", ["url"])],
    ids=lambda value: str(value),
)
def test_what_is_unique_has_a_constraint(name: str, columns: list[str]) -> None:
    constraints = [
        [column.name for column in constraint.columns]
        for constraint in metadata.tables[name].constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    assert columns in constraints


@pytest.mark.parametrize("name", ["phase_dependencies", "task_dependencies", "initiative_projects"])
def test_a_junction_is_known_by_both_of_its_ends(name: str) -> None:
    table = metadata.tables[name]
    assert list(table.primary_key.columns) == list(table.columns)
    assert len(table.columns) == 2
