"""What is in the bytes that leave: nothing secret, and stored text as text, on every page."""

import json
from collections.abc import AsyncGenerator
from html.parser import HTMLParser

import pytest
from browsing import Browser

from cw_store import Store
from cw_store.live import serving
from cw_store.live.asgi import SCREENS
from cw_store.live.pages import Viewer
from hostile import fill_with

EACH = pytest.mark.parametrize(
    ("database", "looking"),
    [("file", "to look"), ("file", "to act"), ("postgres", "to act")],
    indirect=True,
)

SECRET = "sk-live-5ecret"
MARKUP = (
    "'\"><script>alert(1)</script><img src=x onerror=alert(2)><svg/onload=alert(3)>"
    "<a href=javascript:alert(4)>{{ 7*7 }}</a></template></style></textarea></title><!--"
)

PATHS = [screen.path for screen in SCREENS] + ["/search"]


@pytest.fixture
async def looking(store: Store, request: pytest.FixtureRequest) -> AsyncGenerator[Browser]:
    """One who has opened the page, to look or to act."""
    async with serving(store, may_act=request.param == "to act", port=0) as served:
        browser = Browser(served.port)
        await browser.follow(served.address)
        yield browser


async def everything_seen(store: Store, browser: Browser, text: str) -> dict[str, str]:
    """Fill a store with a text; return each page's document, and what its stream begins with."""
    ids = await fill_with(store, text)
    account = await store.accounts.find_by_id(ids["account"])
    assert account is not None
    await store.accounts.update(account.id, credentials=SECRET, config_json=SECRET)
    seen: dict[str, str] = {}
    for path in PATHS:
        id = ids["agent" if path.startswith("/agent") else "initiative"]
        url = path.replace("{id}", Viewer().url(id).removeprefix("/"))
        if path == "/search":
            url = Viewer().url("search", q=text[:60])
        answer = await browser.get(url)
        assert answer.status == 200, url
        seen[path] = answer.text
        if path != "/search":
            async with browser.stream(f"{url}?stream") as stream:
                event = await stream.changed()
                seen[f"{path} as it changes"] = "".join(event.parts.values())
                seen[f"{path} as it is sent"] = json.dumps(event.data, ensure_ascii=False)
    return seen


@EACH
async def test_no_secret_is_in_any_byte_that_leaves(store: Store, looking: Browser) -> None:
    seen = await everything_seen(store, looking, "Whose turn is it?")
    assert [path for path, text in seen.items() if "Whose turn" not in text] == []
    assert [path for path, text in seen.items() if SECRET in text] == []
    assert [path for path, text in seen.items() if "config_json" in text] == []


class Elements(HTMLParser):
    """What a browser makes of a document that could harm."""

    def __init__(self) -> None:
        super().__init__()
        self.harm: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        is_ours = tag == "script" and "/static/" in (values.get("src") or "")
        if tag in ("script", "iframe", "object", "embed", "base", "img") and not is_ours:
            self.harm.append(tag)
        for name, value in values.items():
            leads_away = name in ("href", "src", "action", "xlink:href") and not (
                value or ""
            ).startswith(("/", "#", "data:"))
            if name.startswith("on") or name == "style" or leads_away:
                self.harm.append(f"{tag} {name}={value}")


def harm_in(text: str) -> list[str]:
    elements = Elements()
    elements.feed(text)
    return elements.harm


@EACH
async def test_hostile_text_is_text_on_every_page(store: Store, looking: Browser) -> None:
    seen = await everything_seen(store, looking, MARKUP)
    as_html = {path: text for path, text in seen.items() if not path.endswith("sent")}
    assert [path for path, text in as_html.items() if "alert(1)" not in text] == []
    assert {path: harm for path, text in as_html.items() if (harm := harm_in(text))} == {}
    assert [path for path, text in as_html.items() if "<script>alert" in text] == []
    assert [path for path, text in as_html.items() if "49" in text and "{{" not in text] == []


@pytest.mark.parametrize(
    "text",
    [
        "<script>a",
        "<img src=/x>",
        "<p onclick=a>",
        "<p style=a>",
        "<a href=javascript:a>",
        "<base>",
    ],
)
def test_what_harms_is_found(text: str) -> None:
    assert harm_in(text)
