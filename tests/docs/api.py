"""The pages of docs/reference/api: what `cw_store` and modules beside it export, each on one page.

A page names what is on it; mkdocstrings fills in its words when the site is built. What a TypedDict
takes is written here, since mkdocstrings leaves out what has no words of its own.
"""

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from typing import NamedTuple, cast

from typing_extensions import is_typeddict

import cw_store
from cw_store import errors, public, telemetry, testing, views

FOLDER = "reference/api"


BESIDE = {
    "cw_store.views": views.__all__,
    "cw_store.telemetry": [telemetry.instrument.__name__],
    "cw_store.testing": testing.__all__,
}
"""What modules export that are imported by their own names."""


class ApiPage(NamedTuple):
    """A page, and the modules whose exports are on it."""

    title: str
    modules: tuple[str, ...]
    words: str = ""


def _repository(title: str, *modules: str) -> ApiPage:
    attribute = modules[0].rpartition(".")[2]
    words = inspect.getdoc(importlib.import_module(modules[0])) or ""
    return ApiPage(title, modules, f"`store.{attribute}`, `uow.{attribute}`\n\n{words}")


PAGES = {
    "store": ApiPage(
        "Store",
        ("cw_store.store",),
        "One database, open: `from cw_store import Store`. "
        "[Settings](../settings.md) has its settings and what it reads from the environment.",
    ),
    "unit-of-work": ApiPage("Unit of work", ("cw_store.uow",), "One transaction."),
    "initiatives": _repository("Initiatives", "cw_store.repos.initiatives"),
    "phases": _repository("Phases", "cw_store.repos.phases"),
    "tasks": _repository("Tasks", "cw_store.repos.tasks"),
    "claims": _repository("Claims", "cw_store.repos.claims", "cw_store.repos.readiness"),
    "agents": _repository("Agents", "cw_store.repos.agents"),
    "accounts": _repository("Accounts", "cw_store.repos.accounts"),
    "log-chunks": _repository("Log chunks", "cw_store.repos.log_chunks"),
    "conversations": _repository("Conversations", "cw_store.repos.conversations"),
    "messages": _repository("Messages", "cw_store.repos.messages"),
    "chat-sessions": _repository("Chat sessions", "cw_store.repos.chat_sessions"),
    "errands": _repository("Errands", "cw_store.repos.errands"),
    "pages": _repository("Pages", "cw_store.repos.pages"),
    "projects": _repository("Projects", "cw_store.repos.projects"),
    "proposals": _repository("Proposals", "cw_store.repos.proposals"),
    "review-comments": _repository("Review comments", "cw_store.repos.review_comments"),
    "change-sets": _repository(
        "Change sets", "cw_store.repos.change_sets", "cw_store.repos.json_value"
    ),
    "changes": _repository("Changes", "cw_store.repos.changes", "cw_store.waits"),
    "errors": ApiPage(
        "Errors",
        ("cw_store.errors",),
        "[What to do about each](../errors.md) stands on a page of its own.\n\n```text\n"
        + inspect.cleandoc(errors.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0]
        + "\n```",
    ),
    "views": ApiPage("Views", ("cw_store.views",), "`from cw_store import views`"),
    "telemetry": ApiPage(
        "Telemetry",
        ("cw_store.telemetry",),
        "[Logs, counters, metrics, spans](../metrics.md) lists what is told.",
    ),
    "testing": ApiPage(
        "Testing",
        ("cw_store.testing",),
        "[Test your programs](../../how-to/testing.md) shows it at work, and the pytest plugin.",
    ),
    "keeping": ApiPage(
        "Backups, copies, exports",
        (
            "cw_store.backing_up",
            "cw_store.restoring",
            "cw_store.copying",
            "cw_store.export_format",
            "cw_store.importing",
            "cw_store.pruning",
        ),
        "Functions that take a store from one place to another, and what they report. "
        "[Keeping a store](../../how-to/keeping.md) shows them at work.",
    ),
    "schema": ApiPage(
        "Schema",
        (
            "cw_store.migrations",
            "cw_store.migration_preview",
            "cw_store.schema",
            "cw_store.application_tables",
        ),
        "To bring a database up to date, and to keep "
        "[tables of your own](../../how-to/your-own-tables.md) beside the store's.",
    ),
    "querying": ApiPage("Queries of your own", ("cw_store.querying",), "SQL that only reads."),
    "from-the-original": ApiPage(
        "From the TypeScript original",
        ("cw_store.original",),
        "[How it is done](../../how-to/from-the-original.md), with each method's new name.",
    ),
}
"""The pages by their file's name, in the order of the navigation."""


def pages() -> dict[str, str]:
    """Return each page's text by its path in docs/."""
    return {f"{FOLDER}/{name}.md": _written(page) for name, page in PAGES.items()}


def exports_of(page: ApiPage) -> list[str]:
    """Return the full names of what is on a page: a repository first, the rest as exported."""
    [first, *_] = page.modules
    if first in BESIDE:
        return [f"{first}.{name}" for name in BESIDE[first]]
    found = [name for name in cw_store.__all__ if _module_of(name) in page.modules]
    found.sort(
        key=lambda name: (_module_of(name) != page.modules[0], not name.endswith("Repository"))
    )
    return [f"cw_store.{name}" for name in found]


def _module_of(name: str) -> str:
    """Return where public.py has a name from."""
    return _IMPORTED[name]


def _imports(source: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((alias.name, node.module) for alias in node.names)


_IMPORTED = dict(_imports(inspect.getsource(public)))


def _written(page: ApiPage) -> str:
    parts = [f"# {page.title}", page.words, *map(_entry, exports_of(page))]
    return "\n\n".join(parts) + "\n"


def _entry(name: str) -> str:
    module, _, attribute = name.rpartition(".")
    exported: object = getattr(sys.modules[module], attribute)
    directive = f"::: {name}"
    return f"{directive}\n\n{_keys(exported)}" if is_typeddict(exported) else directive


def _keys(exported: object) -> str:
    """Write down what a TypedDict takes, with types as its source has them."""
    kind = cast(type, exported)
    return "\n".join(f"- `{key}`: `{type_}`" for key, type_ in _annotations(kind))


def _annotations(kind: type) -> Iterator[tuple[str, str]]:
    [body] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    for line in body.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            yield line.target.id, ast.unparse(line.annotation)
