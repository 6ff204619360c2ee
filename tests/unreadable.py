"""What another program writes, and no record can hold."""

from builders import Repos
from cw_store import UnitOfWork


async def spoil(repos: Repos, table: str, column: str, id: str) -> None:
    """Write a time beyond all times into a row."""
    if not isinstance(repos, UnitOfWork):
        async with repos.unit_of_work() as uow:
            return await spoil(uow, table, column, id)
    connection = await repos.session.connection()
    never = "'infinity'" if connection.dialect.name == "postgresql" else str(2**63 - 1)
    await connection.exec_driver_sql(f"UPDATE {table} SET {column} = {never} WHERE id = '{id}'")
