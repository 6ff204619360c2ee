"""The site, as `make docs` builds it: no warning, no dead link, nobody else is asked."""

import fcntl
import re
import shutil
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from blocks import DOCS, ROOT
from build_site import ADDRESS, build, missing_pictures
from playwright.async_api import Route, async_playwright

from browsers import ARGUMENTS, CHROMIUM, NO_BROWSER

HERE = "http://site/"

_MARKDOWN_LINK = re.compile(r"\]\(<([^>]+)>\)")


class Page(HTMLParser):
    """What a built page links to, what it loads, and where one can link to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links = set[str]()
        self.loaded = set[str]()
        self.anchors = set[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        elif tag in ("script", "img", "iframe", "source", "object", "link"):
            self.loaded |= {values[name] for name in ("src", "href", "data") if name in values}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The site of a copy of the project; those who run tests at the same time share it."""
    mine = tmp_path_factory.getbasetemp()
    root = (mine if worker_id == "master" else mine.parent) / "project"
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            shutil.copytree(DOCS, root / "docs")
            shutil.copy(ROOT / "zensical.toml", root)
            (root / "src").symlink_to(ROOT / "src")
            build(root)
    return root / "site"


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[str, Page]:
    """Each page by its address."""
    found = dict[str, Page]()
    for file in sorted(site.rglob("*.html")):
        address = HERE + file.relative_to(site).as_posix().removesuffix("index.html")
        found[address] = Page(file.read_text())
    return found


def everything_loaded(pages: dict[str, Page]) -> Iterator[str]:
    for address, page in pages.items():
        yield from (urljoin(address, loaded) for loaded in page.loaded)


def test_every_link_leads_to_a_page_a_file_or_an_anchor(site: Path, pages: dict[str, Page]) -> None:
    broken = set[tuple[str, str]]()
    for address, page in pages.items():
        for link in page.links:
            target = urlsplit(urljoin(address, link))
            to = target._replace(fragment="", query="").geturl()
            if not to.startswith(HERE) or address.endswith("404.html"):
                continue
            is_there = to in pages or (site / unquote(target.path).lstrip("/")).is_file()
            has_anchor = not target.fragment or unquote(target.fragment) in pages[to].anchors
            if not (is_there and has_anchor):
                broken.add((address, link))
    assert not broken


def test_a_picture_that_is_not_there_fails_the_build(tmp_path: Path) -> None:
    page = tmp_path / "start" / "index.html"
    page.parent.mkdir()
    (tmp_path / "a turn.svg").touch()
    page.write_text('<img alt="" src="../a%20turn.svg"><img src="../none.svg">')
    assert missing_pictures(tmp_path) == ["start/index.html: ../none.svg"]


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    assert all(url.startswith((HERE, "data:")) for url in everything_loaded(pages))
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", sheet.read_text()), sheet


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
async def test_a_browser_asks_nobody_else_and_finds_nothing_wrong(site: Path) -> None:
    asked, wrong = set[str](), list[str]()

    async def answer(route: Route) -> None:
        asked.add(route.request.url)
        file = site / urlsplit(route.request.url).path.lstrip("/")
        file = file / "index.html" if file.is_dir() else file
        await route.fulfill(path=file) if file.is_file() else await route.fulfill(status=404)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(request.url))
        await page.route("**/*", answer)
        for path in ("", "reference/api/tasks/", "explanation/unit-of-work/"):
            await page.goto(HERE + path, wait_until="networkidle")
        await browser.close()
    assert all(url.startswith(HERE) for url in asked)
    assert not wrong


def test_each_page_is_there_as_markdown_and_in_the_list_of_them(site: Path) -> None:
    listed = set(re.findall(r"\(<?([^)>]+)>?\)", (site / "llms.txt").read_text()))
    written = {file.relative_to(site).as_posix() for file in site.rglob("index.md")}
    built = {
        file.relative_to(site).with_suffix(".md").as_posix() for file in site.rglob("index.html")
    }
    assert listed == written == built
    links = [link for name in written for link in _MARKDOWN_LINK.findall((site / name).read_text())]
    assert any(link.startswith("../") for link in links)
    assert not [link for link in links if link.startswith("../") and "index.md" not in link]
    assert not [file for file in site.rglob("*.*") if ADDRESS.encode() in file.read_bytes()]


def test_each_page_is_in_the_navigation() -> None:
    configured = (ROOT / "zensical.toml").read_text()
    named = re.findall(r'= "([\w/-]+\.md)"', configured)
    assert len(named) == len(set(named))
    assert set(named) == {file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md")}
    assert tomllib.loads(configured)["project"]["strict"] is True
