"""What has been changed on the server by others is found, named and made again."""

from __future__ import annotations

import numpy as np
import pytest

from ameli_llm.errors import AmeliError
from retrieval.index import Index
from retrieval.shared.server import Server, StateDamagedError
from retrieval.shared.sharing import share
from retrieval.shared.state import State
from retrieval.snapshot import Snapshot
from tests.retrieval.shared.content import equal, names, never, stamps


def damage(server: Server, state: State, what: str) -> None:
    client = server._client
    texts = client.get_collection(f"{state.prefix}text", embedding_function=None)
    marker = client.get_collection(f"ameli-{state.key}", embedding_function=None)
    if what == "a vector":
        texts.update(ids=["20"], embeddings=np.full((1, 384), 0.05, np.float32))
    elif what == "a great number":
        texts.update(ids=["20"], embeddings=np.full((1, 384), 1e30, np.float32))
    elif what in ("a record less", "another record"):
        texts.delete(ids=["20"])
        if what == "another record":
            texts.add(ids=["21"], embeddings=np.full((1, 384), 0.05, np.float32))
    elif what == "a reason":
        texts.update(ids=["20"], metadatas=[{"image_problems": '["haunted"]'}])
    elif what == "a usable image":
        texts.update(ids=["20"], metadatas=[{"image_problems": '["truncated"]'}])
    elif what == "a collection":
        client.delete_collection(f"{state.prefix}image-descriptor")
    elif what == "the marker":
        marker.modify(metadata={"state": "[" * 1000})
    else:
        other = state.model_copy(update={"key": "0" * 32})
        marker.modify(metadata={"state": other.model_dump_json()})


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("a vector", "its vectors are not those that were written"),
        ("a great number", "the collection of text has vectors that no encoder makes"),
        ("a record less", "the collection of text has other records or is not there"),
        ("another record", "the collection of text has other records or is not there"),
        ("a reason", "it has an image that is unusable for no known reason"),
        ("a usable image", "it is of other products or images"),
        ("a collection", "the collection of image-descriptor has other records or is not there"),
        ("the marker", "its marker cannot be read"),
        ("the key", "its marker is of 00000000000000000000000000000000"),
    ],
)
def test_it_is_found_and_made_again(
    what: str,
    message: str,
    state: State,
    index: Index,
    server: Server,
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(server, state, what)
    kept: list[Snapshot] = []
    share(server, index.entries, stamps(index), 4000, None, lambda: index.snapshot, kept.append)
    assert f"The index ameli-{state.key} on the Chroma server at " in caplog.text
    assert f"is damaged: {message}. " in caplog.text
    assert kept == [index.snapshot]
    share(server, index.entries, stamps(index), 4000, None, never, kept.append)
    assert equal(kept[1], index.snapshot)


def test_whoever_holds_it_notices_when_it_asks(first: Index, state: State, server: Server) -> None:
    damage(server, state, "a record less")
    with pytest.raises(StateDamagedError, match=r"of text is not whole\. Type: ameli-llm index"):
        first.nearest_texts(first.text_vectors, 1, exact=False)
    server.remove(state.key)
    assert names(server) == []
    with pytest.raises(AmeliError, match="has not the vectors that the exports here are of"):
        first.nearest_texts(first.text_vectors, 1, exact=False)
