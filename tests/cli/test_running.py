"""How a command is ended from outside."""

import asyncio
import signal
from collections.abc import Generator

import pytest

from cw_store import StoreError
from cw_store.cli.running import run_to_its_end


@pytest.fixture
def as_at_a_terminal() -> Generator[None]:
    """Have Ctrl-C heard where whoever runs the tests has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


async def _given_up() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise StoreError("it was given up") from None


def _press_twice() -> None:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("as_at_a_terminal")
def test_a_second_ctrl_c_leaves_no_traceback_of_what_was_under_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        under_way = asyncio.create_task(_given_up())
        asyncio.get_running_loop().call_later(0.01, _press_twice)
        await asyncio.shield(under_way)

    with pytest.raises(KeyboardInterrupt):
        run_to_its_end(work())
    assert caplog.messages == []
