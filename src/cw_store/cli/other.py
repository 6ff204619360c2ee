"""Commands that are neither about looking nor about acting: `completion`, `version`, `demo`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from cw_store.cli.context import Here


async def version(*, here: Here) -> None:
    """Show the versions of all that takes part."""
    import platform
    from contextlib import suppress
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    from cw_store import __version__

    versions = {
        "cw-store": __version__,
        "python": platform.python_version(),
    }
    for name in (
        "sqlalchemy",
        "aiosqlite",
        "alembic",
        "asyncpg",
        "cryptography",
        "cyclopts",
        "rich",
    ):
        with suppress(PackageNotFoundError):  # it belongs to an extra
            versions[name] = version_of(name)
    here.output.facts(versions)


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which one.")], /, *, here: Here
) -> None:
    """Print what completes commands and ids.

    In bash `source <(cw-store completion bash)` takes it up, in a shell or in `~/.bashrc`; in fish
    `cw-store completion fish | source`; for zsh write it to a file `_cw-store` in `$fpath`.
    """
    from cw_store.cli.app import application

    here.output.text(application().generate_completion(shell=shell))


async def demo(*, here: Here) -> None:
    """Make a plausible store to look at.

    Three initiatives in the middle of a run, with agents, accounts, questions and logs, all made
    up. A store that is there already is left alone unless it is empty.
    """
    from cw_store.cli.setting_up import make_demo

    await make_demo(here)
