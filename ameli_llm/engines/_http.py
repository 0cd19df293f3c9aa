"""HTTP to a server that is not trusted: what goes along with a request, and how much of an answer is read."""

from __future__ import annotations

import json
import os
import ssl
from typing import Any

import openai

from ameli_llm import __version__
from ameli_llm.address import problem_of
from ameli_llm.engines._reply import one_line
from ameli_llm.errors import AmeliError
from ameli_llm.untrusted import read_json

VLLM_KEY = "VLLM_API_KEY"
"""The variable of the environment with the key of a vLLM server."""

_SECRET = 8
"""Characters of a key that is worth keeping; what is shorter ("none", "EMPTY") stands for no key."""

MAX_BYTES = 2 << 20
"""Of one answer: some hundred times the longest reply that any template allows."""


class RefusedReplyError(Exception):
    """An answer that is not read, whatever it says: a redirect, a compressed body or an oversized one."""


class Client(openai.AsyncOpenAI):
    """openai's client as far as it carries requests; of the environment only ``key_variable`` is read.

    openai's own variables (organisation, project, keys, headers), proxies and .netrc are not for this server.
    A redirect is never followed, no compressed body is taken apart, and a body is read up to ``MAX_BYTES``:
    all three raise RefusedReplyError. A key that a server repeats is blotted out, so that no message and no
    run has it. ``timeout`` is in seconds. Raises AmeliError on a malformed key.
    """

    def __init__(self, base_url: str, timeout: float, key_variable: str = VLLM_KEY) -> None:
        key = _key(key_variable)
        super().__init__(
            base_url=base_url,
            api_key=key,
            timeout=openai.Timeout(timeout, connect=min(10.0, timeout)),
            max_retries=0,
            http_client=_Http(key if len(key) >= _SECRET else ""),
        )

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        """All headers that are not HTTP's own; openai would add those of its variables here."""
        return {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {self.api_key}",
            "Content-Type": "application/json",
            "User-Agent": f"ameli-llm/{__version__}",
        }


class _Http(openai.DefaultAsyncHttpxClient):
    def __init__(self, secret: str) -> None:
        self._secret = secret
        own_certificates = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
        super().__init__(
            trust_env=False,
            follow_redirects=False,
            verify=ssl.create_default_context() if own_certificates else True,
            event_hooks={"response": [self._refuse_redirect]},
        )

    async def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        """The answer with its body read; of its headers only Retry-After is kept."""
        response = await super().send(request, stream=True, **options)
        try:
            body = await _bounded(response)
        finally:
            await response.aclose()
        if self._secret:
            body = body.replace(self._secret.encode(), b"[key]")
        # The charset of an answer could name a decompressor: JSON is UTF-8, whatever the server says.
        headers = {"Content-Type": "application/json; charset=utf-8"}
        wait = response.headers.get("Retry-After", "")
        if wait and wait.isascii():
            headers["Retry-After"] = wait
        content = body if response.status_code < 400 else _error_body(body)
        return type(response)(response.status_code, headers=headers, content=content, request=request)

    async def _refuse_redirect(self, response: Any) -> None:
        if 300 <= response.status_code < 400:
            target = response.headers.get("Location", "")
            secret = bool(self._secret) and self._secret in target
            where = "another address" if secret or not target or problem_of(target) else one_line(target)
            raise RefusedReplyError(
                f"HTTP {response.status_code} redirects to {where}, and redirects are never followed"
            )


async def _bounded(response: Any) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise RefusedReplyError(
            f"the reply is compressed ({one_line(encoding)[:40]}), which was not asked for"
        )
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise RefusedReplyError(f"the reply is larger than {MAX_BYTES >> 20} MiB")
    return bytes(body)


def _error_body(body: bytes) -> bytes:
    """The message of an error in the one form that openai's client reads."""
    try:
        content = read_json(body)
    except ValueError:
        content = None
    content = content.get("error", content) if isinstance(content, dict) else None
    found = (content.get("message") or content.get("detail")) if isinstance(content, dict) else None
    message = found if isinstance(found, str) else json.dumps(found) if found else ""
    return json.dumps({"message": one_line(message)}).encode()


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable():
        raise AmeliError(
            f"The key in the environment variable {variable} has characters that no HTTP header takes.",
            hint="A key is plain letters, digits and signs.",
        )
    return key or "none"
