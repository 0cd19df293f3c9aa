"""Products that are equal in everything are ordered by chance, in whatever order they entered the index."""

from __future__ import annotations

from collections import Counter

import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.types import Product, Review
from retrieval.building import build_index
from retrieval.candidates import CandidateFinder
from retrieval.index import Index
from retrieval.retrievers import RETRIEVERS

TEXTS = [name for name in RETRIEVERS.names() if name != "image"]
REVIEWS = [Review(number, "Nice lamp", "A lamp for my desk.", "lamp") for number in range(40)]


@pytest.fixture(scope="session")
def text_model(tiny_text_model: str) -> str:
    return tiny_text_model


def lamp(id_: int) -> Product:
    return Product(id_, "Acme Lamp", ("Shop", "Lamps"), "A lamp.")


@pytest.fixture(scope="module")
def bare(text_model: str) -> RetrievalConfig:
    return RetrievalConfig(image_encoder="none", text_model=text_model, pool=10)


@pytest.fixture(scope="module")
def grown(bare: RetrievalConfig, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Twenty-four equal lamps, of which most came later, and the greater ids first."""
    root = tmp_path_factory.mktemp("grown")
    index = build_index(Dataset(root, [lamp(24)]), root / "index", bare)
    for ids in (range(13, 24), range(1, 13)):
        index = index.upsert(map(lamp, reversed(ids)))
    return index


@pytest.fixture(scope="module")
def whole(bare: RetrievalConfig, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The same lamps, indexed at once."""
    root = tmp_path_factory.mktemp("whole")
    return build_index(Dataset(root, map(lamp, range(1, 25))), root / "index", bare)


def found(index: Index, config: RetrievalConfig) -> list[list[int]]:
    dataset = Dataset(index.folder, map(lamp, range(1, 25)))
    by_review = CandidateFinder(index, dataset, config).find(REVIEWS, 5)
    for candidates in by_review:
        assert len({candidate.score for candidate in candidates}) == 1
    return [[candidate.entity_id for candidate in candidates] for candidates in by_review]


@pytest.mark.parametrize("search", ["exact", "chroma"])
@pytest.mark.parametrize("name", TEXTS)
def test_it_does_not_matter_when_a_product_came(
    grown: Index, whole: Index, bare: RetrievalConfig, name: str, search: str
) -> None:
    config = bare.model_copy(update={"weights": {name: 1.0}, "search": search})
    first = found(whole, config)
    assert found(grown, config) == first
    assert len(Counter(ids[0] for ids in first)) >= 4
    assert any(ids != sorted(ids) for ids in first)
