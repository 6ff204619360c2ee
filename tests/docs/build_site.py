"""Build the documentation's site: `python tests/docs/build_site.py`, which is `make docs`.

A warning is an error. The site is to be read from wherever it lies, while Zensical wants an address
for llms.txt and the pages' Markdown: links to the one that it is given are made relative.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[2]
ADDRESS = "https://cw-store.invalid/"

_PICTURE = re.compile(r'<img[^>]+src="([^"#?]+)"')
_TAGS = re.compile(rf"<link[^>]+{re.escape(ADDRESS)}[^>]*>\s*")
_SECTIONS = re.compile(rf"(\]\(<{re.escape(ADDRESS)}[^>#]*/)#")


def build(root: Path) -> Path:
    """Build the site of the project at `root`, and return its folder."""
    zensical = Path(sys.executable).with_name("zensical")
    environment = os.environ | {"NO_COLOR": "1"}
    subprocess.run([zensical, "build", "--strict"], cwd=root, env=environment, check=True)
    site = root / "site"
    (site / "sitemap.xml").unlink(missing_ok=True)  # for search engines, by whole addresses
    for file in site.rglob("*"):
        if file.suffix in (".html", ".md", ".txt"):
            text = file.read_text()
            if file.suffix == ".md":  # where Zensical links to sections in HTML
                text = _SECTIONS.sub(r"\1index.md#", text)
            up = "../" * (len(file.relative_to(site).parts) - 1)
            file.write_text(_TAGS.sub("", text).replace(ADDRESS, up))
    if missing := missing_pictures(site):
        sys.exit(f"these pages show pictures that are not there: {', '.join(missing)}")
    return site


def missing_pictures(site: Path) -> list[str]:
    """Return each picture that a page shows and that is not there, which Zensical lets pass."""
    return [
        f"{file.relative_to(site)}: {picture}"
        for file in sorted(site.rglob("*.html"))
        for picture in _PICTURE.findall(file.read_text())
        if ":" not in picture and not (file.parent / unquote(picture)).is_file()
    ]


def refuse_stale_pages() -> None:
    """End with a sentence if a page or a drawing is not what the source makes of it."""
    from generated import DOCS, pages

    stale = [
        name
        for name, text in pages().items()
        if not (DOCS / name).is_file() or (DOCS / name).read_text() != text
    ]
    if stale:
        sys.exit(f"make docs-output writes these anew: {', '.join(stale)}")


if __name__ == "__main__":
    refuse_stale_pages()
    try:
        build(ROOT)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
