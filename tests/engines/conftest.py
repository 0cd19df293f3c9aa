from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ameli_llm.config import EngineConfig
from ameli_llm.engines import transformers
from ameli_llm.engines.transformers import Transformers
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


@pytest.fixture(scope="module")
def local(tiny_model: Path) -> Iterator[Transformers]:
    """The engine transformers with a tiny model in float32, on one thread."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made = transformers.create(EngineConfig(name="transformers", model=str(tiny_model), dtype="float32"))
    yield made
    torch.set_num_threads(threads)
    made.close()
