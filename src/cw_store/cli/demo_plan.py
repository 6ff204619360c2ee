"""What the demo store is about: initiatives, their phases and tasks, and what waits for what."""

from __future__ import annotations

from typing import NamedTuple

from cw_store import InitiativeStatus, PhaseStatus, TaskCategory, TaskPriority


class PlannedTask(NamedTuple):
    """A task, by its name, and the names of those that it waits for."""

    name: str
    needs: tuple[str, ...] = ()
    priority: TaskPriority = "medium"
    category: TaskCategory = "execute"
    max_retries: int = 3


class PlannedPhase(NamedTuple):
    """A phase, by its name, the names of those that it waits for, and how it begins."""

    name: str
    tasks: tuple[PlannedTask, ...]
    needs: tuple[str, ...] = ()
    status: PhaseStatus = "approved"


class PlannedInitiative(NamedTuple):
    """An initiative, and what it is about in a sentence."""

    name: str
    branch: str
    about: str
    phases: tuple[PlannedPhase, ...]
    max_agents: int | None = None
    status: InitiativeStatus = "active"


DESIGN = PlannedPhase(
    "Design",
    (
        PlannedTask("Sketch the API", category="plan"),
        PlannedTask("Write the token schema", ("Sketch the API",)),
        PlannedTask("Choose a hash", category="research"),
        PlannedTask("Draw the login page", ("Sketch the API",)),
        PlannedTask("Name the threats", ("Write the token schema", "Choose a hash"), "high"),
    ),
)

CORE = PlannedPhase(
    "Core",
    (
        PlannedTask("Session store", priority="high"),
        PlannedTask("Mail templates"),
        PlannedTask("Password reset", ("Mail templates",)),
        PlannedTask("Two-factor codes"),
        PlannedTask("Admin screen", priority="low"),
        PlannedTask("Rate limiting", priority="high"),
        PlannedTask("Build the endpoint"),
        PlannedTask("Audit log"),
        PlannedTask("Login form", ("Session store", "Build the endpoint")),
        PlannedTask("Remember me", ("Session store",), "low"),
        PlannedTask("Sign-in journey", ("Login form", "Remember me")),
    ),
    ("Design",),
)

RECOVERY = PlannedPhase(
    "Recovery",
    (
        PlannedTask("Recovery codes"),
        PlannedTask("Unit tests", category="verify", max_retries=2),
        PlannedTask("Pen test notes", category="research"),
        PlannedTask("Device list", ("Audit log", "Build the endpoint")),
        PlannedTask("Load test", ("Password reset",), category="verify"),
    ),
    ("Design",),
)

CHECKS = PlannedPhase(
    "Checks",
    (
        PlannedTask("Security review", priority="high", category="review"),
        PlannedTask("Read it to a screen reader", category="verify"),
        PlannedTask("Translate the pages"),
        PlannedTask("Write the guide", ("Translate the pages",), "low"),
    ),
    ("Core", "Recovery"),
)

RELEASE = PlannedPhase(
    "Release",
    (
        PlannedTask("Changelog"),
        PlannedTask("Roll out to a tenth", ("Changelog",), category="merge"),
        PlannedTask("Roll out to all", ("Roll out to a tenth",), category="merge"),
    ),
    ("Checks",),
    "pending",
)

INVOICES = PlannedPhase(
    "Invoices",
    (
        PlannedTask("Number the invoices"),
        PlannedTask("Tax rules", category="research"),
        PlannedTask("Invoice template", ("Number the invoices",)),
        PlannedTask("Export as PDF", ("Invoice template", "Tax rules")),
        PlannedTask("Mail the invoices", ("Export as PDF",)),
    ),
)

PAYMENTS = PlannedPhase(
    "Payments",
    (
        PlannedTask("Card form"),
        PlannedTask("Webhooks"),
        PlannedTask("Refunds", ("Webhooks",)),
        PlannedTask("Compare with the bank", ("Webhooks", "Refunds"), category="verify"),
    ),
    ("Invoices",),
)

PRICES = PlannedPhase(
    "Prices",
    (PlannedTask("Price page"), PlannedTask("Switch it on", ("Price page",), category="merge")),
    status="pending_review",
)

PAGES = PlannedPhase(
    "Pages",
    (
        PlannedTask("List the pages", category="plan"),
        PlannedTask("Move the tutorial", ("List the pages",)),
        PlannedTask("Check the links", ("Move the tutorial",), category="verify"),
    ),
)

INITIATIVES = (
    PlannedInitiative(
        "User auth",
        "cw/user-auth",
        "People sign in with a password and a second factor.",
        (DESIGN, CORE, RECOVERY, CHECKS, RELEASE),
        max_agents=8,
    ),
    PlannedInitiative(
        "Billing",
        "cw/billing",
        "Invoices are numbered, taxed, mailed and paid.",
        (INVOICES, PAYMENTS, PRICES),
    ),
    PlannedInitiative(
        "Docs site",
        "cw/docs-site",
        "The manual moves to a site of its own.",
        (PAGES,),
    ),
)

ADJECTIVES = (
    *("awake", "brave", "candid", "cosmic", "eager", "festive", "gentle", "golden", "humble"),
    *("jolly", "keen", "lucid", "mellow", "nimble", "peppy", "quiet", "rapid", "sunny", "tidy"),
    *("vivid", "witty", "zesty"),
)

ANIMALS = (
    *("badger", "crane", "dolphin", "egret", "ferret", "gecko", "heron", "ibis", "jackal"),
    *("koala", "lemur", "magpie", "newt", "otter", "puffin", "quail", "raven", "sparrow"),
    *("tapir", "vole", "walrus", "yak"),
)
