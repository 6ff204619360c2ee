"""The repositories that record are whole: no verb passes by unrecorded."""

import inspect

from cw_store.repos.sql.recording_repositories import (
    RecordingPages,
    RecordingPhases,
    RecordingTasks,
)
from every_port import repositories


def test_every_verb_of_the_three_repositories_is_one_that_records() -> None:
    recording = {"pages": RecordingPages, "phases": RecordingPhases, "tasks": RecordingTasks}
    for name, port in repositories().items():
        if name in recording:
            for verb, _method in inspect.getmembers(port, inspect.isfunction):
                reads = verb.startswith(("_", "find_", "get_", "count_"))
                assert reads or verb in vars(recording[name]), f"{name}.{verb} is not recorded"
