"""What pages show of programs in the repository is what stands there."""

import re

import pytest
from blocks import PAGES, ROOT

EXCERPT = re.compile(r'^```python title="((?:tests/)?examples/[^"]+)"\n(.*?)^```$', re.M | re.S)

EXCERPTS = [
    pytest.param(match[1], match[2], id=f"{page} of {match[1]}")
    for page in PAGES
    for match in EXCERPT.finditer((ROOT / page).read_text())
]


@pytest.mark.parametrize(("file", "text"), EXCERPTS)
def test_an_excerpt_stands_in_its_file(file: str, text: str) -> None:
    assert text in (ROOT / file).read_text()
