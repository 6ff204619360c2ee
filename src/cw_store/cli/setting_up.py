"""Making a store, bringing one up to date, and giving its credentials another key."""

from __future__ import annotations

import os
import re

from cw_store import TABLE_NAMES, SchemaBehindError, Store, ensure_schema, migration_sql
from cw_store.cli.context import BUSY_TIMEOUT, Context
from cw_store.cli.demo import fill
from cw_store.cli.failures import CommandError, UsageError


async def make_store(here: Context) -> None:
    """Make a store where there is none; say so where there is one."""
    store = here.store(read_only=True)
    behind = await _behind(store)
    if behind is None:
        here.output.done(
            f"{store.url} is a store already", data={"url": store.url, "is_new": False}
        )
        return
    if behind.current is not None:
        raise behind
    await ensure_schema(here.url, busy_timeout=BUSY_TIMEOUT)
    here.output.done(
        f"created {store.url} at schema {behind.head} ({len(TABLE_NAMES)} tables)",
        data={"url": store.url, "is_new": True, "schema": behind.head},
    )


async def make_demo(here: Context) -> None:
    """Make a store and fill it; one that is there and holds something stays as it is."""
    store = here.store(read_only=True)
    behind = await _behind(store)
    if behind is not None and behind.current is not None:
        raise behind
    await fill(here.url, now=here.now())
    here.output.done(
        f"made {store.url}; now try cw-store inbox, ready --explain, graph and watch",
        data={"url": store.url},
    )


async def bring_up_to_date(here: Context, *, only_check: bool, to: str | None) -> int:
    """Apply the steps that are missing, or only say whether there are any; return the exit code."""
    if to is not None and not re.fullmatch(r"\d{4}", to, re.ASCII):
        raise UsageError(f"--to takes a schema like 0004, not {to!r}")
    store = here.store(read_only=True)
    behind = await _behind(store)
    if behind is not None and behind.current is None:
        raise CommandError("no-store", f"there is no store at {store.url}; cw-store init makes one")
    if not only_check:
        await _ensure(here, to)
    if behind is None or behind.current is None or behind.current >= (to or behind.head):
        here.output.done("nothing to do", data={"is_behind": False})
        return 0
    steps = int(to or behind.head) - int(behind.current)
    told = f"{behind.current} → {to or behind.head}: {steps} {'step' if steps == 1 else 'steps'}"
    data = {"is_behind": only_check, "from": behind.current, "to": to or behind.head}
    here.output.done(told, data={**data, "steps": steps})
    return 1 if only_check else 0


async def print_steps(here: Context, *, goes_alone: bool) -> int:
    """Print the SQL of the steps that are missing, as one transaction; return the exit code."""
    if not goes_alone:
        raise UsageError("--sql goes without --check and --to")
    store = here.store(read_only=True)
    try:
        statements = await migration_sql(here.url, busy_timeout=BUSY_TIMEOUT)
    except SchemaBehindError as error:
        message = f"there is no store at {store.url}; cw-store init makes one"
        raise CommandError("no-store", message) from error
    if here.output.is_json:
        here.output.page(statements)
    elif statements:
        here.output.text("\n".join(["BEGIN;", *(f"{each};" for each in statements), "COMMIT;"]))
    else:
        here.output.remark("nothing to do")
    return 0


async def _ensure(here: Context, to: str | None) -> None:
    try:
        await ensure_schema(here.url, busy_timeout=BUSY_TIMEOUT, revision=to)
    except ValueError as error:
        raise UsageError(str(error)) from error


async def _behind(store: Store) -> SchemaBehindError | None:
    """Return how far the store is behind, or None; changes nothing."""
    try:
        async with store:
            return None
    except SchemaBehindError as error:
        return error


async def encrypt_anew(here: Context) -> None:
    """Encrypt all credentials under the first key that there is."""
    if not os.environ.get("CW_STORE_KEYS", "").strip(", "):
        raise UsageError(
            "there are no keys: set CW_STORE_KEYS to Fernet keys, the new one first, with commas "
            "between them"
        )
    async with here.acting() as store:
        count = await store.rekey()
    rows = "1 account" if count == 1 else f"{count} accounts"
    here.output.done(f"encrypted the credentials of {rows} anew", data={"accounts": count})
