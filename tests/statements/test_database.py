"""The database: what a statement becomes for one database, and what its rows become."""

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.dialects.sqlite import pysqlite

from cw_store import Account, Initiative, InvalidValueError, schema
from cw_store.statements.database import NEW_VALUE, Query
from cw_store.types import ValueRules, use_rules

TABLE = schema.initiatives
SQLITE = pysqlite.dialect(paramstyle="qmark")
POSTGRES = asyncpg.dialect()
for dialect in (SQLITE, POSTGRES):
    use_rules(dialect, ValueRules())

FIND = (
    sa.select(*schema.record_columns(TABLE))
    .where(TABLE.c.status == "active", TABLE.c.name == sa.bindparam("name"))
    .where(TABLE.c.branch == "main", TABLE.c.id == sa.bindparam("id"))
)
CHANGE = (
    sa.update(TABLE)
    .values(branch=sa.bindparam(f"{NEW_VALUE}branch"), name=sa.bindparam(f"{NEW_VALUE}name"))
    .where(TABLE.c.id == sa.bindparam("id"))
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STAMPS = ["created_at", "updated_at"]
ADD = sa.insert(TABLE).values(id=sa.bindparam("id"), branch=sa.bindparam("branch"))


def whole(table: sa.Table) -> sa.Insert:
    """Return an INSERT of all columns of a record."""
    columns = schema.record_columns(table)
    return sa.insert(table).values({column.name: sa.bindparam(column.name) for column in columns})


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES], ids=["sqlite", "postgresql"])
def test_parameters_and_constants_keep_their_places(dialect: sa.Dialect) -> None:
    prepared = Query(Initiative, FIND, TABLE).prepare(dialect)
    assert [*prepared.bind({"id": "i", "name": "n"})] == ["active", "n", "main", "i"]
    assert prepared.names() == ["", "name", "", "id"]
    changed = Query(Initiative, CHANGE, TABLE).prepare(dialect)
    assert sorted(changed.names()[:2]) == ["branch", "name"] and changed.names()[2] == "id"


def test_a_statement_may_have_a_form_for_sqlite_alone() -> None:
    query = Query(Initiative, FIND, TABLE, on_sqlite=sa.select(TABLE))
    assert "WHERE" not in query.prepare(SQLITE).sql
    assert query.prepare(POSTGRES).sql == Query(Initiative, FIND, TABLE).prepare(POSTGRES).sql


def test_only_what_is_not_read_writes() -> None:
    assert not Query(Initiative, FIND, TABLE).writes
    for statement in (CHANGE, ADD, sa.delete(TABLE)):
        assert Query(Initiative, statement, TABLE).writes


def test_none_is_a_new_value_and_no_argument() -> None:
    change = Query(Initiative, CHANGE, TABLE).prepare(SQLITE)
    new: dict[str, Any] = {f"{NEW_VALUE}branch": None, f"{NEW_VALUE}name": "n"}
    assert None in change.bind({**new, "id": "i"})
    add = Query(Initiative, ADD, TABLE).prepare(SQLITE)
    assert [*add.bind({"id": "i", "branch": None})][:2] == ["i", None]
    find = Query(Initiative, FIND, TABLE).prepare(SQLITE)
    for prepared, values in ((change, {**new, "id": None}), (find, {"id": None, "name": "n"})):
        with pytest.raises(InvalidValueError) as raised:
            prepared.bind(values)
        error = raised.value
        assert (error.table, error.column, error.value) == ("initiatives", "id", None)
        assert error.reason == "must not be None"


@pytest.mark.parametrize("given", [{"id": "i", "name": None}, {"id": None, "name": "n"}])
def test_none_is_no_new_value_of_a_column_that_does_not_take_it(given: dict[str, Any]) -> None:
    add = Query(Initiative, whole(TABLE), TABLE).prepare(SQLITE)
    change = Query(Initiative, CHANGE, TABLE).prepare(SQLITE)
    changes = {f"{NEW_VALUE}name": given["name"], f"{NEW_VALUE}branch": None, "id": given["id"]}
    for bind in (
        lambda: add.bind(given),
        lambda: add.bind_all([{"id": "i", "name": "n"}, given]),
        lambda: change.bind(changes),
    ):
        with pytest.raises(InvalidValueError) as raised:
            bind()
        error = raised.value
        assert given[error.column] is None and error.reason == "must not be None"


