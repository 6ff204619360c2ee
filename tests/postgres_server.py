"""The server of the tests, under the name by which programs beside this project import it.

What is in `tests/` takes it from `cw_store.testing`.
"""

from cw_store.testing.postgres_server import PostgresServer

__all__ = ["PostgresServer"]
