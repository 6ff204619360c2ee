"""Who may look and who may act, and what browsers are told to refuse.

Two layers. `Guard` stands before the application that `cw-store live` serves: whoever comes names
this server and has its token. `SecurityHeaders` and the check of `Origin` belong to the application
itself, wherever it is mounted.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from html import escape
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "token"  # noqa: S105 -- the name of a parameter
"""The parameter of the address that is printed."""

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = (LOOPBACK, "localhost")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # With "no-referrer" browsers would hide the origin of our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def new_token() -> str:
    """Return a token of 192 bits."""
    return secrets.token_urlsafe(24)


def cookie_name(port: int) -> str:
    """Return the cookie of the server at this port: cookies themselves know of no ports."""
    return f"cw_store_live_{port}"


def allowed_hosts(names: Iterable[str], port: int) -> frozenset[str]:
    """Return what a request may call this server in `Host`; browsers leave port 80 out."""
    ports = ("", f":{port}") if port == 80 else (f":{port}",)
    return frozenset(f"{name.lower()}{at}" for name in names for at in ports)


class SecurityHeaders:
    """Has every response of the application say what browsers are to refuse."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                # What has a tag is a file of ours; all else tells of the store.
                headers.setdefault("cache-control", "no-cache" if "etag" in headers else "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Guard:
    """Lets nobody through who does not name this server and has its token.

    A token in the address is exchanged for a cookie, so that it is in no history and no log.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int, hosts: frozenset[str]) -> None:
        self._app = SecurityHeaders(app)
        self._refuse = SecurityHeaders(self._answer)
        self._token = token
        self._once: set[str] = set()
        self._cookie = cookie_name(port)
        self._hosts = hosts

    def new_token_to_use_once(self) -> str:
        """Return a token for an address that others may see, in a list of processes."""
        token = new_token()
        self._once.add(token)
        return token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            is_let_in = self._names_us(scope) and self._has_cookie(scope)
            exchanges = scope["method"] == "GET" and TOKEN in Request(scope).query_params
            app = self._app if is_let_in and not exchanges else self._refuse
            await app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(Request(scope))(scope, receive, send)

    def _response(self, request: Request) -> Response:
        if not self._names_us(request.scope):
            return refusal(403, "This server has another name.")
        given = request.query_params.get(TOKEN, "")
        is_let_in = self._takes(given) or self._has_cookie(request.scope)
        if request.method != "GET" or not is_let_in:
            return refusal(401, "Open the address that was printed: it has a token in it.")
        kept = request.url.remove_query_params(TOKEN)
        query = f"?{kept.query}" if kept.query else ""
        # A path alone, which cannot lead elsewhere however many slashes it begins with.
        response = _leading_to("/" + kept.path.lstrip("/\\") + query, request)
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return response

    def _takes(self, given: str) -> bool:
        if given in self._once:
            self._once.remove(given)
            return True
        return self._is_token(given)

    def _names_us(self, scope: Scope) -> bool:
        named = Headers(scope=scope).getlist("host")
        return len(named) == 1 and named[0].lower() in self._hosts

    def _has_cookie(self, scope: Scope) -> bool:
        return any(
            self._is_token(value)
            for header in Headers(scope=scope).getlist("cookie")
            for value in _values(header, self._cookie)
        )

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


def _leading_to(path: str, request: Request) -> Response:
    """Lead on to a path. From a link on another site a browser would not take the cookie along."""
    if request.headers.get("sec-fetch-site") != "cross-site":
        return RedirectResponse(path, status_code=303)
    target = escape(path)
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Agents at work</title>'
        f'<meta http-equiv="refresh" content="0;url={target}"><p><a href="{target}">Go on</a></p>'
    )


def _values(header: str, name: str) -> list[str]:
    try:
        return [SimpleCookie(header)[name].value]
    except (CookieError, KeyError):
        return []


def is_from_here(request: Request) -> bool:
    """Whether a browser says that a page of this very server sends this request."""
    origins, hosts = request.headers.getlist("origin"), request.headers.getlist("host")
    if len(origins) != 1 or len(hosts) != 1:
        return False
    try:
        origin = urlsplit(origins[0])
    except ValueError:
        return False
    return origin.scheme in ("http", "https") and origin.netloc.lower() == hosts[0].lower()


def refusal(status: int, sentence: str) -> Response:
    """Return a document that says so, which needs nothing of the store."""
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{status}</title>'
        f"<h1>{status}</h1><p>{sentence}</p>",
        status,
    )
