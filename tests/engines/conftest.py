from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.engines.scripted import ScriptedServer, scripted


@pytest.fixture
def scripted_server() -> Iterator[ScriptedServer]:
    """A server of the OpenAI protocol that answers from a script, faults included."""
    with scripted() as server:
        yield server


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
