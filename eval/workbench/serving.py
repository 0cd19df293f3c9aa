"""Runs the page's server on this machine until it is interrupted."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.interruption import safe_point

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HOST = "127.0.0.1"
EXTRA = "workbench"


def require_server() -> None:
    """Raises MissingPackageError when a package that the page needs is not installed."""
    for package in ("starlette", "uvicorn"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingPackageError(package, EXTRA) from error


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """A socket of this machine at ``port``, 0 for any that is free. Raises AmeliError when it is taken."""
    with contextlib.closing(socket.socket()) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((HOST, port))
        except OSError as error:
            raise AmeliError(
                f"Port {port} cannot be used: {error.strerror}.", hint="Give another --port, 0 for any."
            ) from error
        yield opened


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def serve(app: ASGIApp, opened: socket.socket, ready: Callable[[], object]) -> None:
    """Answers until a signal arrives, which is raised again at the end; first calls ``ready``."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    opened.listen()  # who comes before the server runs waits for it
    ready()
    uvicorn.Server(config).run(sockets=[opened])
    safe_point()  # uvicorn raises the signal again when it has stopped