def test_a_row_is_in_the_order_of_its_columns_whatever_that_of_the_statement() -> None:
    one_by_one: dict[str, Any] = {
        column.name: sa.bindparam(column.name) for column in schema.record_columns(TABLE)
    }
    one_by_one["id"] = sa.func.iif(sa.bindparam("branch") == "main", sa.bindparam("id"))
    add = Query(Initiative, sa.insert(TABLE).inline().values(one_by_one), TABLE).prepare(SQLITE)
    row = add.row({"id": "i", "name": "n", "branch": "b", "created_at": EPOCH, "updated_at": EPOCH})
    assert row == ["i", "n", "active", "b", 0, 0]
    assert [*add.arrange(row)] == ["b", "main", "i", "n", "active", "b", 0, 0]
    assert add.names() == ["branch", "", "id", "name", "status", "branch", *STAMPS]


def test_a_refused_value_is_told_with_its_column() -> None:
    change = Query(Initiative, CHANGE, TABLE).prepare(SQLITE)
    with pytest.raises(InvalidValueError) as raised:
        change.bind({f"{NEW_VALUE}branch": None, f"{NEW_VALUE}name": 5, "id": "i"})
    error = raised.value
    assert (error.table, error.column, error.value) == ("initiatives", "name", 5)
    assert error.reason


def test_rows_become_records_or_the_values_of_their_only_column() -> None:
    row = ("i", "n", "active", None, 0, 1_000_000)
    expected = Initiative(
        id="i",
        name="n",
        status="active",
        branch=None,
        created_at=EPOCH,
        updated_at=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    )
    load = Query(Initiative, FIND, TABLE).prepare(SQLITE).load
    for count in (0, 1, 2, 3):
        records = load([row] * count)
        assert records == [expected] * count
        assert all(type(record) is Initiative for record in records)
    moment = Query(datetime, sa.select(TABLE.c.updated_at), TABLE).prepare(SQLITE)
    assert moment.load([(0,), (1_000_000,)]) == [expected.created_at, expected.updated_at]
    text = Query(str, sa.select(TABLE.c.name), TABLE).prepare(SQLITE)
    assert text.load([("a",)]) == ["a"]
    assert text.load([("a",), ("b",)]) == ["a", "b"]


def test_a_new_row_holds_defaults_where_nothing_is_given() -> None:
    add = Query(Initiative, whole(schema.tasks), schema.tasks).prepare(SQLITE)
    row = dict(zip(add.names(), add.bind({"id": "t", "name": "n", "order": 3}), strict=True))
    assert (row["id"], row["name"], row["order"]) == ("t", "n", 3)
    assert (row["status"], row["type"], row["retry_count"]) == ("pending", "auto", 0)
    assert row["phase_id"] is None
    entries = [{"id": "t", "name": "n"}, {"id": "u", "name": "m"}]
    assert add.bind_all(entries) == [add.bind(entry) for entry in entries]
    uneven = [{"id": "t", "name": "n"}, {"id": "u", "name": "m", "order": 3}]
    assert add.bind_all(uneven) == [add.bind(entry) for entry in uneven]
    assert add.bind_all([]) == []
    with pytest.raises(InvalidValueError):
        add.bind_all([{"id": "t", "name": "n"}, {"id": "u", "name": 5}])


def test_none_is_no_argument_in_a_batch_either() -> None:
    remove = sa.delete(TABLE).where(TABLE.c.id == sa.bindparam("id"))
    prepared = Query(int, remove, TABLE).prepare(SQLITE)
    assert [[*row] for row in prepared.bind_all([{"id": "a"}, {"id": "b"}])] == [["a"], ["b"]]
    with pytest.raises(InvalidValueError):
        prepared.bind_all([{"id": "a"}, {"id": None}])


def test_the_secrets_of_many_new_rows_are_each_bound_to_their_own() -> None:
    dialect = pysqlite.dialect(paramstyle="qmark")
    use_rules(dialect, ValueRules(encrypt=lambda text, cell: f"{text} in {cell and [*cell]}"))
    add = Query(Account, sa.insert(schema.accounts), schema.accounts).prepare(dialect)
    place = add.names().index("credentials")
    entries = [{"id": id, "email": "x", "credentials": f"secret {id}"} for id in ("a", "b")]
    expected = [f"secret {id} in ['accounts', 'credentials', '{id}']" for id in ("a", "b")]
    assert [add.bind(entry)[place] for entry in entries] == expected
    assert [row[place] for row in add.bind_all(entries)] == expected
    with pytest.raises(InvalidValueError) as raised:
        add.bind_all([*entries, {"id": "c", "email": "x", "credentials": 5}])
    assert (raised.value.table, raised.value.column) == ("accounts", "credentials")
