"""A second linker takes the index of the first from the server; changes are states of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from retrieval.building import build_index
from retrieval.generations import current
from retrieval.index import Index, open_index
from retrieval.shared.server import Server
from retrieval.shared.sharing import share
from retrieval.shared.state import Shared, State, write_shared
from retrieval.snapshot import Snapshot
from tests.retrieval.shared.chroma_process import Between
from tests.retrieval.shared.content import equal, names, never, open_again, stamps

Count = Callable[[Dataset, Path, RetrievalConfig], dict[str, int]]


def test_a_second_linker_embeds_nothing_and_finds_the_same(
    first: Index, dataset: Dataset, shared: RetrievalConfig, count_encoded: Count, tmp_path: Path
) -> None:
    assert count_encoded(dataset, tmp_path / "second", shared) == {}
    queries = np.array(first.text_vectors)  # else BLAS sees a matrix and its own transpose
    with open_index(tmp_path / "second", shared, dataset.digest) as second:
        assert equal(first.snapshot, second.snapshot)
        assert second.manifest == first.manifest
        assert not (second.place / "chroma").exists()
        for exact in (True, False):
            found = [index.nearest_texts(queries, 3, exact=exact) for index in (first, second)]
            for (rows, scores), (other_rows, other_scores) in zip(*found, strict=True):
                assert rows.tolist() == other_rows.tolist()
                assert np.array_equal(scores, other_scores)
            assert [rows[0] for rows, _ in found[0]] == list(range(6))


@pytest.mark.slow
def test_up_to_date_nothing_is_written(
    first: Index, dataset: Dataset, shared: RetrievalConfig, server: Server, count_encoded: Count
) -> None:
    before = names(server)
    assert count_encoded(dataset, first.folder, shared) == {}
    assert (current(first.folder), names(server)) == (first.place, before)


@pytest.mark.slow
def test_unusable_images_have_their_reasons_there(
    server: Server,
    root: Path,
    dataset: Dataset,
    shared: RetrievalConfig,
    count_encoded: Count,
    tmp_path: Path,
) -> None:
    (root / "product_images" / "10-0.png").write_bytes(b"")
    (root / "product_images" / "30-0.png").unlink()
    with build_index(dataset, tmp_path / "a", shared) as one:
        assert count_encoded(dataset, tmp_path / "b", shared) == {}
        with open_index(tmp_path / "b", shared) as other:
            assert equal(one.snapshot, other.snapshot)
            assert other.manifest.unusable_images == 2


@pytest.mark.slow
def test_without_images(
    server: Server, dataset: Dataset, shared: RetrievalConfig, count_encoded: Count, tmp_path: Path
) -> None:
    config = shared.model_copy(update={"image_encoders": ()})
    with build_index(dataset, tmp_path / "a", config) as one:
        assert count_encoded(dataset, tmp_path / "b", config) == {}
        with open_index(tmp_path / "b", config) as other:
            assert equal(one.snapshot, other.snapshot)


def test_a_folder_is_of_one_store_at_a_time(
    first: Index, config: RetrievalConfig, shared: RetrievalConfig
) -> None:
    with pytest.raises(AmeliError) as caught:
        open_index(first.folder, config)
    assert str(caught.value) == (
        f"The index in {first.folder} is kept on the Chroma server {shared.chroma_url}, the "
        "configuration asks for one in its own folder. Type: ameli-llm index DATASET --config FILE; "
        "nothing is embedded anew. --out names another folder."
    )
    (first.place / "server.json").unlink()
    with pytest.raises(AmeliError, match="kept in its own folder, the configuration asks for one on the"):
        open_index(first.folder, shared)
    (first.place / "server.json").write_text("{}")
    with pytest.raises(AmeliError, match=r"is damaged: server\.json cannot be read"):
        open_index(first.folder, shared)


@pytest.mark.slow
def test_from_server_to_folder_and_back(
    first: Index,
    dataset: Dataset,
    config: RetrievalConfig,
    shared: RetrievalConfig,
    count_encoded: Count,
) -> None:
    for chosen in (config, shared, config):
        assert count_encoded(dataset, first.folder, chosen) == {}
        with open_index(first.folder, chosen) as index:
            found = index.nearest_texts(index.text_vectors, 1, exact=False)
            assert [rows[0] for rows, _ in found] == list(range(6))


def test_a_larger_pool_than_it_was_made_for(state: State, server: Server, index: Index) -> None:
    assert state.ef_search == 4000
    server.require_searchable(state, 5000)  # of six products, every one is looked at
    server.remove(state.key)
    narrow = server.publish(state.key, index.snapshot, 8)
    with pytest.raises(AmeliError, match="pool of at most 2, the configuration asks for 3"):
        server.require_searchable(narrow, 3)


def test_a_change_is_a_state_of_its_own_which_others_take(
    first: Index, workshop: Any, records: list[dict[str, Any]], server: Server
) -> None:
    records[1]["product_name"] = "Acme - Breeze 301 Blender - Blue"
    changed = workshop.dataset([*records[:3], *records[4:]])
    with first.changed([changed.products[20]], [40], changed.product_image, changed.digest) as after:
        assert {one.products for one in server.states()} == {5, 6}
        kept: list[Snapshot] = []
        share(server, after.entries, stamps(after), 4000, None, never, kept.append)
        assert len(kept) == 1
        assert equal(kept[0], after.snapshot)
        assert after.nearest_texts(after.text_vectors, 1, exact=False)[0][0].tolist() == [0]
    assert first.nearest_texts(first.text_vectors, 1, exact=False)[5][0].tolist() == [5]


def test_a_change_that_the_server_does_not_take_is_none(first: Index, state: State, between: Between) -> None:
    write_shared(first.place, Shared(url=between.url, state=state))
    index = open_again(first)
    between.answers["/upsert"] = 500, b'{"error": "InternalError", "message": "disk full"}'
    with pytest.raises(AmeliError, match="failed, or is no Chroma server: disk full"):
        index.delete([20])
    assert current(index.folder) == index.place
    between.answers.clear()
    assert len(index.delete([20])) == 5
