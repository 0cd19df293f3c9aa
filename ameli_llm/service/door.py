"""What every request passes first and last: its id, who may ask, bounds of its body, its line in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ameli_llm.service.access import Access
from ameli_llm.service.limits import Limits
from ameli_llm.service.logs import FIELDS
from ameli_llm.service.metrics import Metrics
from ameli_llm.service.problems import DEADLINE, INTERNAL, TOO_LARGE, Problem

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[\w.:+/=-]{1,128}", re.ASCII)
_METHODS = frozenset({"GET", "PUT", "POST", "DELETE"})
_HEADER = "X-Request-ID"


@dataclass
class Passage:
    """A request on its way: ``deadline`` by the event loop's clock, ``noted`` what the log says of it."""

    id: str
    deadline: float
    began: float = field(default_factory=time.perf_counter)
    noted: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    received: int = 0
    whole: bool = False


def passage_of(scope: Scope) -> Passage:
    """The passage of the request that is being answered."""
    passage: Passage = scope["state"]["passage"]
    return passage


class Door:
    """ASGI middleware around the whole application; whatever fails behind it becomes a problem."""

    def __init__(self, app: ASGIApp, access: Access, limits: Limits, metrics: Metrics) -> None:
        self._app = app
        self._access = access
        self._limits = limits
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(_HEADER, "")
        identifier = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        passage = Passage(identifier, asyncio.get_running_loop().time() + self._limits.seconds)
        scope.setdefault("state", {})["passage"] = passage

        async def bounded() -> Message:
            return await self._receive(passage, receive)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                passage.status = message["status"]
                MutableHeaders(scope=message)[_HEADER] = passage.id
            await send(message)

        try:
            self._check(scope["path"], headers)
            await self._app(scope, bounded, named)
        except Exception as error:
            if passage.status:  # the client has the beginning: it must see that the rest is missing
                raise
            await self._problem(error, passage).response(passage.id)(scope, receive, named)
        finally:
            self._note(scope, passage)

    def _check(self, path: str, headers: Headers) -> None:
        self._access.check(path, headers)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > self._limits.body:
            raise self._too_large()

    async def _receive(self, passage: Passage, receive: Receive) -> Message:
        """The next part of the body, while it is within its bounds of size and time."""
        if passage.whole:  # what comes now is that the client has gone, whenever that is
            return await receive()
        try:
            async with asyncio.timeout_at(passage.deadline):
                message = await receive()
        except TimeoutError:
            raise Problem(DEADLINE, f"The body has not come within {self._limits.seconds:g} s.") from None
        passage.received += len(message.get("body", b""))
        passage.whole = not message.get("more_body", False)
        if passage.received > self._limits.body:
            raise self._too_large()
        return message

    def _too_large(self) -> Problem:
        return Problem(
            TOO_LARGE, f"A body may have {self._limits.body:,} bytes.", headers={"Connection": "close"}
        )

    def _problem(self, error: Exception, passage: Passage) -> Problem:
        if isinstance(error, Problem):
            return error
        log.error("request failed", exc_info=error, extra={FIELDS: {"request_id": passage.id}})
        return Problem(INTERNAL, "The log of the service says more, under this request's id.")

    def _note(self, scope: Scope, passage: Passage) -> None:
        seconds = time.perf_counter() - passage.began
        route = getattr(scope.get("route"), "path_format", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(route, method, str(passage.status)).inc()
        self._metrics.seconds.labels(route, method).observe(seconds)
        line = {
            "request_id": passage.id,
            "method": method,
            "route": route,
            "status": passage.status,
            "seconds": round(seconds, 4),
            **passage.noted,
        }
        log.info("request", extra={FIELDS: line})
