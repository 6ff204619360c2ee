"""The commands, put together: cyclopts reads what was typed and calls one function.

How to add a command
    1. Write a function in a module of this package, like `keep.py`: `async def`, typed, its last
       parameter `*, here: Here`. Each of its parameters is `Annotated[type, Parameter(help="…")]`;
       what stands before a `/` is positional, what stands behind a `*` an option. `parameters.py`
       has `flag`, `id_of` and `word`, since ids and other words may begin with a hyphen.
    2. Add one line to `commands.py`: its name, group, `"keep:backup"`, and its help, which is the
       first line of the function's docstring.
    3. Add examples of it to `examples.py`. Nothing more is needed.

    The module is loaded when the command is used, for its help and for Tab. So its top imports
    cyclopts, `typing` and `Here` alone; `cw_store`, SQLAlchemy, asyncio and Rich are imported in
    the function, or in a second module that the function imports.

    - `async with here.reading() as store:` opens the store to look, `here.acting()` to change
      something; both neither create nor migrate it. `here.url` is what was given, None for
      `$CW_STORE_URL` or the default; `here.now()` is the time.
    - `here.output` shows: `table`, `facts`, `page` for several blocks, `done` for what was done,
      `line` for lists without an end, `remark` for what is beside the data, `progress` for a bar.
      Values are given as they are (times, None, numbers, records); there text goes through `safe`.
    - The function returns None or an exit code: 0 done, 1 the answer is no.
    - Errors of the store are left alone: `failures.py` says how each is told, and with which exit
      code. What the command itself finds wrong is a `CommandError` with one of the codes there
      (`UsageError`, `NothingFoundError`), a sentence that says what to do.
    - No question is ever asked: what needs a decision needs an option.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from cw_store.cli.command_help import CommandHelp
from cw_store.cli.commands import COMMANDS, GROUPS
from cw_store.cli.completers import asked_url
from cw_store.cli.context import Context
from cw_store.cli.failures import UsageError
from cw_store.cli.general_help import first_command, options_first
from cw_store.cli.output import Output, tell

Clock = Callable[[], datetime]

EVERYWHERE = Group("Options of every command", sort_key=99)

Url = Annotated[
    str | None,
    Parameter(
        group=EVERYWHERE,
        metavar="URL",
        help="A file or a database URL; else $CW_STORE_URL, else cw.db here.",
    ),
]
Color = Annotated[
    Literal["auto", "always", "never"],
    Parameter(group=EVERYWHERE, metavar="WHEN", help="Colours, and tables for a person."),
]
_flag = partial(Parameter, group=EVERYWHERE, negative="", show_default=False)
AsJson = Annotated[bool, _flag(help="Data and errors as JSON.")]
Quiet = Annotated[bool, _flag(alias="-q", help="Nothing beside the data.")]
Verbose = Annotated[bool, _flag(alias="-v", help="What the store does meanwhile.")]

COMPLETE = "__complete"
"""What the shells' scripts ask, as cyclopts writes them."""

LEVELS = {"quiet": logging.ERROR, "": logging.WARNING, "verbose": logging.DEBUG}


def run_command(words: Sequence[str], clock: Clock | None) -> int:
    """Run the command that `words` ask for; return the exit code.

    Raises CycloptsError for what makes no sense, and whatever the command raises.
    """
    if words[0] == COMPLETE:
        return _complete(words[1:])
    app = application(first_command(words), clock)
    code = app.meta(options_first(words), exit_on_error=False, print_error=False)
    return code if isinstance(code, int) else 0


def _complete(words: Sequence[str]) -> int:
    """Answer a shell's Tab: the last of the words is being typed."""
    typed = options_first(words[:-1])
    url = next((word.removeprefix("--url=") for word in typed if word.startswith("--url=")), None)
    if "--url" in typed[:-1]:
        url = typed[typed.index("--url") + 1]
    token = asked_url.set(url)
    try:
        app = application()
        app.meta([COMPLETE, *typed, *words[-1:]], exit_on_error=False, print_error=False)
    finally:
        asked_url.reset(token)
    return 0


def application(command: str | None = None, clock: Clock | None = None) -> App:
    """Return the application; `command` is the one whose help is to be its whole docstring."""
    app = App(
        name="cw-store",
        help="Look at a store of cw_store, act on it, keep it, move it.",
        help_format="markdown",
        help_formatter=CommandHelp(command),
        version_flags=(),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    groups = {name: Group(name, sort_key=number) for number, name in enumerate(GROUPS)}
    for number, each in enumerate(COMMANDS):
        app.command(
            f"cw_store.cli.{each.path}",
            name=each.name,
            group=groups[each.group],
            sort_key=number,
            # Given here it would be all that the command's own help says.
            help=None if each.name == command else each.help,
        )
    app.meta.suppress_keyboard_interrupt = False
    app.meta.default(_launcher(app, clock))
    return app


def _launcher(app: App, clock: Clock | None) -> Callable[..., int]:
    def launch(
        *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        url: Url = None,
        json: AsJson = False,
        color: Color = "auto",
        quiet: Quiet = False,
        verbose: Verbose = False,
    ) -> int:
        now = clock or _now
        output = Output(now, is_json=json, colour=color, is_quiet=quiet)
        here = Context(url, output, clock)
        function, bound, ignored = app.parse_args(words, exit_on_error=False, print_error=False)
        _refuse_options_in_place_of_ids(words, bound.arguments)
        with _logged(LEVELS["verbose" if verbose else "quiet" if quiet else ""]):
            result = function(*bound.args, **bound.kwargs, **dict.fromkeys(ignored, here))
            if inspect.iscoroutine(result):
                from cw_store.cli.running import run_to_its_end

                result = run_to_its_end(result)
        return result if isinstance(result, int) else 0

    return launch


def _refuse_options_in_place_of_ids(words: Sequence[str], values: Mapping[str, object]) -> None:
    """Refuse an option that is unknown, or at a place where it is taken for an id.

    Ids may begin with hyphens, and are taken as they are behind a `--`.
    """
    for value in values.values():
        if isinstance(value, str) and value.startswith("--") and "--" not in words:
            if value in words:
                message = f"unknown option {value}; before an id that begins like one write --"
                raise UsageError(message)


def _now() -> datetime:
    return datetime.now(UTC)


class _ToStderr(logging.Handler):
    """Tells what the store logs the way everything else is told."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say the message as one line."""
        tell(record.getMessage())


@contextmanager
def _logged(level: int) -> Generator[None]:
    logger, handler = logging.getLogger("cw_store"), _ToStderr()
    before, passed_on = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = passed_on
