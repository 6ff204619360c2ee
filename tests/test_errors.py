"""The tree of errors: what each is also, what it tells, what it keeps to itself."""

import copy
import pickle

import pytest

import cw_store
from cw_store import (
    AlreadyExistsError,
    BrokenReferenceError,
    ChangeConflict,
    ChangeConflictError,
    ConflictError,
    DependencyCycleError,
    InvalidValueError,
    LeaseLostError,
    NotFoundError,
    OutcomeUnknownError,
    ReadOnlyError,
    SchemaAheadError,
    SchemaBehindError,
    SchemaError,
    StaleCursorError,
    StaleStateError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    TurnHolder,
    UnitOfWorkError,
    UnreadableError,
    errors,
)

TREE: dict[type[Exception], tuple[type[Exception], ...]] = {
    StoreError: (Exception,),
    NotFoundError: (StoreError, LookupError),
    ConflictError: (StoreError,),
    AlreadyExistsError: (ConflictError,),
    BrokenReferenceError: (ConflictError,),
    ChangeConflictError: (ConflictError,),
    StaleStateError: (ConflictError,),
    LeaseLostError: (StaleStateError,),
    InvalidValueError: (StoreError, ValueError),
    DependencyCycleError: (InvalidValueError,),
    ReadOnlyError: (StoreError,),
    UnitOfWorkError: (StoreError,),
    OutcomeUnknownError: (StoreError,),
    StoreBusyError: (StoreError, TimeoutError),
    StoreClosedError: (StoreError,),
    UnreadableError: (StoreError,),
    StaleCursorError: (StoreError,),
    SchemaError: (StoreError,),
    SchemaBehindError: (SchemaError,),
    SchemaAheadError: (SchemaError,),
}

FACTS = {"TurnHolder", "ChangeConflict", "ChangeConflictReason"}
"""What errors tell, and is none itself."""

EXAMPLES: dict[str, Exception] = {
    "there is no row 't1' in tasks": NotFoundError("tasks", "t1"),
    "projects already holds a row with the same name": AlreadyExistsError("projects", ["name"]),
    "phase_id, parent_task_id of tasks points to a row that does not exist": BrokenReferenceError(
        "tasks", ["phase_id", "parent_task_id"]
    ),
    "the change set cannot be reverted: task 't1' was changed since (name, status); "
    "review comment 'c1' came since, and would go too; task 't2' is claimed by an agent; "
    "page 'p1' was deleted since; page 'p2' is there again; and 1 more": ChangeConflictError(
        [
            ChangeConflict("task", "t1", "changed", ("name", "status")),
            ChangeConflict("review_comment", "c1", "added"),
            ChangeConflict("task", "t2", "claimed"),
            ChangeConflict("page", "p1", "gone"),
            ChangeConflict("page", "p2", "exists"),
            ChangeConflict("task", "t3", "broken", ("phase_id",)),
        ]
    ),
    "row 'c1' of conversations is no longer in the state that this call needs": StaleStateError(
        "conversations", "c1"
    ),
    "answered already": StaleStateError("conversations", "c1", "answered already"),
    "tasks.name must not be empty": InvalidValueError("tasks", "name", "", "must not be empty"),
    "task_dependencies.depends_on_task_id would close a cycle: a -> b -> a": DependencyCycleError(
        "task_dependencies", "depends_on_task_id", ["a", "b", "a"]
    ),
    "no turn; the turn is held by 'dispatch' in task 'Task-1', for 1.5 s": StoreBusyError(
        "no turn", TurnHolder("dispatch", "Task-1", 1.5)
    ),
    "no turn": StoreBusyError("no turn"),
    "credentials of row 'a1' of accounts cannot be read: its key is not here": UnreadableError(
        "accounts", "a1", "credentials", "its key is not here"
    ),
    "the database is at schema 0001 and this cw_store needs 0002; "
    "open it for writing with migrate=True, or run ensure_schema()": SchemaBehindError(
        "0001", "0002"
    ),
    "there is no store here yet; "
    "open it for writing with migrate=True, or run ensure_schema()": SchemaBehindError(
        None, "0002"
    ),
    "the database is at schema 9999, which this cw_store does not know; "
    "install a newer cw_store": SchemaAheadError("9999"),
}


@pytest.mark.parametrize("error", TREE)
def test_every_error_has_its_place_in_the_tree(error: type[Exception]) -> None:
    assert error.__bases__ == TREE[error]


def test_the_tree_is_whole_and_public() -> None:
    found = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert found == set(TREE)
    for name in errors.__all__:
        assert getattr(cw_store, name) is getattr(errors, name)
        assert name in cw_store.__all__
        assert errors.__doc__ and (name in errors.__doc__ or name in FACTS)


@pytest.mark.parametrize("message", EXAMPLES)
def test_every_message_is_a_sentence_that_names_the_place(message: str) -> None:
    assert str(EXAMPLES[message]) == message


def test_errors_carry_their_facts() -> None:
    not_found = NotFoundError("tasks", "t1")
    assert (not_found.table, not_found.id) == ("tasks", "t1")
    exists = AlreadyExistsError("projects", ["name"])
    assert (exists.table, exists.columns) == ("projects", ("name",))
    broken = BrokenReferenceError("tasks", ["phase_id"])
    assert (broken.table, broken.columns) == ("tasks", ("phase_id",))
    stale = StaleStateError("conversations", "c1")
    assert (stale.table, stale.id) == ("conversations", "c1")
    invalid = InvalidValueError("tasks", "name", 7, "takes text")
    assert (invalid.table, invalid.column, invalid.value, invalid.reason) == (
        "tasks",
        "name",
        7,
        "takes text",
    )
    unreadable = UnreadableError("accounts", "a1", "credentials", "its key is not here")
    assert (unreadable.table, unreadable.id, unreadable.column) == ("accounts", "a1", "credentials")
    cycle = DependencyCycleError("task_dependencies", "depends_on_task_id", ["a", "b", "a"])
    assert cycle.path == ("a", "b", "a")
    assert StoreBusyError("no turn").holder is None
    behind = SchemaBehindError(None, "0002")
    assert (behind.current, behind.head) == (None, "0002")
    assert SchemaAheadError("9999").current == "9999"


def test_a_holder_without_a_label_is_described_too() -> None:
    assert str(TurnHolder(None, "Task-1", 0.04)) == (
        "a unit of work without a label in task 'Task-1', for 0.0 s"
    )


def test_an_invalid_value_is_not_shown() -> None:
    error = InvalidValueError("accounts", "credentials", "s3cr3t", "is 6 bytes long")
    assert "s3cr3t" not in f"{error} {error!r}"


@pytest.mark.parametrize("message", EXAMPLES)
def test_errors_survive_a_copy_and_a_pickle(message: str) -> None:
    # A process pool and pytest-xdist send errors from one process to another.
    error = EXAMPLES[message]
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert str(twin) == message
        assert vars(twin) == vars(error)
