"""An index lets go of everything that it holds."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from retrieval.candidates import CandidateFinder
from retrieval.index import Index, open_index
from retrieval.retrievers import RETRIEVERS

ALL = RetrievalConfig(
    weights=dict.fromkeys(RETRIEVERS.names(), 1.0), search="chroma", prior="filter", pool=10
)


@pytest.fixture(scope="session")
def text_model(tiny_text_model: str) -> str:
    return tiny_text_model


def held(folder: Path) -> list[str]:
    """Files below ``folder`` that this process has open or mapped into memory."""
    gc.collect()
    maps = [line.partition("/") for line in Path("/proc/self/maps").read_text().splitlines()]
    mapped = [slash + path for _, slash, path in maps]
    opened = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return sorted({path for path in mapped + opened if path.startswith(f"{folder}/")})


def test_nothing_of_a_closed_index_is_held(folder: Path, dataset: Dataset, config: RetrievalConfig) -> None:
    with open_index(folder, config, dataset.digest) as index:
        finder = CandidateFinder(index, dataset, ALL)
        assert len(finder.find(dataset.split("dev").reviews, 6)) == 4
        names = {Path(path).name for path in held(folder)}
        assert {"text.npy", "image-descriptor.npy", "chroma.sqlite3", "data.csc.index.npy"} <= names
        del finder
    assert held(folder) == []


def test_another_depth_of_chroma_closes_the_one_before(index: Index) -> None:
    vectors = index.text_encoder.encode(["blender"])
    (first, _), *_ = index.nearest_texts(vectors, 2, exact=False)
    opened = held(index.folder)
    (second, _), *_ = index.nearest_texts(vectors, 3, exact=False)
    assert held(index.folder) == opened
    assert list(first) == list(second[:2])
    index.close()


def test_closing_twice_and_what_is_left(index: Index) -> None:
    _ = index.text_encoder, index.image_encoder()
    index.close()
    index.close()
    assert (len(index), len(index.entries), len(index.product_ids), len(index.rows)) == (6, 6, 6, 6)
    assert index.manifest.products == 6
    assert "text_encoder" not in vars(index)
    assert not index.loaded_image_encoders
    with pytest.raises(ValueError, match=r"The index in .* is closed\."):
        index.image_vectors()
    for name in ("text_vectors", "image_owner", "snapshot"):
        with pytest.raises(ValueError, match=r"The index in .* is closed\."):
            getattr(index, name)


def test_a_new_generation_does_not_depend_on_the_old_one(index: Index) -> None:
    after = index.delete([20])
    index.close()
    assert after.text_vectors.shape == (5, 32)
    after.close()
    assert held(index.folder) == []


def test_an_error_inside_the_block_closes_it(index: Index) -> None:
    with pytest.raises(RuntimeError, match="stop"), index:
        raise RuntimeError("stop")
    with pytest.raises(ValueError, match="closed"):
        _ = index.snapshot
