"""What a statement becomes for one database, and what its rows become."""

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.dialects.sqlite import pysqlite

from cw_store import Account, Initiative, InvalidValueError, schema
from cw_store.statements.compiled import CompiledInsert, compile_for
from cw_store.statements.query import NEW_VALUE, Query
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
    statement = compile_for(dialect, Query(Initiative, FIND, TABLE))
    assert [*statement.bind({"id": "i", "name": "n"})] == ["active", "n", "main", "i"]
    assert statement.columns() == ["", "name", "", "id"]
    changed = compile_for(dialect, Query(Initiative, CHANGE, TABLE))
    assert sorted(changed.columns()[:2]) == ["branch", "name"] and changed.columns()[2] == "id"


def test_only_what_is_not_read_writes() -> None:
    assert not Query(Initiative, FIND, TABLE).writes
    for statement in (CHANGE, ADD, sa.delete(TABLE)):
        assert Query(Initiative, statement, TABLE).writes


def test_none_is_a_new_value_and_no_argument() -> None:
    change = compile_for(SQLITE, Query(Initiative, CHANGE, TABLE))
    new: dict[str, Any] = {f"{NEW_VALUE}branch": None, f"{NEW_VALUE}name": "n"}
    assert None in change.bind({**new, "id": "i"})
    add = compile_for(SQLITE, Query(Initiative, ADD, TABLE))
    assert [*add.bind({"id": "i", "branch": None})][:2] == ["i", None]
    find = compile_for(SQLITE, Query(Initiative, FIND, TABLE))
    for statement, values in ((change, {**new, "id": None}), (find, {"id": None, "name": "n"})):
        with pytest.raises(InvalidValueError) as raised:
            statement.bind(values)
        error = raised.value
        assert (error.table, error.column, error.value) == ("initiatives", "id", None)
        assert error.reason == "must not be None"


@pytest.mark.parametrize("given", [{"id": "i", "name": None}, {"id": None, "name": "n"}])
def test_none_is_no_new_value_of_a_column_that_does_not_take_it(given: dict[str, Any]) -> None:
    add = compile_for(SQLITE, Query(Initiative, whole(TABLE), TABLE))
    change = compile_for(SQLITE, Query(Initiative, CHANGE, TABLE))
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
    insert = sa.insert(TABLE).inline().values(one_by_one)
    add = compile_for(SQLITE, Query(Initiative, insert, TABLE))
    assert isinstance(add, CompiledInsert)
    row = add.row({"id": "i", "name": "n", "branch": "b", "created_at": EPOCH, "updated_at": EPOCH})
    assert row == ["i", "n", "active", "b", None, None, 0, 0]
    assert [*add.arrange(row)] == ["b", "main", "i", "n", "active", "b", None, None, 0, 0]
    names = ["branch", "", "id", "name", "status", "branch", "max_agents", "dispatch_turn"]
    assert add.columns() == [*names, *STAMPS]


def test_a_refused_value_is_told_with_its_column() -> None:
    change = compile_for(SQLITE, Query(Initiative, CHANGE, TABLE))
    with pytest.raises(InvalidValueError) as raised:
        change.bind({f"{NEW_VALUE}branch": None, f"{NEW_VALUE}name": 5, "id": "i"})
    error = raised.value
    assert (error.table, error.column, error.value) == ("initiatives", "name", 5)
    assert error.reason


def test_rows_become_records_or_the_values_of_their_only_column() -> None:
    row = ("i", "n", "active", None, 2, None, 0, 1_000_000)
    expected = Initiative(
        id="i",
        name="n",
        status="active",
        branch=None,
        max_agents=2,
        dispatch_turn=None,
        created_at=EPOCH,
        updated_at=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    )
    find = compile_for(SQLITE, Query(Initiative, FIND, TABLE))
    for count in (0, 1, 2, 3):
        records = find.records([row] * count)
        assert records == [expected] * count
        assert all(type(record) is Initiative for record in records)
    timestamp = compile_for(SQLITE, Query(datetime, sa.select(TABLE.c.updated_at), TABLE))
    assert timestamp.records([(0,), (1_000_000,)]) == [expected.created_at, expected.updated_at]
    text = compile_for(SQLITE, Query(str, sa.select(TABLE.c.name), TABLE))
    assert text.records([("a",)]) == ["a"]
    assert text.records([("a",), ("b",)]) == ["a", "b"]


def test_a_new_row_holds_defaults_where_nothing_is_given() -> None:
    add = compile_for(SQLITE, Query(Initiative, whole(schema.tasks), schema.tasks))
    row = dict(zip(add.columns(), add.bind({"id": "t", "name": "n", "order": 3}), strict=True))
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
    statement = compile_for(SQLITE, Query(int, remove, TABLE))
    assert [[*row] for row in statement.bind_all([{"id": "a"}, {"id": "b"}])] == [["a"], ["b"]]
    with pytest.raises(InvalidValueError):
        statement.bind_all([{"id": "a"}, {"id": None}])


def test_the_secrets_of_many_new_rows_are_each_bound_to_their_own() -> None:
    dialect = pysqlite.dialect(paramstyle="qmark")
    use_rules(dialect, ValueRules(encrypt=lambda text, cell: f"{text} in {cell and [*cell]}"))
    add = compile_for(dialect, Query(Account, sa.insert(schema.accounts), schema.accounts))
    place = add.columns().index("credentials")
    entries = [{"id": id, "email": "x", "credentials": f"secret {id}"} for id in ("a", "b")]
    expected = [f"secret {id} in ['accounts', 'credentials', '{id}']" for id in ("a", "b")]
    assert [add.bind(entry)[place] for entry in entries] == expected
    assert [row[place] for row in add.bind_all(entries)] == expected
    with pytest.raises(InvalidValueError) as raised:
        add.bind_all([*entries, {"id": "c", "email": "x", "credentials": 5}])
    assert (raised.value.table, raised.value.column) == ("accounts", "credentials")


def test_stores_share_the_words_of_a_statement_and_each_has_its_own_rules() -> None:
    add = Query(Initiative, whole(TABLE), TABLE)
    narrow, wide = (pysqlite.dialect(paramstyle="qmark") for _ in range(2))
    use_rules(narrow, ValueRules(max_text_bytes=4))
    use_rules(wide, ValueRules())
    for first, second in ((narrow, wide), (wide, narrow)):
        assert compile_for(first, add).sql is compile_for(second, add).sql
    for dialect in (narrow, SQLITE):
        assert compile_for(dialect, add).sql != compile_for(POSTGRES, add).sql
    row = {"id": "i", "name": "five!", **dict.fromkeys(STAMPS, EPOCH)}
    assert "five!" in compile_for(wide, add).bind(row)
    with pytest.raises(InvalidValueError, match="name"):
        compile_for(narrow, add).bind(row)
