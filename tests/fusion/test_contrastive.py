"""Contrastive training of the image adapter on vectors whose right answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.fusion.adapter import ImageAdapter
from ameli_llm.fusion.contrastive import ImageSearch, Pairs, TrainingSettings, recall_at_1, train_adapter

DIMENSION = 16


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def photos(products: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Review images of the products: the axes are swapped, so that the plain cosine is of no use."""
    return unit(products[:, ::-1] + 0.05 * rng.normal(size=products.shape))


@pytest.fixture
def pairs() -> Pairs:
    rng = np.random.default_rng(1)
    products = unit(rng.normal(size=(200, DIMENSION)))
    return Pairs(photos(products, rng), products, np.arange(200))


@pytest.fixture
def dev() -> ImageSearch:
    rng = np.random.default_rng(2)
    products = unit(rng.normal(size=(50, DIMENSION)))
    ids = np.arange(1000, 1050)
    return ImageSearch(photos(products, rng), np.arange(50), ids, products, ids)


SETTINGS = TrainingSettings(epochs=20, learning_rate=0.02, bottleneck=32, temperature=0.1)


def test_learns_what_the_plain_cosine_cannot_see(pairs: Pairs, dev: ImageSearch) -> None:
    adapter, history = train_adapter(pairs, dev, SETTINGS, seed=0, encoder="clip r1")
    before, after = history[0].score, recall_at_1(adapter, dev)
    assert before is not None
    assert before < 0.2
    assert after > 0.8
    assert history[-1].loss < history[0].loss
    assert (adapter.form, adapter.encoder, adapter.training["seed"]) == ("paper", "clip r1", 0)


def test_official_form_trains_too(pairs: Pairs) -> None:
    adapter, history = train_adapter(pairs, None, replace(SETTINGS, form="official", epochs=5))
    assert adapter.form == "official"
    assert history[-1].loss < history[1].loss


def test_same_seed_same_weights(pairs: Pairs) -> None:
    settings = replace(SETTINGS, epochs=2)
    first, again, other = (train_adapter(pairs, None, settings, seed=seed)[0] for seed in (5, 5, 6))
    for name, weights in first.weights.items():
        np.testing.assert_array_equal(weights, again.weights[name])
    assert any((weights != other.weights[name]).any() for name, weights in first.weights.items())


def test_training_that_does_not_help_changes_nothing(pairs: Pairs) -> None:
    rng = np.random.default_rng(3)
    products = unit(rng.normal(size=(20, DIMENSION)))
    ids = np.arange(20)
    solved = ImageSearch(products, ids, ids, products, ids)
    adapter, history = train_adapter(pairs, solved, replace(SETTINGS, patience=3))
    assert adapter.form == "identity"
    assert history[0].score == 1.0
    assert len(history) == 4, "three epochs without a better recall end the training"


def test_other_pairs_of_the_product_are_no_negatives() -> None:
    vectors = unit(np.eye(3, DIMENSION))
    settings = TrainingSettings(epochs=0)
    apart = train_adapter(Pairs(vectors, vectors, np.array([1, 2, 3])), None, settings)[1][0].loss
    shared = train_adapter(Pairs(vectors, vectors, np.array([1, 1, 3])), None, settings)[1][0].loss
    # Cosines are 1 for the pair itself and 0 for all others: two negatives each, or 1, 1 and 2.
    assert apart == pytest.approx(math.log(math.e + 2) - 1, abs=1e-6)
    assert shared == pytest.approx((2 * math.log(math.e + 1) + math.log(math.e + 2)) / 3 - 1, abs=1e-6)


def test_diverging_loss_is_an_error(pairs: Pairs) -> None:
    with pytest.raises(AmeliError, match=r"Training diverged: the loss of epoch \d+ is nan\. Use a lower"):
        train_adapter(pairs, None, replace(SETTINGS, temperature=1e-40))


def test_one_product_is_nothing_to_contrast() -> None:
    vectors = unit(np.ones((3, DIMENSION)))
    with pytest.raises(AmeliError, match=r"3 image pairs of 1 product\(s\)"):
        train_adapter(Pairs(vectors, vectors, np.zeros(3, dtype=np.int64)))


def test_vectors_that_are_no_numbers(pairs: Pairs) -> None:
    with pytest.raises(AmeliError, match="vectors of the review images are not all finite"):
        train_adapter(replace(pairs, review=pairs.review * np.float32("nan")))


def test_arrays_that_are_no_pairs() -> None:
    vectors = unit(np.ones((3, DIMENSION)))
    with pytest.raises(AmeliError, match="are not pairs"):
        train_adapter(Pairs(vectors, vectors[:2], np.arange(3)))


def test_recall_takes_the_best_pair_of_images_and_shares_ties() -> None:
    x, y, z = np.eye(3, dtype=np.float32)
    search = ImageSearch(
        review=np.stack([x, y, z, z]),
        review_row=np.array([0, 1, 1, 2]),
        gold=np.array([7, 5, 5]),
        images=np.stack([y, x, z, z]),
        owner=np.array([9, 7, 7, 5]),
    )
    # Review 0 (x) finds 7. Review 1 (y or z) ties between 9, 7 and 5, review 2 (z) between 7 and 5.
    identity = ImageAdapter.identity(3)
    assert recall_at_1(identity, search) == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    assert recall_at_1(identity, replace(search, gold=np.array([5, 9, 9]))) == pytest.approx(1 / 9)
