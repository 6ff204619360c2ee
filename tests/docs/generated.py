"""Pages of docs/ that are made of the source: which, and how each is written anew.

`python tests/docs/generated.py` writes them; a test compares.
"""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "docs")]

import api  # noqa: E402 -- the path is set here
import diagrams  # noqa: E402
import json_page  # noqa: E402
import root_pages  # noqa: E402
import settings  # noqa: E402
import tables  # noqa: E402

DOCS = TESTS.parent / "docs"


def pages() -> dict[str, str]:
    """Return the text of each by its path in docs/."""
    made = api.pages() | settings.page() | tables.page() | json_page.page()
    return made | root_pages.pages() | diagrams.pictures()


def write() -> None:
    """Write all of them."""
    for name, text in pages().items():
        file = DOCS / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    write()
