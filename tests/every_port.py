"""What the tests that hold for every repository must know of each one."""

import inspect
import types
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from functools import cached_property
from typing import Any, Literal, NotRequired, Union, cast, get_args, get_origin, get_type_hints

from builders import (
    Repos,
    add_account,
    add_agent,
    add_change_set,
    add_chat_session,
    add_initiative,
    add_phase,
    add_project,
    add_task,
    unique,
)
from cw_store.repos import (
    accounts,
    agents,
    change_sets,
    chat_sessions,
    conversations,
    errands,
    initiatives,
    log_chunks,
    messages,
    pages,
    phases,
    projects,
    proposals,
    review_comments,
    tasks,
)
from cw_store.repos.json_value import JsonValue
from cw_store.uow import Repositories


def repositories(kind: type = Repositories) -> dict[str, type]:
    """The port of each repository of a store, by the repository's name."""
    returned = {
        name: get_type_hints(member.func)["return"]
        for base in kind.__mro__
        for name, member in vars(base).items()
        if isinstance(member, cached_property)
    }
    return {name: port for name, port in returned.items() if is_port(port)}


def is_port(member: object) -> bool:
    """Whether it is the port of a repository."""
    return isinstance(member, type) and member.__name__.endswith("Repository")


Kind = Literal["id", "text", "choice", "integer", "flag", "timestamp", "json"]
Minimal = Callable[[Repos], Awaitable[dict[str, Any]]]

# They end in `_id` and are no ids of ours: a path, and a session of the agent's command line tool.
LEAST = {"max_agents": 1}
MOST = {"dispatch_turn": 2**63 - 1}
PLAIN_TEXT = {("agents", "worktree_id"), ("agents", "session_id")}


@dataclass(frozen=True)
class Column:
    """One key of a TypedDict, or one parameter of a method."""

    name: str
    kind: Kind
    nullable: bool
    required: bool = True
    choices: tuple[str, ...] = ()

    @property
    def least(self) -> int:
        """The lowest number that the column takes."""
        return LEAST.get(self.name, -self.most - 1)

    @property
    def most(self) -> int:
        """The highest."""
        return MOST.get(self.name, 2**31 - 1)


@dataclass(frozen=True)
class Port:
    """One kind of row: how it is created and changed, and a minimal set of values for it."""

    repository: str
    table: str
    record: type
    new: type
    minimal: Minimal
    changes: type | None = None
    create: str = "create"
    find: str | None = "find_by_id"
    update: str = "update"
    delete: str | None = "delete"
    foreign_keys: tuple[str, ...] = ()
    # Those of them that may be changed to any row: how to add one.
    references: Mapping[str, Callable[[Repos], Awaitable[Any]]] = field(
        default_factory=dict[str, Callable[[Repos], Awaitable[Any]]]
    )
    unique: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.table

    def method(self, repos: Repos, name: str | None) -> Callable[..., Awaitable[Any]]:
        assert name is not None
        return getattr(getattr(repos, self.repository), name)

    def new_columns(self) -> list[Column]:
        return columns_of(self.new, self.table)

    def changeable_columns(self) -> list[Column]:
        return [] if self.changes is None else columns_of(self.changes, self.table)

    def expected_columns(self) -> list[Column]:
        """Return what an update may expect a row to hold."""
        if self.changes is None:
            return []
        expected = getattr(inspect.getmodule(self.record), f"{self.record.__name__}Expected")
        return columns_of(expected, self.table)

    def free(self, columns: list[Column]) -> list[Column]:
        """Return those of the columns that do not have to point to a row."""
        return [column for column in columns if column.name not in self.foreign_keys]

    async def add(self, repos: Repos, **values: Any) -> Any:
        """Create a row with these values and the least others."""
        return await self.method(repos, self.create)(**{**await self.minimal(repos), **values})


def columns_of(typed_dict: type, table: str) -> list[Column]:
    return [
        column_of(name, hint, table)
        for name, hint in get_type_hints(typed_dict, include_extras=True).items()
    ]


