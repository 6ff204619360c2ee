"""Write a plan into cw.db, as a whole or not at all."""

import asyncio

from cw_store import Store


async def main() -> None:
    async with Store("cw.db") as store, store.unit_of_work() as uow:
        await uow.accounts.create(email="first@example.com")
        blog = await uow.initiatives.create(name="A blog", max_agents=2)
        design = await uow.phases.create(initiative_id=blog.id, name="Design")
        build = await uow.phases.create(initiative_id=blog.id, name="Build")
        await uow.phases.create_dependency(build.id, design.id)  # Build waits for Design

        await uow.tasks.create(id="draw", phase_id=design.id, name="Draw the pages")
        await uow.tasks.create(id="write", phase_id=build.id, name="Write the pages")
        await uow.tasks.create(id="style", phase_id=build.id, name="Write the style")
        await uow.tasks.create(id="check", phase_id=build.id, name="Check it")
        await uow.tasks.set_dependencies("check", ["write", "style"])


asyncio.run(main())
