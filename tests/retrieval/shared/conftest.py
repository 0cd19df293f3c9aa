"""A Chroma server for the tests of a process, and an index on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ameli_llm.config import RetrievalConfig
from retrieval.index import Index
from retrieval.shared.server import Server, ef_search, open_server
from retrieval.shared.state import Shared, State, write_shared
from tests.retrieval.shared.chroma_process import Between, running, standing_between
from tests.retrieval.shared.content import key, names, open_again


@pytest.fixture(scope="session")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server."""
    with running(tmp_path_factory.mktemp("server") / "data") as url:
        yield url


@pytest.fixture(scope="session")
def opened(chroma: str) -> Iterator[Server]:
    with open_server(chroma) as server:
        yield server


@pytest.fixture
def server(opened: Server) -> Server:
    """The server, empty at first."""
    for name in names(opened):
        opened._client.delete_collection(name)
    return opened


@pytest.fixture
def between(chroma: str) -> Iterator[Between]:
    """Something that stands between a linker and the server."""
    with standing_between(chroma) as one:
        yield one


@pytest.fixture
def shared(config: RetrievalConfig, chroma: str) -> RetrievalConfig:
    """The configuration of a linker whose index is on the server."""
    return config.model_copy(update={"store": "chroma-server", "chroma_url": chroma})


@pytest.fixture
def state(server: Server, index: Index) -> State:
    """The state that the server has."""
    return server.publish(key(index), index.snapshot, ef_search(10))


@pytest.fixture
def first(state: State, index_with_encoders: Index, chroma: str) -> Iterator[Index]:
    """The index of the linker that has brought ``state`` there."""
    write_shared(index_with_encoders.place, Shared(url=chroma, state=state))
    with open_again(index_with_encoders) as index:
        yield index
