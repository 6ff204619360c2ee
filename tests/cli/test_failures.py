"""What is told of an error."""

import pytest

from cw_store import StoreBusyError
from cw_store.cli.failures import failure_of


@pytest.mark.parametrize("message", ["it is open", "it is open; try again"])
def test_who_is_to_try_again_is_told_so_once(message: str) -> None:
    assert failure_of(StoreBusyError(message)).message == "it is open; try again"
