"""A writer that fails, is killed or is overtaken leaves nothing half that anybody opens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from retrieval.index import Index
from retrieval.shared.server import Server, open_server
from retrieval.shared.sharing import share
from retrieval.shared.state import State
from retrieval.snapshot import Snapshot
from tests.retrieval.shared.chroma_process import Between
from tests.retrieval.shared.content import key, names, stamps

Count = Callable[[Dataset, Path, RetrievalConfig], dict[str, int]]


KILLED = """
import sys
from pathlib import Path
from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import load_dataset
from retrieval.building import build_index
server = {"store": "chroma-server", "chroma_url": sys.argv[3]}
config = RetrievalConfig(image_encoders=("descriptor",), **server)
build_index(load_dataset(Path(sys.argv[1])), Path(sys.argv[2]), config)
"""


def test_what_was_embedded_is_kept_before_it_is_sent(server: Server, between: Between, index: Index) -> None:
    between.answers["/upsert"] = 503, b"full"
    kept: list[Snapshot] = []
    with open_server(between.url) as failing, pytest.raises(AmeliError, match="full"):
        share(failing, index.entries, stamps(index), 4000, None, lambda: index.snapshot, kept.append)
    assert kept == [index.snapshot]
    assert names(server) == []


@pytest.mark.slow
def test_a_writer_that_is_killed(
    server: Server,
    between: Between,
    root: Path,
    dataset: Dataset,
    folder: Path,
    shared: RetrievalConfig,
    count_encoded: Count,
) -> None:
    between.delays["/upsert"] = 60
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root), str(folder), between.url], env=environment
    )
    try:
        deadline = time.monotonic() + 120
        while not any(path.endswith("/upsert") for path in between.paths):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    (half,) = names(server)
    assert half.endswith("-text")
    assert server.states() == []
    assert count_encoded(dataset, folder, shared) == {}
    (whole,) = server.states()
    assert names(server) == sorted(
        [half, f"ameli-{whole.key}", f"{whole.prefix}text", f"{whole.prefix}image-descriptor"]
    )


def test_half_written_collections_are_never_opened_and_go_after_a_day(
    first: Index, state: State, server: Server
) -> None:
    client = server._client
    now = client.heartbeat()
    half = [f"ameli-{'0' * 32}-{'1' * 16}-text", f"ameli-{state.key}-{'1' * 16}-text"]
    young = f"ameli-{'0' * 32}-{'2' * 16}-text"
    for name, age in [(half[0], 86_401), (half[1], 86_401), (young, 86_000), ("of-others", 10**6)]:
        client.create_collection(name, metadata={"begun": now - age * 10**9}, embedding_function=None)
    assert server.find("0" * 32) is None
    first.delete([20]).close()
    assert {*half, young, "of-others"} & set(names(server)) == {young, "of-others"}
    assert len(server.states()) == 2


def test_the_first_to_finish_stands(server: Server, index: Index) -> None:
    """Another linker's machine gives other last bits: everybody takes the vectors of the first."""
    theirs = replace(index.snapshot, text=np.array(index.text_vectors[:, ::-1]))
    kept: list[Snapshot] = []

    def make() -> Snapshot:
        server.publish(key(index), theirs, 4000)  # while this one embeds
        return index.snapshot

    state = share(server, index.entries, stamps(index), 4000, None, make, kept.append)
    assert [state] == server.states()
    assert len([name for name in names(server) if name.endswith("-text")]) == 1
    assert [np.array_equal(one.text, theirs.text) for one in kept] == [False, True]
