"""The rows of Table 4 over the six products, with and without a fine-tuned text encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from eval.published import published
from eval.table4.methods import ADAPTED, IMAGE, TEXT, TUNED_TEXT
from eval.table4.ranking import NOBODY, RATIOS, Table4
from retrieval.building import build_index
from retrieval.finetuning.description import DESCRIPTION
from retrieval.index import Index
from retrieval.retrievers.retriever import Query, make_queries
from tests.retrieval.tiny_sbert import write_tiny_sbert

TUNED = ["Fine-tuned SBERT", "Adapted image descriptor + fine-tuned SBERT"]


@pytest.fixture(scope="session")
def text_model(tiny_text_model: str) -> str:
    return tiny_text_model


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A text model that counts as fine-tuned: its description is beside it."""
    folder = write_tiny_sbert(tmp_path_factory.mktemp("tuned") / "model", seed=1)
    (folder / DESCRIPTION).write_text("{}")
    return str(folder)


@pytest.fixture
def index(index_with_encoders: Index) -> Index:
    return index_with_encoders


@pytest.fixture
def queries(dataset: Dataset) -> list[Query]:
    return make_queries(dataset.split("dev").reviews, dataset.review_image)


def test_rows_carry_the_keys_of_the_published_ones_in_their_order(
    index: Index, config: RetrievalConfig, tuned: str
) -> None:
    keys = [method.key for method in Table4(index, config, tuned).methods]
    assert keys[:8] == list(published("table4").rows)[:8]
    assert keys[8:] == ["tuned_sbert", "tuned_clip_tuned_sbert"]
    assert [method.key for method in Table4(index, config).methods] == keys[:8]


def test_a_fine_tuned_text_model_adds_its_rows(
    index: Index, config: RetrievalConfig, tuned: str, queries: list[Query]
) -> None:
    steps: list[tuple[str, int, int]] = []
    paper = Table4(index, config, tuned, lambda *step: steps.append(step))
    assert steps == [("texts, fine-tuned", 6, 6)]
    assert [method.name for method in paper.methods[8:]] == TUNED
    found = paper.rankings(queries, 10)
    assert found["Fine-tuned SBERT"].shape == (4, 10)
    assert (np.sort(found["Fine-tuned SBERT"][:, :6]) == np.arange(6)).all()
    assert (found["Fine-tuned SBERT"][:, 6:] == NOBODY).all()
    assert (found["Fine-tuned SBERT"] != found["Pre-trained SBERT"]).any()
    # The vectors that the queries keep are of the index's encoder, whatever was run in between.
    assert {query.text_vector.shape for query in queries if query.text_vector is not None} == {(32,)}
    assert paper.seconds.keys() == found.keys()
    assert all(seconds > 0 for seconds in paper.seconds.values())


def test_its_vectors_of_the_products_are_kept_with_the_index(
    index: Index, config: RetrievalConfig, tuned: str, queries: list[Query]
) -> None:
    first = Table4(index, config, tuned).rankings(queries, 6)["Fine-tuned SBERT"]
    steps: list[tuple[str, int, int]] = []
    again = Table4(index, config, tuned, lambda *step: steps.append(step))
    assert steps == []
    assert (again.rankings(queries, 6)["Fine-tuned SBERT"] == first).all()


def test_an_index_of_the_fine_tuned_model_ranks_as_that_model(
    dataset: Dataset,
    index: Index,
    config: RetrievalConfig,
    tuned: str,
    queries: list[Query],
    tmp_path: Path,
) -> None:
    expected = Table4(index, config, tuned).rankings(queries, 6)["Fine-tuned SBERT"]
    other = config.model_copy(update={"text_model": tuned})
    paper = Table4(build_index(dataset, tmp_path / "tuned index", other), other)
    reasons = {method.name: method.missing for method in paper.methods}
    for name in ("Pre-trained SBERT", "Image descriptor/SBERT + P(e|m)", "Adapted image descriptor + SBERT"):
        assert reasons[name] == "the index has a fine-tuned text encoder"
    assert list(reasons)[8:] == TUNED
    found = paper.rankings(make_queries(dataset.split("dev").reviews, dataset.review_image), 6)
    assert (found["Fine-tuned SBERT"] == expected).all()
    assert "Pre-trained SBERT" not in found


def test_the_reason_of_an_untrained_part_stands_at_its_rows(index: Index, config: RetrievalConfig) -> None:
    paper = Table4(index, config, untrained={ADAPTED: "no photos", TUNED_TEXT: "no time"})
    reasons = {method.key: method.missing for method in paper.methods}
    assert reasons["tuned_clip_sbert_prior"] == "no photos"
    assert reasons["tuned_sbert"] == reasons["tuned_clip_tuned_sbert"] == "no time"
    assert reasons["clip_sbert"] == ""


def test_ratios_go_from_the_image_alone_to_the_text_alone(
    index: Index, config: RetrievalConfig, queries: list[Query]
) -> None:
    paper = Table4(index, config)
    alone = paper.rankings(queries, 6)
    mixed = paper.mixtures(queries, 6)
    assert list(mixed) == [(TEXT, IMAGE)]
    rankings = mixed[TEXT, IMAGE]
    assert (len(rankings), RATIOS[0], RATIOS[-1]) == (11, 0.0, 1.0)
    assert (rankings[-1] == alone["Pre-trained SBERT"]).all()
    # Review 1 has a photo; four products have pictures, and the others come with the mean of those.
    (pictured,) = np.flatnonzero([query.review.id == 1 for query in queries])
    best = alone["Image descriptor"][pictured]
    assert rankings[0][pictured][0] == best[0]
    assert (rankings[0][pictured] != rankings[-1][pictured]).any()


def test_a_chosen_ratio_replaces_the_configured_weights(
    index: Index, config: RetrievalConfig, queries: list[Query]
) -> None:
    lopsided = config.model_copy(update={"weights": {"sbert": 1.0, "image": 1000.0}})
    paper = Table4(index, lopsided)
    configured = paper.rankings(queries, 6)
    chosen = paper.rankings(queries, 6, {(TEXT, IMAGE): 1.0})
    assert (chosen["Image descriptor/SBERT"] == chosen["Pre-trained SBERT"]).all()
    assert (configured["Image descriptor/SBERT"] != chosen["Image descriptor/SBERT"]).any()
    assert (configured["Image descriptor"] == chosen["Image descriptor"]).all()
