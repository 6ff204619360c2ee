"""A store for the command line, and who types; `BOTH` in `stores.py` asks for both databases."""

from pathlib import Path

import pytest
from command_line import CommandLine

from cw_store.testing import SteppableClock


@pytest.fixture
def clock() -> SteppableClock:
    """The clock of stores and commands; it stands still until the test moves it."""
    return SteppableClock()


@pytest.fixture
def typed(database: str, clock: SteppableClock) -> CommandLine:
    """Types commands about the store at `database`."""
    return CommandLine(database, clock)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No store of the machine's own is found, and none is left behind."""
    monkeypatch.chdir(tmp_path)
    for name in ("CW_STORE_URL", "CW_STORE_KEYS", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
