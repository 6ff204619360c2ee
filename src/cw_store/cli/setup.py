"""Setting up: `init`, `migrate`, `status`, `rekey`."""

from cw_store.cli.context import Here


async def status(*, here: Here) -> None:
    """Show the schema, rows and bytes, and who is at it."""
    async with here.reading() as store:
        here.output.facts({"store": store.url})
