"""Files of the project's root that are pages of docs/ as well; their links lead on from there."""

import os.path
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = {"reference/changelog.md": "CHANGELOG.md", "take-part/contributing.md": "CONTRIBUTING.md"}
"""The page of each file."""

LINK = re.compile(r"\[([^\]]+)\]\(([^):#]+)(#[^)]*)?\)")
"""A link to a file of the project: its words, the file, the anchor."""


def pages() -> dict[str, str]:
    """Return the text of each page by its path in docs/."""
    return {page: _from_docs((ROOT / file).read_text(), page) for page, file in PAGES.items()}


def _from_docs(text: str, page: str) -> str:
    def link(match: re.Match[str]) -> str:
        words, file, anchor = match.groups("")
        if not file.startswith("docs/"):
            return f"{words} (`{file}`)"  # nothing of the site leads out of it
        here = os.path.relpath(file, f"docs/{Path(page).parent}")
        return f"[{words}]({here}{anchor})"

    return LINK.sub(link, text)