def column_of(name: str, hint: Any, table: str) -> Column:
    required = get_origin(hint) is not NotRequired
    if not required:
        (hint,) = get_args(hint)
    members = set(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else {hint}
    if members == {JsonValue}:
        return Column(name, "json", True, required)
    nullable = types.NoneType in members
    members -= {types.NoneType}
    choices = tuple(value for member in members for value in get_args(member))
    kind: Kind
    if any(get_origin(member) is Literal for member in members):
        return Column(name, "choice", nullable, required, choices)
    if datetime in members:
        kind = "timestamp"
    elif bool in members:
        kind = "flag"
    elif int in members:
        kind = "integer"
    else:
        assert members == {str}, f"the tests know no values for {table}.{name}: {hint}"
        is_id = name in ("id", "after") or name.endswith("_id")
        kind = "id" if is_id and (table, name) not in PLAIN_TEXT else "text"
    return Column(name, kind, nullable, required)


async def _initiative(repos: Repos) -> dict[str, Any]:
    return {"name": "User auth"}


async def _phase(repos: Repos) -> dict[str, Any]:
    return {"initiative_id": (await add_initiative(repos)).id, "name": "Groundwork"}


async def _task(repos: Repos) -> dict[str, Any]:
    return {"name": "Write the schema"}


async def _agent(repos: Repos) -> dict[str, Any]:
    return {"worktree_id": "/worktrees/1"}


async def _message(repos: Repos) -> dict[str, Any]:
    return {"sender_type": "agent", "recipient_type": "user", "content": "done"}


async def _page(repos: Repos) -> dict[str, Any]:
    return {"initiative_id": (await add_initiative(repos)).id, "title": "Notes"}


async def _project(repos: Repos) -> dict[str, Any]:
    return {"name": unique("name"), "url": unique("url")}


async def _account(repos: Repos) -> dict[str, Any]:
    return {"email": "ada@example.org"}


async def _proposal(repos: Repos) -> dict[str, Any]:
    return {
        "agent_id": (await add_agent(repos)).id,
        "initiative_id": (await add_initiative(repos)).id,
        "target_type": "task",
        "title": "Split it",
    }


async def _log_chunk(repos: Repos) -> dict[str, Any]:
    return {
        "agent_id": "gone",
        "agent_name": "brave-otter",
        "session_number": 1,
        "content": '{"type":"text"}\n',
    }


async def _conversation(repos: Repos) -> dict[str, Any]:
    return {
        "from_agent_id": (await add_agent(repos)).id,
        "to_agent_id": (await add_agent(repos)).id,
        "question": "Which port?",
    }


async def _chat_session(repos: Repos) -> dict[str, Any]:
    initiative = await add_initiative(repos)
    return {"target_type": "phase", "target_id": "p1", "initiative_id": initiative.id}


async def _chat_message(repos: Repos) -> dict[str, Any]:
    session = await add_chat_session(repos)
    return {"chat_session_id": session.id, "role": "user", "content": "hi"}


async def _review_comment(repos: Repos) -> dict[str, Any]:
    return {
        "phase_id": (await add_phase(repos)).id,
        "file_path": "src/a.py",
        "line_number": 7,
        "line_type": "added",
        "body": "Why?",
    }


async def _errand(repos: Repos) -> dict[str, Any]:
    return {
        "id": unique("errand"),
        "description": "Bump it",
        "branch": "errand/bump",
        "project_id": (await add_project(repos)).id,
    }


async def _change_set(repos: Repos) -> dict[str, Any]:
    initiative = await add_initiative(repos)
    return {"initiative_id": initiative.id, "agent_name": "brave-otter", "mode": "plan"}


PORTS = [
    Port(
        "initiatives",
        "initiatives",
        initiatives.Initiative,
        initiatives.NewInitiative,
        _initiative,
        initiatives.InitiativeChanges,
    ),
    Port(
        "phases",
        "phases",
        phases.Phase,
        phases.NewPhase,
        _phase,
        phases.PhaseChanges,
        foreign_keys=("initiative_id",),
    ),
    Port(
        "tasks",
        "tasks",
        tasks.Task,
        tasks.NewTask,
        _task,
        tasks.TaskChanges,
        foreign_keys=("phase_id", "initiative_id", "parent_task_id"),
    ),
    Port(
        "agents",
        "agents",
        agents.Agent,
        agents.NewAgent,
        _agent,
        agents.AgentChanges,
        references={
            "task_id": add_task,
            "initiative_id": add_initiative,
            "account_id": add_account,
        },
        unique=frozenset({"name"}),
        foreign_keys=("task_id", "initiative_id", "account_id"),
    ),
    Port(
        "messages",
        "messages",
        messages.Message,
        messages.NewMessage,
        _message,
        messages.MessageChanges,
        foreign_keys=("sender_id", "recipient_id", "parent_message_id"),
    ),
    Port(
        "pages",
        "pages",
        pages.Page,
        pages.NewPage,
        _page,
        pages.PageChanges,
        foreign_keys=("initiative_id", "parent_page_id"),
    ),
    Port(
        "projects",
        "projects",
        projects.Project,
        projects.NewProject,
        _project,
        projects.ProjectChanges,
        unique=frozenset({"name", "url"}),
    ),
    Port(
        "accounts",
        "accounts",
        accounts.Account,
        accounts.NewAccount,
        _account,
        accounts.AccountChanges,
    ),
    Port(
        "proposals",
        "proposals",
        proposals.Proposal,
        proposals.NewProposal,
        _proposal,
        proposals.ProposalChanges,
        foreign_keys=("agent_id", "initiative_id"),
    ),
    Port(
        "log_chunks",
        "agent_log_chunks",
        log_chunks.LogChunk,
        log_chunks.NewLogChunk,
        _log_chunk,
    ),
    Port(
        "conversations",
        "conversations",
        conversations.Conversation,
        conversations.NewConversation,
        _conversation,
        conversations.ConversationChanges,
        references={
            "initiative_id": add_initiative,
            "phase_id": add_phase,
            "task_id": add_task,
        },
        foreign_keys=("from_agent_id", "to_agent_id", "initiative_id", "phase_id", "task_id"),
    ),
    Port(
        "chat_sessions",
        "chat_sessions",
        chat_sessions.ChatSession,
        chat_sessions.NewChatSession,
        _chat_session,
        chat_sessions.ChatSessionChanges,
        create="create_session",
        find="find_session_by_id",
        update="update_session",
        delete="delete_session",
        references={"agent_id": add_agent},
        foreign_keys=("initiative_id", "agent_id"),
    ),
    Port(
        "chat_sessions",
        "chat_messages",
        chat_sessions.ChatMessage,
        chat_sessions.NewChatMessage,
        _chat_message,
        create="create_message",
        find=None,
        delete=None,
        references={"change_set_id": add_change_set},
        foreign_keys=("chat_session_id", "change_set_id"),
    ),
    Port(
        "review_comments",
        "review_comments",
        review_comments.ReviewComment,
        review_comments.NewReviewComment,
        _review_comment,
        review_comments.ReviewCommentChanges,
        foreign_keys=("phase_id",),
    ),
    Port(
        "errands",
        "errands",
        errands.Errand,
        errands.NewErrand,
        _errand,
        errands.ErrandChanges,
        references={"agent_id": add_agent},
        foreign_keys=("agent_id", "project_id"),
    ),
    Port(
        "change_sets",
        "change_sets",
        change_sets.ChangeSet,
        change_sets.NewChangeSet,
        _change_set,
        change_sets.ChangeSetChanges,
        foreign_keys=("initiative_id", "agent_id"),
    ),
]

PROTOCOLS: dict[str, type] = {
    "initiatives": initiatives.InitiativeRepository,
    "phases": phases.PhaseRepository,
    "tasks": tasks.TaskRepository,
    "agents": agents.AgentRepository,
    "messages": messages.MessageRepository,
    "pages": pages.PageRepository,
    "projects": projects.ProjectRepository,
    "accounts": accounts.AccountRepository,
    "proposals": proposals.ProposalRepository,
    "log_chunks": log_chunks.LogChunkRepository,
    "conversations": conversations.ConversationRepository,
    "chat_sessions": chat_sessions.ChatSessionRepository,
    "review_comments": review_comments.ReviewCommentRepository,
    "errands": errands.ErrandRepository,
    "change_sets": change_sets.ChangeSetRepository,
}


def sample(column: Column) -> Any:
    """Return a valid value that is nobody's default."""
    match column.kind:
        case "id":
            return unique("id")
        case "text":
            return unique(f"some {column.name}")
        case "choice":
            return column.choices[-1]
        case "integer":
            return 2_000_000_000
        case "flag":
            return True
        case "timestamp":
            return datetime(2026, 3, 29, 1, 59, 59, 999_999, UTC)
        case "json":
            empty: list[Any] = []
            return {"type": "doc", "content": [{"n": -(2**63), "ok": True, "no": None}, 1.5, empty]}


class Text(str):
    """Text that is shown as something else, as a member of an enumeration is."""

    __slots__ = ()

    def __str__(self) -> str:
        return "shown"

    def __format__(self, _specification: str) -> str:
        return "formatted"

    def __hash__(self) -> int:
        return 0


class Number(IntEnum):
    """A number that is shown as a name."""

    SECOND = 2


class Float(float):
    """A number of another class, as numpy has them."""


class Items(list[Any]):
    """A list of another class."""


class Entries(dict[str, Any]):
    """An object of another class."""


class Moment(datetime):
    """A moment of another class, as some libraries have them."""


def disguised(column: Column) -> Any:
    """Return a valid value of a subclass, which is read back as a plain one."""
    value = sample(column)
    match column.kind:
        case "id" | "text" | "choice":
            return Text(value)
        case "integer":
            return Number.SECOND
        case "flag":
            return value
        case "timestamp":
            return Moment(2026, 3, 29, 3, 59, 59, 9, timezone(timedelta(hours=2)), fold=1)
        case "json":
            inner: list[Any] = [Items([Number.SECOND, Text("text"), Float(-0.0), 1e16, True, None])]
            return Entries({Text("items"): inner, "order": Number.SECOND})


def parts(value: Any) -> Any:
    """Return all that a comparison leaves out: the exact types, the sign of zero, the fold."""
    if isinstance(value, dict):
        items = sorted(cast(dict[str, Any], value).items())
        return type(cast(object, value)), [(type(key), key, parts(item)) for key, item in items]
    if isinstance(value, list):
        return type(cast(object, value)), [parts(item) for item in cast(list[Any], value)]
    return type(value), repr(value)


class Opaque:
    """A value of a type that no column takes."""


def nested(depth: int, inmost: Any) -> Any:
    """Return lists and objects by turns, `depth` of them around `inmost`."""
    value = inmost
    for level in range(depth):
        value = {"in": value} if level % 2 else [value]
    return value


def _endless() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


_WRONG_TYPES: list[Any] = [b"bytes", bytearray(b"b"), Opaque(), Decimal(1), 1j, {"a"}, ("a",)]
_BAD_TEXT: list[Any] = [
    "\0",
    "a\0b",
    "ends\0",
    "\ud800",
    "a\udfffb",
    "\ud83d \ude00",
    5,
    1.5,
    float("nan"),
    True,
    ["a"],
    {"a": 1},
    *_WRONG_TYPES,
]
_BAD: dict[Kind, list[Any]] = {
    "id": ["", *_BAD_TEXT],
    "text": _BAD_TEXT,
    "choice": ["", "no such choice", *_BAD_TEXT],
    "integer": [
        "5",
        "",
        1.0,
        1.5,
        float("nan"),
        float("inf"),
        float("-inf"),
        True,
        False,
        2**63,
        -(2**63) - 1,
        2**200,
        [1],
        *_WRONG_TYPES,
    ],
    "flag": [0, 1, -1, 1.0, "", "true", "f", [], *_WRONG_TYPES],
    "timestamp": [
        datetime(2026, 1, 1),  # a naive one
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12))),
        date(2026, 1, 1),
        "2026-01-01T00:00:00Z",
        0,
        1.5,
        float("nan"),
        True,
        *_WRONG_TYPES,
    ],
    "json": [
        float("nan"),
        float("inf"),
        float("-inf"),
        [float("nan")],
        {"a": {"b": [1, float("inf")]}},
        "\0",
        ["a", ["b\0"]],
        {"\0": 1},
        "\ud800",
        {"a": "\udfff"},
        {"\ud800": 1},
        {1: "one"},
        {"a": [{None: 1}]},
        {b"a": 1},
        {True: 1},
        2**63,
        -(2**63) - 1,
        [2**64],
        {"a": 10**400},
        nested(100, []),
        nested(100, {}),
        nested(101, 1),
        nested(5_000, None),
        _endless(),
        [b"a"],
        {"a": {"b": Opaque()}},
        [datetime(2026, 1, 1, tzinfo=UTC)],
        [Decimal(1)],
        [("a",)],
        *_WRONG_TYPES,
    ],
}


def bad_values(column: Column) -> list[Any]:
    """Return the values that the column must refuse."""
    bad = list(_BAD[column.kind])
    if column.kind == "integer":
        bad += [column.least - 1, column.most + 1]
    if column.choices:
        first = column.choices[0]
        bad += [first.upper(), f"{first} ", f" {first}", first[:-1], "%"]
    if not column.nullable:
        bad.append(None)
    return bad


def shown(value: Any) -> str:
    """Describe a bad value in a failure; some of them have no usable repr."""
    try:
        text = ascii(value)
    except (RecursionError, ValueError):
        return f"a deep {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}…"
