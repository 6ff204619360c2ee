"""What an application may import, and what that costs."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

import cw_store
from every_port import is_port, repositories
from programs import run_program

REPOSITORIES = [
    "initiatives",
    "phases",
    "tasks",
    "agents",
    "messages",
    "pages",
    "projects",
    "accounts",
    "proposals",
    "log_chunks",
    "conversations",
    "chat_sessions",
    "review_comments",
    "errands",
    "change_sets",
    "claims",
    "changes",
]

PUBLIC = """
Store UnitOfWork ensure_schema migration_sql
copy_store CopiedTable CopyReport BackupReport TableRows restore_store RestoreReport
import_original Finding FindingLevel ImportReport ImportedTable OriginalMigrations ValueMap
query_store stream_query QueryResult QueryRows QueryValue
import_store ExportReport ExportedTable
metadata TABLE_NAMES include_name
AlreadyExistsError BrokenReferenceError ChangeConflict ChangeConflictError ChangeConflictReason
ConflictError DependencyCycleError InvalidValueError
NotFoundError OutcomeUnknownError ReadOnlyError SchemaAheadError SchemaBehindError SchemaError
StaleStateError StoreBusyError StoreClosedError StoreError TurnHolder UnitOfWorkError
UnreadableError
Account AccountChanges AccountExpected AccountRepository NewAccount
Agent AgentChanges AgentExpected AgentMode AgentRepository AgentStatus NewAgent
ChangeSet ChangeSetAction ChangeSetChanges ChangeSetExpected ChangeSetEntityType ChangeSetEntry
ChangeSetMode
ChangeSetRepository ChangeSetStatus NewChangeSet NewChangeSetEntry
LostRow Recording RestoredEntity Reverted
ChatMessage ChatRole ChatSession ChatSessionChanges ChatSessionExpected ChatSessionRepository
ChatSessionStatus
ChatTargetType NewChatMessage NewChatSession
Change ChangeAction ChangeFollower ChangePage ChangeRepository ChangedEntity StaleCursorError
Claim ClaimOptions ClaimRepository Claimed Finished InitiativeFull InitiativeInactive LeaseLostError
NextOptions NoAccount NotBefore Obstacle PhaseNotOpen Readiness ReadyOptions Reason Standing
WaitsForPhase WaitsForTask WrongCategory WrongStatus
Conversation ConversationChanges ConversationExpected ConversationRepository ConversationStatus
NewConversation
Errand ErrandChanges ErrandExpected ErrandRepository ErrandStatus NewErrand
Initiative InitiativeChanges InitiativeExpected InitiativeRepository InitiativeStatus NewInitiative
JsonValue
LogChunk LogChunkRepository NewLogChunk
Message MessageChanges MessageExpected MessageRepository MessageStatus MessageType NewMessage
ParticipantType
Page PageChanges PageExpected PageRepository NewPage
Phase PhaseChanges PhaseExpected PhaseDependency PhaseRepository PhaseStatus NewPhase
Project ProjectChanges ProjectExpected ProjectRepository NewProject
Proposal ProposalChanges ProposalExpected ProposalRepository ProposalStatus ProposalTargetType
NewProposal Pruned
LineType NewReviewComment ReviewComment ReviewCommentChanges ReviewCommentExpected
ReviewCommentRepository
NewTask Task TaskCategory TaskChanges TaskExpected TaskDependency TaskPriority TaskRepository
TaskStatus TaskType
"""


def test_these_names_are_public() -> None:
    assert sorted(cw_store.__all__) == sorted(PUBLIC.split())


@pytest.mark.parametrize("name", PUBLIC.split())
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(cw_store, name) is not None


@pytest.mark.parametrize("kind", [cw_store.Store, cw_store.UnitOfWork])
def test_every_repository_is_on_stores_and_units_of_work(kind: type) -> None:
    assert list(repositories(kind)) == REPOSITORIES
    public = {port for port in vars(cw_store).values() if is_port(port)}
    assert set(repositories(kind).values()) == public
    assert len(public) == len(REPOSITORIES)


def test_public_classes_and_functions_have_a_docstring() -> None:
    for name in cw_store.__all__:
        value = getattr(cw_store, name)
        if re.match(r"[A-Z]\w*(Error|Repository)$|Store$|UnitOfWork$|ensure_schema$", name):
            assert value.__doc__, name


LOADED = """
import json, sys
before = set(sys.modules)
import cw_store
imported = set(sys.modules) - before
cw_store.Store
used = set(sys.modules) - before
print(json.dumps([sorted({name.partition(".")[0] for name in each}) for each in (imported, used)]))
"""


def test_importing_it_loads_nothing_until_something_of_it_is_used(tmp_path: Path) -> None:
    done = run_program(LOADED, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    imported, used = json.loads(done.stdout)
    assert imported == ["cw_store"]
    assert {"cw_store", "sqlalchemy", "aiosqlite", "nanoid"} <= set(used)
    assert not set(used) & {
        "alembic",
        "asyncpg",
        "mako",
        "cryptography",
        "rich",
        "pytest",
        "uvloop",
        "psycopg",
        "unittest",
    }


@pytest.mark.parametrize(
    "use",
    [
        "import cw_store; cw_store.Store",
        "from cw_store import Store, Task, NotFoundError",
        "from cw_store import *; Store",
        "import cw_store; cw_store.errors.NotFoundError",
        "import cw_store; assert 'Store' in dir(cw_store) and 'Store' in cw_store.__all__",
        "import cw_store, pydoc as p; assert 'class Task(' in p.plaintext.document(cw_store)",
        "import cw_store, pickle as p; assert p.loads(p.dumps(cw_store.Task)) is cw_store.Task",
        "import cw_store; assert not hasattr(cw_store, 'nothing_of_this_name')",
    ],
)
def test_nobody_sees_that_it_is_loaded_late(use: str, tmp_path: Path) -> None:
    done = run_program(use, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_package_and_its_metadata_agree_on_the_version() -> None:
    assert cw_store.__version__ == version("cw-store")


def test_a_current_database_is_opened_without_alembic(migrated_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    done = run_program(
        "import asyncio, sys\n"
        "from cw_store import Store\n"
        "async def main():\n"
        "    async with Store(sys.argv[1]) as store:\n"
        "        print(len(await store.initiatives.find_all()), 'alembic' in sys.modules)\n"
        "asyncio.run(main())",
        path,
        cwd=tmp_path,
    )
    assert done.stdout.split() == ["0", "False"], done.stderr


def test_the_types_are_shipped() -> None:
    assert (Path(cw_store.__file__).parent / "py.typed").exists()
