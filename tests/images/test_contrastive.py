"""Contrastive training of the image adapter on vectors whose right answer is known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.images.adapter import ImageAdapter
from ameli_llm.images.contrastive import TrainingSettings, train_adapter
from ameli_llm.images.pairs import ImageSearch, Others, Pairs, recall_at_1

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
    settings = TrainingSettings(epochs=0, temperature=1.0)
    apart = train_adapter(Pairs(vectors, vectors, np.array([1, 2, 3])), None, settings)[1][0].loss
    shared = train_adapter(Pairs(vectors, vectors, np.array([1, 1, 3])), None, settings)[1][0].loss
    # Cosines are 1 for the pair itself and 0 for all others: two negatives each, or 1, 1 and 2.
    assert apart == pytest.approx(math.log(math.e + 2) - 1, abs=1e-6)
    assert shared == pytest.approx((2 * math.log(math.e + 1) + math.log(math.e + 2)) / 3 - 1, abs=1e-6)


def test_candidates_of_the_batch_are_negatives_too() -> None:
    vectors = unit(np.eye(4, DIMENSION))
    others = Others(
        images=vectors[[2, 3, 1]], owner=np.array([3, 4, 2]), rows=np.array([[0, 1], [2, -1], [-1, -1]])
    )
    pairs = Pairs(vectors[:3], vectors[:3], np.array([1, 2, 3]), others)

    def loss(batch_size: int) -> float:
        settings = TrainingSettings(epochs=0, batch_size=batch_size, temperature=1.0)
        return train_adapter(pairs, None, settings)[1][0].loss or 0.0

    # Cosines are 1 between equal vectors and 0 between others. One batch: product 1 is told from the images
    # of 2 and 3 and from those of 3, 4 and 2 that were brought; 2 from those of 1 and 3 and of 3 and 4, not
    # from its own; 3 from those of 1 and 2, 4 and 2.
    five, four = math.log(math.e + 5) - 1, math.log(math.e + 4) - 1
    assert loss(3) == pytest.approx((five + four + four) / 3, abs=1e-6)
    # Batches of one: the pair's own candidates are left, of which 2's is 2 itself, and 3 has none.
    assert loss(1) == pytest.approx((math.log(math.e + 2) - 1) / 3, abs=1e-6)


def test_candidates_teach_what_the_batch_cannot() -> None:
    """Each family of products has a look of its own, so that the batch's losses are nothing from the start;
    the products of a family differ by their colour, which photos show in another place."""
    families, colours = 150, 4
    rng = np.random.default_rng(4)
    looks = unit(rng.normal(size=(families, DIMENSION)))

    def vectors(products: np.ndarray, turned: int) -> np.ndarray:
        tint = 0.5 * np.eye(colours)[(products + turned) % colours]
        return unit(np.concatenate([looks[products // colours], tint], axis=1))

    lists = np.arange(families * colours).reshape(families, colours)
    gold = lists[np.arange(families), rng.integers(colours, size=families)]
    others = np.stack([several[several != one] for several, one in zip(lists, gold, strict=True)])
    train, dev = slice(0, 100), slice(100, 150)
    shown, found = lists[train].ravel(), lists[dev].ravel()
    pairs = Pairs(vectors(gold[train], 1), vectors(gold[train], 0), gold[train])
    listed = replace(pairs, others=Others(vectors(shown, 0), shown, others[train]))
    search = ImageSearch(vectors(gold[dev], 1), np.arange(50), gold[dev], vectors(found, 0), found)
    settings = TrainingSettings(epochs=20, batch_size=16, learning_rate=0.01, bottleneck=16, temperature=0.03)
    by_batch, by_list = (train_adapter(one, search, settings)[1] for one in (pairs, listed))
    assert max(epoch.score or 0.0 for epoch in by_batch) < 0.25
    assert max(epoch.score or 0.0 for epoch in by_list) > 0.75


def test_a_checkpoint_of_other_candidates_is_refused(pairs: Pairs, dev: ImageSearch, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=1)
    rows = np.roll(np.arange(200), 1)[:, None]
    listed = replace(pairs, others=Others(pairs.entity, pairs.product, rows))
    train_adapter(listed, dev, settings, checkpoints=tmp_path)
    for other, search in (
        (pairs, dev),
        (replace(listed, others=Others(pairs.entity, pairs.product, rows[::-1])), dev),
        (listed, replace(dev, selected=True)),
    ):
        with pytest.raises(AmeliError, match="is the checkpoint of a training on other data"):
            train_adapter(other, search, settings, checkpoints=tmp_path)
    train_adapter(listed, dev, settings, checkpoints=tmp_path)


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


def test_recall_of_selected_images_looks_at_one_image_of_each_product() -> None:
    x, y, z = np.eye(3, dtype=np.float32)
    # The adapter turns x into y on the review's side: y is the best image of product 7 through the adapter,
    # but x is the most similar one without it, and then product 5 wins with its only image.
    turn = np.zeros((3, 3), dtype=np.float32)
    turn[0] = [-1, 1, 0]
    zero = np.zeros_like(turn)
    adapter = ImageAdapter(
        3,
        "paper",
        {"review.w1": np.eye(3, dtype=np.float32), "review.w2": turn, "entity.w1": zero, "entity.w2": zero},
    )
    search = ImageSearch(
        review=x[None],
        review_row=np.array([0]),
        gold=np.array([7]),
        images=unit(np.stack([x, y, y + z])),
        owner=np.array([7, 7, 5]),
    )
    assert recall_at_1(adapter, search) == 1
    assert recall_at_1(adapter, replace(search, selected=True)) == 0
    assert recall_at_1(adapter, replace(search, selected=True, gold=np.array([5]))) == 1
