"""Who may talk to the page: this machine's browser, with the token of this session, from this very page."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
"""Nothing is loaded from elsewhere, no script or style stands in the page, and no text becomes markup."""

HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """Lets through what has the token in its cookie; the address with ``?token=`` gives the cookie.

    Refused are other names than this machine's in Host (a foreign page may have a name that leads here) and,
    of what is not only read, requests of other pages.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        # Browsers send a cookie to every port of a machine: another session's must have another name.
        self._cookie = f"ameli_workbench_{port}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or hands on to the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        headers = dict(scope["headers"])
        host = headers.get(b"host", b"")
        own = headers.get(b"origin", b"http://" + host) == b"http://" + host
        if host not in self._hosts:
            await _say(guarded, 421, "This page answers to 127.0.0.1 and localhost only.")
        elif scope["method"] not in ("GET", "HEAD") and not own:
            await _say(guarded, 403, "This request came from another page.")
        elif self._entering(scope):
            cookie = self._cookie + b"=" + self._token + b"; Path=/; HttpOnly; SameSite=Strict"
            await _say(guarded, 303, "", ((b"location", b"/"), (b"set-cookie", cookie)))
        elif not self._known(headers.get(b"cookie", b"")):
            await _say(guarded, 403, "Open the address that `ameli-llm workbench` printed: it has the token.")
        else:
            await self._app(scope, receive, guarded)

    def _entering(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"]).get(b"token", [b""])[0]
        return scope["path"] == "/" and hmac.compare_digest(given, self._token)

    def _known(self, cookies: bytes) -> bool:
        pairs = (one.strip().partition(b"=") for one in cookies.split(b";"))
        found = next((value for name, _, value in pairs if name == self._cookie), b"")
        return hmac.compare_digest(found, self._token)


async def _say(send: Send, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    body = text.encode()
    start = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*start, *headers]})
    await send({"type": "http.response.body", "body": body})
