"""Runs the service: a socket, uvicorn, and an end that finishes what has begun."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from ameli_llm.errors import AmeliError
from ameli_llm.interruption import Interrupted, safe_point
from ameli_llm.service.limits import Limits
from ameli_llm.service.logs import FIELDS

log = logging.getLogger(__name__)

_KEEP_ALIVE = 5
_GRACE = 5
"""Seconds beyond the deadline of a request that a stop waits for answers to be sent."""


def listen(host: str, port: int) -> socket.socket:
    """A socket at that place; port 0 is a free one. Raises AmeliError."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        hint = "Name another one with --host and --port; --port 0 takes a free port."
        raise AmeliError(f"Cannot listen on {host}, port {port}: {error.strerror}.", hint=hint) from None
    return listening


def address(listening: socket.socket) -> str:
    """Where the service is found, as http://127.0.0.1:8000."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    """Serves until SIGTERM or Ctrl-C, then finishes every request that has begun."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(limits.seconds) + _GRACE,
    )
    with suppress(Interrupted):  # uvicorn raises the signal again when it has stopped
        _Server(config).run(sockets=[listening])
        safe_point()


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            log.info("serving", extra={FIELDS: {"address": address(sockets[0])}})
