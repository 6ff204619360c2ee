"""Pages, phases and tasks that are recorded.

While a recording is on, a unit's three repositories are of these classes, the objects that were
taken from the unit before included; at any other time they know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import NamedTuple, Unpack

from cw_store.repos.pages import NewPage, Page, PageChanges, PageExpected, PageRepository
from cw_store.repos.phases import (
    NewPhase,
    Phase,
    PhaseChanges,
    PhaseDependency,
    PhaseExpected,
    PhaseRepository,
)
from cw_store.repos.sql.pages import Pages
from cw_store.repos.sql.phases import Phases
from cw_store.repos.sql.recording import Recorder
from cw_store.repos.sql.states import PAGES, PHASES, TASKS
from cw_store.repos.sql.task_places import PLACES
from cw_store.repos.sql.tasks import Tasks
from cw_store.repos.tasks import (
    NewTask,
    Task,
    TaskChanges,
    TaskDependency,
    TaskExpected,
    TaskRepository,
)


class RecordingPages(Pages):
    """Pages whose changes are recorded."""

    __slots__ = ()
    recorder: Recorder

    async def create(self, **values: Unpack[NewPage]) -> Page:
        async with self.recorder.step(self._database) as step:
            page = await Pages(step.database).create(**values)
            step.add(PAGES, [page.id])
            return page

    async def update(
        self,
        id: str,
        *,
        expected: PageExpected | None = None,
        **changes: Unpack[PageChanges],
    ) -> Page:
        async with self.recorder.step(self._database) as step:
            if changes.get("parent_page_id") is not None:
                await PAGES.take_turn(step.database)
            await step.hold(PAGES, id)
            return await Pages(step.database).update(id, expected=expected, **changes)

    async def delete(self, id: str) -> None:
        async with self.recorder.step(self._database) as step:
            await step.hold_to_delete(PAGES, id)
            await Pages(step.database).delete(id)

    async def _new_root(self, initiative_id: str) -> Page | None:
        async with self.recorder.step(self._database) as step:
            root = await Pages(step.database)._new_root(initiative_id)
            step.add(PAGES, [] if root is None else [root.id])
            return root


class RecordingPhases(Phases):
    """Phases whose changes are recorded."""

    __slots__ = ()
    recorder: Recorder

    async def create(self, **values: Unpack[NewPhase]) -> Phase:
        async with self.recorder.step(self._database) as step:
            phase = await Phases(step.database).create(**values)
            step.add(PHASES, [phase.id])
            return phase

    async def update(
        self,
        id: str,
        *,
        expected: PhaseExpected | None = None,
        **changes: Unpack[PhaseChanges],
    ) -> Phase:
        async with self.recorder.step(self._database) as step:
            await step.hold(PHASES, id)
            return await Phases(step.database).update(id, expected=expected, **changes)

    async def delete(self, id: str) -> None:
        async with self.recorder.step(self._database) as step:
            await step.hold_to_delete(PHASES, id)
            await Phases(step.database).delete(id)

    async def create_dependency(self, id: str, depends_on_id: str) -> PhaseDependency:
        async with self.recorder.step(self._database) as step:
            await step.hold_edges_of(PHASES, id)
            return await Phases(step.database).create_dependency(id, depends_on_id)

    async def delete_dependency(self, id: str, depends_on_id: str) -> None:
        async with self.recorder.step(self._database) as step:
            await step.hold_edges_of(PHASES, id)
            await Phases(step.database).delete_dependency(id, depends_on_id)

    async def set_dependencies(self, id: str, depends_on_ids: Sequence[str]) -> None:
        async with self.recorder.step(self._database) as step:
            await step.hold_edges_of(PHASES, id)
            await Phases(step.database).set_dependencies(id, depends_on_ids)


class RecordingTasks(Tasks):
    """Tasks whose changes are recorded."""

    __slots__ = ()
    recorder: Recorder

    async def create(self, **values: Unpack[NewTask]) -> Task:
        async with self.recorder.step(self._database) as step:
            task = await Tasks(step.database).create(**values)
            step.add(TASKS, [task.id])
            return task

    async def create_many(self, rows: Sequence[NewTask]) -> list[Task]:
        async with self.recorder.step(self._database) as step:
            created = await Tasks(step.database).create_many(rows)
            step.add(TASKS, [task.id for task in created])
            return created

    async def update(
        self,
        id: str,
        *,
        expected: TaskExpected | None = None,
        **changes: Unpack[TaskChanges],
    ) -> Task:
        async with self.recorder.step(self._database) as step:
            if PLACES.isdisjoint(changes):
                await step.hold(TASKS, id)
            else:
                # Its subtasks move along.
                await TASKS.take_turn(step.database)
                await step.hold_whole(TASKS, id)
            return await Tasks(step.database).update(id, expected=expected, **changes)

    async def delete(self, id: str) -> None:
        async with self.recorder.step(self._database) as step:
            await step.hold_to_delete(TASKS, id)
            await Tasks(step.database).delete(id)

    async def increment_retry_count(self, id: str) -> Task:
        async with self.recorder.step(self._database) as step:
            await step.hold(TASKS, id)
            return await Tasks(step.database).increment_retry_count(id)

    async def reset_retry_count(self, id: str) -> Task:
        async with self.recorder.step(self._database) as step:
            await step.hold(TASKS, id)
            return await Tasks(step.database).reset_retry_count(id)

    async def create_dependency(self, id: str, depends_on_id: str) -> TaskDependency:
        async with self.recorder.step(self._database) as step:
            await step.hold_edges_of(TASKS, id)
            return await Tasks(step.database).create_dependency(id, depends_on_id)

    async def delete_dependency(self, id: str, depends_on_id: str) -> None:
        async with self.recorder.step(self._database) as step:
            await step.hold_edges_of(TASKS, id)
            await Tasks(step.database).delete_dependency(id, depends_on_id)

    async def set_dependencies(self, id: str, depends_on_ids: Sequence[str]) -> None:
        async with self.recorder.step(self._database) as step:
            await step.hold_edges_of(TASKS, id)
            await Tasks(step.database).set_dependencies(id, depends_on_ids)


class Recordable(NamedTuple):
    """What a recording needs of a unit of work: its savepoints, and what is to be recorded."""

    savepoint: Callable[[], AbstractAsyncContextManager[None]]
    pages: PageRepository
    phases: PhaseRepository
    tasks: TaskRepository

    @property
    def is_recorded(self) -> bool:
        """Whether a recording is on."""
        return isinstance(self.pages, RecordingPages)

    @contextmanager
    def recorded(self, recorder: Recorder) -> Generator[None]:
        """Have the repositories record until the end of the block."""
        pages, phases, tasks = self.pages, self.phases, self.tasks
        assert isinstance(pages, Pages)
        assert isinstance(phases, Phases)
        assert isinstance(tasks, Tasks)
        pages.__class__, phases.__class__, tasks.__class__ = (
            RecordingPages,
            RecordingPhases,
            RecordingTasks,
        )
        pages.recorder = phases.recorder = tasks.recorder = recorder
        try:
            yield
        finally:
            recorder.is_on = False
            pages.__class__, phases.__class__, tasks.__class__ = Pages, Phases, Tasks
