"""Nobody sees a byte of the store who has no token, or calls the server by another name."""

import re

import pytest
from browsing import Answer, Browser

from builders import add_agent, add_message
from cw_store import Store
from cw_store.live import LivePageServer, serving

pytestmark = pytest.mark.parametrize("database", ["file"], indirect=True)

PATHS = ("/", "/?stream", "/static/live.css", "/initiative/x", "/no-such-page")


def token_of(address: str) -> str:
    return address.partition("?token=")[2]


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_token_nothing_is_shown(stranger: Browser, path: str) -> None:
    answer = await stranger.get(path)
    assert answer.status == 401
    assert "inbox" not in answer.text


async def test_another_token_is_none(stranger: Browser, served: LivePageServer) -> None:
    token = token_of(served.address)
    for other in ("", "x", token[:-1], f"{token}x", token.swapcase(), "%00", "é"):
        assert (
            await stranger.get(f"/?token={other.encode().hex() if other == 'é' else other}")
        ).status == 401
    stranger.cookies[f"cw_store_live_{served.port}"] = token.swapcase()
    assert (await stranger.get("/")).status == 401


async def test_a_token_has_192_bits_and_is_another_each_time(store: Store) -> None:
    tokens: set[str] = set()
    for _ in range(3):
        async with serving(store, port=0) as served:
            tokens.add(token_of(served.address))
    assert len(tokens) == 3
    assert all(re.fullmatch(r"[\w-]{32}", token) for token in tokens)


async def test_a_token_is_exchanged_for_a_cookie_of_this_port(
    stranger: Browser, served: LivePageServer
) -> None:
    answer = await stranger.get(f"/initiative/x?token={token_of(served.address)}&a=b")
    assert answer.status == 303
    assert answer.headers["location"] == "/initiative/x?a=b"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"cw_store_live_{served.port}=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "///evil.example/x"])
async def test_an_address_leads_nowhere_else(
    stranger: Browser, served: LivePageServer, path: str
) -> None:
    answer = await stranger.get(f"{path}?token={token_of(served.address)}")
    assert re.match(r"/[^/\\]", answer.headers["location"])


async def test_a_link_on_another_site_leads_in_by_a_page_of_ours(
    stranger: Browser, served: LivePageServer
) -> None:
    """A browser does not take a cookie along that is SameSite=Strict where another site leads."""
    answer = await stranger.get(
        f"/?token={token_of(served.address)}&x='\"<", sec_fetch_site="cross-site"
    )
    assert (answer.status, "set-cookie" in answer.headers) == (200, True)
    assert token_of(served.address) not in answer.text
    assert '<meta http-equiv="refresh" content="0;url=/?x=%27%22%3C">' in answer.text


async def test_an_address_to_use_once_is_used_once(
    stranger: Browser, served: LivePageServer
) -> None:
    address = served.address_to_use_once()
    assert (await stranger.follow(address)).status == 200
    other = Browser(served.port)
    assert (await other.get(f"/?token={token_of(address)}")).status == 401


async def test_who_was_let_in_before_is_let_in_by_an_old_address(browser: Browser) -> None:
    answer = await browser.get("/initiative/x?token=of-another-start")
    assert (answer.status, answer.headers["location"]) == (303, "/initiative/x")


async def test_a_cookie_of_another_ports_page_does_not_count(
    store: Store, stranger: Browser, served: LivePageServer
) -> None:
    """Browsers send a cookie to all ports of a machine."""
    async with serving(store, port=0) as other:
        name, value = f"cw_store_live_{other.port}", token_of(other.address)
        stranger.cookies[name] = value
        assert (await stranger.get("/")).status == 401
        stranger.cookies[name] = token_of(served.address)
        assert (await stranger.get("/")).status == 401
        stranger.cookies = {f"cw_store_live_{served.port}": value}
        assert (await stranger.get("/")).status == 401


