"""The drawings in docs/pictures, of the store that `cw-store demo` makes.

`python tests/live/pictures.py` writes them; a test compares them.
"""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS)]

from cw_store import Store, views  # noqa: E402 -- the path is set here
from cw_store.cli.demo import fill  # noqa: E402
from cw_store.live import graph_file, timeline_file  # noqa: E402
from cw_store.testing import START  # noqa: E402

FOLDER = TESTS.parent / "docs" / "pictures"


async def drawn(url: str) -> dict[str, str]:
    """Fill an empty store, and return the drawings of its first initiative by their names."""
    await fill(url, now=START)
    async with Store(url, clock=lambda: START) as store:
        [initiative, *_] = await store.initiatives.find_all()
        graph = await views.graph(store, initiative.id)
        timeline = await views.timeline(store, initiative.id)
    return {"graph.svg": graph_file(graph), "timeline.svg": timeline_file(timeline)}


def write() -> None:
    """Write all of them."""
    with TemporaryDirectory() as folder:
        for name, text in asyncio.run(drawn(f"{folder}/cw.db")).items():
            (FOLDER / name).write_text(text)


if __name__ == "__main__":
    write()
