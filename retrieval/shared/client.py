"""Chroma's own client for a server that is not trusted: bounded in time and size, nothing from elsewhere.

Imports chromadb; whoever uses it imports it inside a function.
"""

from __future__ import annotations

import os
import ssl
import time
from typing import Any

import chromadb
import httpx
from chromadb.api.client import Client
from chromadb.auth import UserIdentity
from chromadb.config import Settings

from ameli_llm.config import CHROMA_TOKEN
from ameli_llm.errors import AmeliError

MAX_BYTES = 64 << 20
"""Of one answer: ten times what a page of the longest vectors takes."""


class BoundedClient(Client):
    """chromadb's HttpClient over a session of our own.

    chromadb's waits for ever, reads whatever comes, and takes proxies and .netrc from the environment. Raises
    AmeliError when no server of a version that the installed chromadb speaks with answers at ``url``.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._session = httpx.Client(
            transport=_Transport(url, timeout),
            timeout=httpx.Timeout(timeout, connect=min(10.0, timeout)),
            headers=_headers(),
            trust_env=False,
        )
        settings = Settings(
            chroma_api_impl="chromadb.api.fastapi.FastAPI",
            chroma_server_host=url,
            chroma_server_http_port=0,  # stands in the address
            chroma_server_headers=None,
            chroma_client_auth_provider=None,
            chroma_server_ssl_verify=False,  # of sessions that are never used: saves reading certificates
            anonymized_telemetry=False,
        )
        try:
            super().__init__(settings=settings)
        except BaseException:
            self._session.close()
            raise

    def get_user_identity(self) -> UserIdentity:
        """Who the server takes us for: the first question of the client, before which it gets its session."""
        server: Any = self._server
        server._session.close()
        server._session = self._session
        _require_version(self._url, server.get_version())
        identity: UserIdentity = server.get_user_identity()
        return identity

    def _validate_tenant_database(self, tenant: str, database: str) -> None:
        """Asks nothing: chromadb would, over a second session that is not ours. The first request tells."""

    def close(self) -> None:
        """Closes the connections. Idempotent."""
        super().close()
        self._session.close()


class _Transport(httpx.HTTPTransport):
    """Reads an answer whole, up to ``MAX_BYTES`` and ``timeout`` seconds; otherwise raises AmeliError."""

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__(verify=_certificates(url), trust_env=False)
        self._server = f"The Chroma server at {url}"
        self._timeout = timeout

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, of whose headers none is kept: they could name a decompressor."""
        try:
            answer = super().handle_request(request)
            try:
                body = self._read(answer)
            finally:
                answer.close()
        except httpx.TimeoutException as error:
            raise self._slow() from error
        except httpx.TransportError as error:
            raise AmeliError(
                f"{self._server} cannot be reached: {str(error) or type(error).__name__}.",
                hint="Start it with: chroma run --path DIR, or correct retrieval.chroma_url.",
            ) from error
        self._judge(answer.status_code)
        return httpx.Response(
            answer.status_code,
            headers={"Content-Type": "application/json; charset=utf-8"},
            content=body,
            request=request,
        )

    def _read(self, answer: httpx.Response) -> bytes:
        if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise AmeliError(f"{self._server} sent a compressed answer, which was not asked for.")
        deadline, body = time.monotonic() + self._timeout, bytearray()
        for part in answer.stream:  # type: ignore[union-attr]  # of a synchronous transport
            body += part
            if len(body) > MAX_BYTES:
                raise AmeliError(f"{self._server} sent an answer of more than {MAX_BYTES >> 20} MiB.")
            if time.monotonic() > deadline:
                raise self._slow()
        return bytes(body)

    def _slow(self) -> AmeliError:
        return AmeliError(
            f"{self._server} has not answered within {self._timeout:g} s.",
            hint="Type the same command again when it is less busy.",
        )

    def _judge(self, status: int) -> None:
        if status in (401, 403):
            held = "the token of" if os.environ.get(CHROMA_TOKEN) else "a request without a token, as"
            missing = "" if os.environ.get(CHROMA_TOKEN) else " is not set"
            raise AmeliError(
                f"{self._server} refuses {held} the environment variable {CHROMA_TOKEN}{missing}.",
                hint=f"Type: export {CHROMA_TOKEN}=TOKEN",
            )
        if 300 <= status < 400:
            raise AmeliError(
                f"{self._server} redirects elsewhere (HTTP {status}), which is never followed.",
                hint="Correct retrieval.chroma_url.",
            )


def _certificates(url: str) -> ssl.SSLContext | bool:
    """What proves who a server is: the certificates of the environment, else those that come with httpx."""
    if url.startswith("http:"):
        return False  # nothing is encrypted, and redirects are not followed
    own = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    return ssl.create_default_context() if own else True


def _headers() -> dict[str, str]:
    token = os.environ.get(CHROMA_TOKEN, "").strip()
    if not token.isascii() or not token.isprintable():
        raise AmeliError(
            f"The token in the environment variable {CHROMA_TOKEN} has characters that no HTTP header takes.",
            hint="A token is plain letters, digits and signs.",
        )
    plain = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
    return {**plain, "Authorization": f"Bearer {token}"} if token else plain


def _require_version(url: str, found: object) -> None:
    """Versions of one major number speak with each other; a server names that of its interface."""
    ours = chromadb.__version__.partition(".")[0]
    if not isinstance(found, str) or found.partition(".")[0] != ours:
        raise AmeliError(
            f"The Chroma server at {url} is of version {str(found)[:40]}; the installed chromadb "
            f"{chromadb.__version__} needs one of version {ours}.",
            hint="Start the server of the installed package: chroma run --path DIR",
        )
