"""What an error means, also of those that no server gives at will."""

from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest

from cw_store import InvalidValueError, StoreBusyError, StoreError
from cw_store.backends.postgres.errors import refusals


def server_error(state: str | None, **fields: str) -> Exception:
    """Return the driver's error for what a server says; without a state it knows none."""
    if state is None:
        return cast(Any, asyncpg).PostgresError("refused")
    said = {"S": "ERROR", "V": "ERROR", "M": "refused", "C": state, **fields}
    return cast(Any, asyncpg).PostgresError.new(said)


MEANINGS: list[tuple[BaseException, type[StoreError], str]] = [
    (server_error("57014"), StoreBusyError, "gave the statement up"),
    (server_error("28000"), StoreError, "refused the connection"),
    (server_error("28P01"), StoreError, "refused the connection"),
    (server_error("3D000"), StoreError, "refused the connection"),
    (TimeoutError(), StoreBusyError, "did not answer in time"),
    (OSError("unplugged"), StoreBusyError, "not there .* unplugged"),
    (server_error(None), StoreError, "failed with PostgresError: refused"),
]


@pytest.mark.parametrize(("error", "kind", "message"), MEANINGS)
def test_an_error_tells_what_it_means(
    error: BaseException, kind: type[StoreError], message: str
) -> None:
    with pytest.raises(StoreError, match=message) as raised, refusals():
        raise error
    assert type(raised.value) is kind
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"c": "title"}, "title"),
        ({"c": "title", "n": "pk_phase_dependencies"}, "title"),
        ({"n": "pk_phase_dependencies"}, "phase_id, depends_on_phase_id"),
        ({}, "?"),
    ],
)
def test_a_value_that_the_schema_does_not_allow_is_told_with_its_column(
    fields: dict[str, str], column: str
) -> None:
    with pytest.raises(InvalidValueError) as raised, refusals():
        raise server_error("23502", **fields)
    error = raised.value
    assert (error.table, error.column, error.value) == ("?", column, None)
    assert error.reason == "is not allowed by the schema"