async def test_whoever_calls_the_server_by_another_name_is_refused(browser: Browser) -> None:
    port = browser.port
    for host in ("127.0.0.1", "localhost"):
        assert (await browser.get("/", host=f"{host}:{port}")).status == 200
    assert (await browser.get("/", host=f"LOCALHOST:{port}")).status == 200
    for host in (
        "evil.example",
        f"evil.example:{port}",
        f"127.0.0.1.evil.example:{port}",
        f"127.0.0.1:{port + 1}",
        f"localhost:{port}.evil.example",
        f"127.0.0.2:{port}",
        f"user@127.0.0.1:{port}",
        "127.0.0.1",
        "localhost",
        "",
    ):
        answer = await browser.get("/", host=host)
        assert answer.status == 403, host
        assert "inbox" not in answer.text


async def test_whoever_names_no_server_is_refused(browser: Browser) -> None:
    headers = browser.headers(host=None)
    assert (await browser.send("GET", "/", headers, version="1.0")).status == 403
    assert (await browser.send("GET", "/", headers)).status in (400, 403)


async def test_a_token_does_not_help_under_another_name(
    stranger: Browser, served: LivePageServer
) -> None:
    path = f"/?token={token_of(served.address)}"
    answer = await stranger.get(path, host=f"evil.example:{served.port}")
    assert (answer.status, "set-cookie" in answer.headers) == (403, False)


def refuses_scripts(answer: Answer) -> bool:
    policy = answer.headers["content-security-policy"]
    return (
        "default-src 'none'" in policy
        and "script-src 'self'" in policy
        and "frame-ancestors 'none'" in policy
        and "unsafe" not in policy
        and answer.headers["x-content-type-options"] == "nosniff"
    )


async def test_every_answer_says_that_nothing_but_its_own_script_runs(
    browser: Browser, stranger: Browser, served: LivePageServer
) -> None:
    answers = [await browser.get(path) for path in ("/", "/static/live.js", "/x", "/initiative/x")]
    assert [answer.status for answer in answers] == [200, 200, 404, 404]
    answers.append(await stranger.get("/"))
    answers.append(await stranger.get(f"/?token={token_of(served.address)}"))
    answers.append(await browser.get("/", host="evil.example"))
    answers.append(await browser.post("/act/retry/x"))
    async with browser.stream("/?stream") as stream:
        answers.append(stream.answer)
    assert all(map(refuses_scripts, answers))
    # A form whose page sends no referrer would come without an origin.
    assert {answer.headers["referrer-policy"] for answer in answers} == {"same-origin"}


async def test_what_tells_of_the_store_is_kept_by_no_browser(browser: Browser) -> None:
    assert (await browser.get("/")).headers["cache-control"] == "no-store"
    async with browser.stream("/?stream") as stream:
        assert stream.answer.headers["cache-control"] == "no-store"


async def test_nobody_else_is_let_read_it(browser: Browser) -> None:
    answer = await browser.get("/", origin="http://evil.example")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_the_server_is_on_loopback_alone(store: Store, served: LivePageServer) -> None:
    with pytest.raises(OSError):
        await Browser(served.port, "127.0.0.2").get("/")
    async with serving(store, port=0, host="127.0.0.2") as other:
        assert other.address.startswith(f"http://127.0.0.2:{other.port}/")
        browser = Browser(other.port, "127.0.0.2")
        assert (await browser.follow(other.address)).status == 200
        assert (await browser.get("/", host=f"127.0.0.3:{other.port}")).status == 403
        with pytest.raises(OSError):
            await Browser(other.port, "127.0.0.1").get("/")


async def test_the_next_free_port_is_taken_where_none_is_named(store: Store) -> None:
    async with serving(store) as first, serving(store) as second:
        assert first.port != second.port
        with pytest.raises(OSError):
            async with serving(store, port=first.port):
                pass


async def test_an_id_may_be_any_text(store: Store, browser: Browser) -> None:
    for id in ("a/b", "..", ".", "%2F", "a?b#c", "é", "-x", "a b", "//evil.example"):
        await store.initiatives.create(id=id, name="any")
    async with store.unit_of_work() as uow:
        agent = await add_agent(uow)
        await add_message(uow, sender_type="agent", sender_id=agent.id)
    from cw_store.live.pages import Viewer

    for initiative in await store.initiatives.find_all():
        path = Viewer().url("initiative", initiative.id)
        assert (await browser.get(path)).status == 200, path
