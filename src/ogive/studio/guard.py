"""Who may talk to the studio: nobody but the person who started it, whatever page or program asks.

The threats are a web page the person visits (it can make the browser send requests, and point a name of its own at
this machine), another user of the machine, and an open port on a network. Answers: the name in the Host header must
be known; a secret of 256 bits, exchanged at login for a cookie that scripts cannot read and other sites cannot send;
the browser's own word on where a request comes from; for commands a second secret that only the page knows.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_FAILURES, WINDOW_SECONDS = 10, 60.0
CSRF_HEADER = "x-csrf-token"

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_CLOSED = (
    "<!doctype html><meta charset=utf-8><title>Ogive studio</title>"
    "<p>Open the address that <code>ogive studio</code> printed: it holds the key to this page."
)
_OPEN = '<!doctype html><meta charset=utf-8><meta http-equiv="refresh" content="0;url=/"><title>Ogive studio</title>'


@dataclass
class Keys:
    """The secrets of one server.

    Attributes
    ----------
    session : str
        What the cookie proves; a server that is started again on the same run and port may use it again.
    token : str
        What the printed address holds; new at every start.
    """

    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _once: set[str] = field(default_factory=set)
    _failures: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_FAILURES))

    @property
    def cookie(self) -> str:
        """Value of the cookie."""
        return self._derived("cookie")

    @property
    def csrf(self) -> str:
        """What a page must send along with a command."""
        return self._derived("csrf")

    def _derived(self, purpose: str) -> str:
        return hmac.new(self.session.encode(), purpose.encode(), hashlib.sha256).hexdigest()

    def one_time(self) -> str:
        """Return a token that opens the page once."""
        token = secrets.token_urlsafe(32)
        self._once.add(token)
        return token

    def blocked(self) -> bool:
        """Return whether there were too many wrong tokens within the last minute."""
        return len(self._failures) == MAX_FAILURES and time.monotonic() - self._failures[0] < WINDOW_SECONDS

    def opens(self, token: str) -> bool:
        """Return whether a token is right; a one-time token is spent, a wrong one counted."""
        once = next((known for known in self._once if same(token, known)), None)
        self._once.discard(once or "")
        right = once is not None or same(token, self.token)
        if not right:
            self._failures.append(time.monotonic())
        return right


def same(given: str, wanted: str) -> bool:
    """Compare secrets in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(), wanted.encode())


class Guard:
    """Lets a request through to the application if all of section 7 of the specification holds for it.

    Parameters
    ----------
    app : ASGI application
    keys : Keys
    hosts : iterable of str
        Values of the Host header that are this server, with port.
    port : int
        Part of the cookie's name: browsers send cookies to every port of a host.
    """

    def __init__(self, app: ASGIApp, keys: Keys, hosts: Iterable[str], port: int) -> None:
        self.app, self.keys = app, keys
        self.hosts = frozenset(host.lower() for host in hosts)
        self.cookie_name = f"ogive-studio-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._answer(scope) or self.app
        await answer(scope, receive, guarded)

    def _answer(self, scope: Scope) -> Response | None:
        """Return the answer to a request that goes no further, None for one that does."""
        headers, path = Headers(scope=scope), scope["path"]
        if headers.get("host", "").lower() not in self.hosts:
            return _refused(400, "unknown host")
        if path == "/healthz":
            return PlainTextResponse("ok")
        if path == "/login":
            return self._login(scope, headers)
        bearer = headers.get("authorization", "")
        if bearer.startswith("Bearer "):
            if self.keys.blocked():
                return _refused(429, "too many wrong tokens; wait a minute")
            if not self.keys.opens(bearer.removeprefix("Bearer ")):
                return _refused(401, "wrong token")
        elif not self._has_cookie(headers):
            return _refused(401, "not logged in") if path.startswith("/api") else HTMLResponse(_CLOSED, 401)
        return self._foreign(scope, headers, by_cookie=not bearer)

    def _login(self, scope: Scope, headers: Headers) -> Response:
        if scope["method"] != "GET":
            return _refused(405, "log in by GET")
        if self.keys.blocked():
            return _refused(429, "too many wrong tokens; wait a minute")
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not self.keys.opens(token):
            return HTMLResponse(_CLOSED, 401)
        # After a redirect that another site began, a browser holds the cookie back; a page of our own sends it.
        foreign = headers.get("sec-fetch-site") == "cross-site"
        answer: Response = HTMLResponse(_OPEN) if foreign else RedirectResponse("/", 303)
        answer.set_cookie(self.cookie_name, self.keys.cookie, path="/", httponly=True, samesite="strict")
        return answer

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie_name)
        except CookieError:
            return False
        return found is not None and same(found.value, self.keys.cookie)

    def _foreign(self, scope: Scope, headers: Headers, *, by_cookie: bool) -> Response | None:
        """Refuse what another page made the browser send."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin.lower() != f"http://{headers['host'].lower()}":
            return _refused(403, "foreign origin")
        api = scope["path"].startswith("/api")
        if api and site not in (None, "same-origin", "none"):
            return _refused(403, "the request comes from another site")
        if api and headers.get("content-type", "application/json").partition(";")[0].strip() != "application/json":
            return _refused(415, "send application/json")
        if scope["method"] in ("GET", "HEAD"):
            return None
        if "content-type" not in headers:
            return _refused(415, "send application/json")
        if by_cookie and not same(headers.get(CSRF_HEADER, ""), self.keys.csrf):
            return _refused(403, f"the {CSRF_HEADER} header is missing or wrong; reload the page")
        return None


def _refused(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status)
