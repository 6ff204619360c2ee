"""What another program writes, and no record can hold."""

from cw_store import Store


async def spoil(store: Store, table: str, column: str, id: str) -> None:
    """Write a time beyond all times into a row."""
    async with store.unit_of_work() as uow:
        connection = await uow.session.connection()
        never = "'infinity'" if connection.dialect.name == "postgresql" else str(2**63 - 1)
        await connection.exec_driver_sql(f"UPDATE {table} SET {column} = {never} WHERE id = '{id}'")
