"""The drawings in docs/ are those of today, and the same from both databases."""

import pictures
import pytest


@pytest.mark.parametrize("database", ["file", "postgres"], indirect=True)
async def test_the_drawings_in_the_documentation_are_those_of_today(database: str) -> None:
    drawn = await pictures.drawn(database)
    for name, text in drawn.items():
        assert (pictures.FOLDER / name).read_text() == text, "make docs-output writes it anew"
