"""Only a page of the server acts, for whoever may; and a form does what its fields say."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from browsing import Answer, Browser

from builders import add_account, add_task
from cw_store import Store
from cw_store.live import serving
from cw_store.live.actions import ACTS

pytestmark = pytest.mark.parametrize("database", ["file"], indirect=True)


# A form without the page's script.


async def test_a_form_leads_back_to_its_page(store: Store, acting: Browser) -> None:
    task = await add_task(store, status="blocked")
    done = await acting.post(f"/act/retry/{task.id}", {"back": "/initiative/x?a=b"})
    assert (done.status, done.headers["location"]) == (303, "/initiative/x?a=b")
    again = await acting.post(f"/act/retry/{task.id}", {"back": "/initiative/x"})
    assert again.status == 409
    assert "someone was faster: " in again.text and 'href="/initiative/x"' in again.text


@pytest.mark.parametrize(
    "back",
    [
        "",
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:x",
        "/a\r\nb: c",
    ],
)
async def test_a_form_leads_nowhere_else(store: Store, acting: Browser, back: str) -> None:
    task = await add_task(store, status="blocked")
    done = await acting.post(f"/act/retry/{task.id}", {"back": back})
    assert (done.status, done.headers["location"]) == (303, "/")


async def test_what_was_typed_is_shown_as_text(store: Store, acting: Browser) -> None:
    account = await add_account(store)
    fields = {"until": "<script>alert(1)</script>"}
    answer = await acting.post(f"/act/account-exhausted/{account.id}", fields)
    assert answer.status == 400
    assert "<script>alert" not in answer.text and "&lt;script&gt;alert" in answer.text


# Who may act.


async def count_of_blocked(store: Store) -> int:
    return len(await store.tasks.find_by_status("blocked"))


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "",
        "http://evil.example",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "http://[",
        "file://127.0.0.1:{port}",
        "http://127.0.0.1:{port}.evil.example",
        "http://evil.example#127.0.0.1:{port}",
    ],
)
async def test_only_a_page_of_this_server_acts(
    store: Store, acting: Browser, origin: str | None
) -> None:
    task = await add_task(store, status="blocked")
    given = None if origin is None else origin.format(port=acting.port)
    answer = await acting.post(f"/act/retry/{task.id}", origin=given)
    assert answer.status == 403
    assert await count_of_blocked(store) == 1


async def test_a_page_of_another_port_does_not_act(store: Store, acting: Browser) -> None:
    task = await add_task(store, status="blocked")
    for origin in (f"http://localhost:{acting.port}", f"http://127.0.0.1:{acting.port + 1}"):
        assert (await acting.post(f"/act/retry/{task.id}", origin=origin)).status == 403
    assert await count_of_blocked(store) == 1


async def test_nobody_acts_without_the_token(store: Store, acting: Browser) -> None:
    task = await add_task(store, status="blocked")
    acting.cookies = {}
    assert (await acting.post(f"/act/retry/{task.id}")).status == 401
    assert await count_of_blocked(store) == 1


async def test_nobody_acts_by_following_a_link(store: Store, acting: Browser) -> None:
    task = await add_task(store, status="blocked")
    assert (await acting.get(f"/act/retry/{task.id}", origin=acting.origin)).status == 405
    assert await count_of_blocked(store) == 1


@pytest.mark.parametrize("what", sorted(ACTS))
async def test_a_page_to_look_at_lets_nobody_act(store: Store, browser: Browser, what: str) -> None:
    task = await add_task(store, status="blocked")
    answer = await browser.act(what, task.id, text="x")
    assert answer.status == 403 and "--act" in answer.text
    assert await count_of_blocked(store) == 1


async def test_a_store_that_is_open_to_be_looked_at_is_not_changed(
    store: Store, database: str
) -> None:
    task = await add_task(store, status="blocked")
    async with Store(database, read_only=True) as looking:
        async with serving(looking, may_act=True, port=0) as served:
            browser = Browser(served.port)
            await browser.follow(served.address)
            answer = await browser.act("retry", task.id)
    assert answer.status == 403 and "nothing can be changed" in answer.text
    assert await count_of_blocked(store) == 1


Send = Callable[[Browser, str], Awaitable[Answer]]


async def a_form_too_large(browser: Browser, path: str) -> Answer:
    return await browser.post(path, {"text": "x" * 400_000})


async def too_many_fields(browser: Browser, path: str) -> Answer:
    return await browser.post(path, {f"field-{number}": "x" for number in range(50)})


async def no_form(browser: Browser, path: str) -> Answer:
    return await browser.post(path, content_type="text/plain")


async def no_text(browser: Browser, path: str) -> Answer:
    headers: dict[str, Any] = {
        "origin": browser.origin,
        "content_type": "application/x-www-form-urlencoded",
    }
    body = urlencode({"text": b"\xff"}).encode() + b"&text=\xff"
    return await browser.send("POST", path, browser.headers(**headers), body)


@pytest.mark.parametrize("send", [a_form_too_large, too_many_fields, no_form, no_text])
async def test_what_is_no_form_of_ours_is_refused(
    store: Store, acting: Browser, send: Send
) -> None:
    task = await add_task(store, status="blocked")
    assert (await send(acting, f"/act/retry/{task.id}")).status == 400
    assert await count_of_blocked(store) == 1
