"""V2VEL and V2TEL that learn from the candidates of their reviews, and what they say when there are none."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ameli_llm.dataset.folds import Fold
from ameli_llm.errors import AmeliError
from ameli_llm.training.loop import LoopSettings
from ameli_llm.types import Review
from eval.baselines import _lists, v2tel, v2vel
from eval.baselines._images import image_pairs
from eval.baselines._text_pairs import TextPairs, TextSearch
from eval.baselines._tower_training import train_towers
from eval.baselines._towers import Sizes
from eval.baselines.baseline import Floats
from tests.baselines.towers_world import World, make_world

V2VEL = v2vel.Settings(epochs=12, learning_rate=3e-3, negatives="candidates", images="selected")
V2TEL = v2tel.Settings(
    text="description", epochs=20, learning_rate=3e-3, batch_size=32, loss="candidates", images="selected"
)
PARTS: dict[str, tuple[Any, Any]] = {"v2vel": (v2vel, V2VEL), "v2tel": (v2tel, V2TEL)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_world(tmp_path_factory.mktemp("world") / "shop")
    return replace(made, train=made.listed(made.train), dev=made.listed(made.dev))


@pytest.mark.parametrize("name", PARTS)
def test_dev_rises_above_untrained(world: World, tmp_path: Path, name: str) -> None:
    module, settings = PARTS[name]
    done = module.train(world.material, world.train, world.dev, tmp_path, settings)
    scores = [epoch["score"] for epoch in done.history]
    assert scores[done.best] == max(scores) > scores[0] + 0.05
    assert done.history[-1]["loss"] < done.history[1]["loss"]
    assert done.measure == {"v2vel": "R@1", "v2tel": "F1"}[name]
    # Products that training never saw, ten candidates: chance is 0.1.
    assert world.accuracy(world.dev, module.create(world.material, tmp_path)) > 0.4


def test_f1_on_dev_is_that_of_the_baseline_on_the_lists_with_gold(world: World, tmp_path: Path) -> None:
    done = v2tel.train(world.material, world.train, world.dev, tmp_path, V2TEL)
    tasks = [one for one in world.tasks(world.dev) if world.dev.gold[one.review.id] != 129]
    scored = v2tel.create(world.material, tmp_path).score(tasks)
    hits = [
        task.entity_ids[int(np.nan_to_num(one.total, nan=-9).argmax())] == world.dev.gold[task.review.id]
        for task, one in zip(tasks, scored, strict=True)
    ]
    assert done.dev_reviews == len(tasks)
    assert done.history[done.best]["score"] == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("name", PARTS)
def test_other_candidates_are_another_training(world: World, tmp_path: Path, name: str) -> None:
    module, settings = PARTS[name]
    short = replace(settings, epochs=2)
    module.train(world.material, world.train, world.dev, tmp_path, short)
    other = world.listed(world.train, seed=1)
    with pytest.raises(
        AmeliError, match=r"another training: data\.train_candidates '\w+' instead of '\w+'\. "
    ):
        module.train(world.material, other, world.dev, tmp_path, short)
    with pytest.raises(AmeliError, match=r"data\.dev_candidates"):
        module.train(world.material, world.train, world.listed(world.dev, seed=1), tmp_path, short)


@pytest.mark.parametrize("module", [v2vel, v2tel])
def test_candidates_that_are_not_looked_at_do_not_matter(world: World, tmp_path: Path, module: Any) -> None:
    settings = module.Settings(epochs=1, **({"text": "description"} if module is v2tel else {}))
    assert not settings.needs_candidates
    bare = [replace(fold, candidates={}) for fold in (world.train, world.dev)]
    done = module.train(world.material, *bare, tmp_path, settings)
    assert "train_candidates" not in done.made_of["data"]
    assert module.train(world.material, world.train, world.dev, tmp_path, settings).already


def fold(lists: dict[int, tuple[int, ...]], gold: int = 1) -> Fold:
    return Fold("train", tuple(Review(one) for one in lists), dict.fromkeys(lists, gold), lists)


def test_gold_takes_the_last_place_of_a_training_list_that_lacks_it() -> None:
    lists = {7: (2, 1, 3, 4), 8: (2, 3, 4, 5), 9: (3, 1), 10: (), 11: (6, 5)}
    expected = {7: (2, 3, 4), 8: (2, 3, 4), 9: (3,), 10: (), 11: (6, 5)}
    assert _lists.others(fold(lists)) == expected
    assert _lists.retrieved(fold(lists)) == lists


def test_a_gold_product_that_retrieval_missed_is_trained_on_and_not_chosen_on(
    world: World, tmp_path: Path
) -> None:
    def missed(fold: Fold) -> Fold:
        first = fold.reviews[0].id
        kept = tuple(one for one in fold.candidates[first] if one != fold.gold[first])
        return replace(fold, candidates={**fold.candidates, first: kept})

    settings = replace(V2TEL, epochs=1)
    usual = v2tel.train(world.material, world.train, world.dev, tmp_path / "a", settings)
    train, dev = missed(world.train), missed(world.dev)
    done = v2tel.train(world.material, train, dev, tmp_path / "b", settings)
    assert (done.pairs, done.dev_reviews) == (usual.pairs, usual.dev_reviews - 1)


def test_the_negatives_of_a_pair_are_the_most_similar_images_of_its_candidates(tmp_path: Path) -> None:
    world = make_world(tmp_path / "shop", views=3)
    train = world.listed(world.train)
    lists, shown = _lists.others(train), world.material.product_images
    pairs = image_pairs(world.material, train, others=lists)
    reviews = [one.id for one in train.reviews if train.gold[one.id] != 129]
    assert pairs.others is not None
    places = []
    for photo, row, review in zip(pairs.review, pairs.others.rows, reviews, strict=True):
        there = row[row >= 0]
        known = [one for one in lists[review] if one != 129]
        nearest = [(shown(one) @ photo).argmax() for one in known]
        expected = [shown(one)[place].tolist() for one, place in zip(known, nearest, strict=True)]
        assert [world.material.index.product_ids[row] for row in pairs.others.owner[there]] == known
        assert pairs.others.images[there].tolist() == expected
        places += nearest
    assert set(places) == {0, 1, 2}


def test_lists_teach_what_the_batch_cannot() -> None:
    """Each family of products has a look of its own, so that the batch's losses are nothing from the start;
    the products of a family differ by their colour, which photos show in another place than texts do."""
    families, colours, size = 150, 4, 24
    random = np.random.default_rng(0)
    looks = random.standard_normal((families, size - colours))
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)

    def vectors(products: Floats, turned: int, noise: float) -> Floats:
        tint = 0.5 * np.eye(colours)[(products % colours + turned) % colours]
        whole = np.concatenate([looks[products // colours], tint], axis=1)
        whole = whole / np.linalg.norm(whole, axis=1, keepdims=True)
        return (whole + noise * random.standard_normal(whole.shape)).astype(np.float32)

    texts = vectors(np.arange(families * colours), 0, 0)
    gold = np.arange(families) * colours + random.integers(colours, size=families)
    photos = vectors(gold, 1, 0.02)
    lists = np.arange(families * colours).reshape(families, colours)
    others = np.stack([several[several != one] for several, one in zip(lists, gold, strict=True)])
    train, dev = slice(0, 100), slice(100, 150)
    search = TextSearch(photos[dev], np.arange(50), gold[dev], np.ones(len(texts), np.int64), lists[dev])

    def best(against: np.ndarray | None, own: bool = False) -> float:
        pairs = TextPairs(photos[train], gold[train], against, own)
        sizes = Sizes(size, size, 16, size)
        loop = LoopSettings(epochs=10, batch_size=16, learning_rate=1e-2)
        history = train_towers(
            "paper", sizes, texts, pairs, search, loop, 0.03, identity="", checkpoints=None
        )[1]
        return max(epoch.score or 0.0 for epoch in history)

    chance = 1 / colours
    assert best(None) < chance
    assert best(others[train]) > 3 * chance
    assert best(others[train], own=True) > 3 * chance


@pytest.mark.parametrize("name", PARTS)
def test_no_candidates(world: World, tmp_path: Path, name: str) -> None:
    module, settings = PARTS[name]
    settings = replace(settings, images="all")
    bare = replace(world.train, candidates={})
    with pytest.raises(AmeliError, match=r"every review of train: \d+ has none\. .* with --candidates DIR"):
        module.train(world.material, bare, world.dev, tmp_path, settings)
    part = dict(list(world.dev.candidates.items())[1:])
    if name == "v2tel":
        with pytest.raises(AmeliError, match=f"every review of dev: {world.dev.reviews[0].id} has none"):
            module.train(world.material, world.train, replace(world.dev, candidates=part), tmp_path, settings)


@pytest.mark.parametrize("name", PARTS)
def test_no_list_with_two_candidates(world: World, tmp_path: Path, name: str) -> None:
    module, settings = PARTS[name]
    alone = replace(world.train, candidates={review: (gold,) for review, gold in world.train.gold.items()})
    with pytest.raises(AmeliError, match=r"No review of train has a candidate beside its gold product\."):
        module.train(world.material, alone, world.dev, tmp_path, settings)


def test_candidates_that_cannot_be_compared(world: World, tmp_path: Path) -> None:
    """The product 129 has neither a picture nor a text."""
    bare = replace(world.train, candidates={review: (gold, 129) for review, gold in world.train.gold.items()})
    with pytest.raises(AmeliError, match=r"No candidate beside the gold products .* has a readable image"):
        v2vel.train(world.material, bare, world.dev, tmp_path, V2VEL)
    with pytest.raises(AmeliError, match="0 pairs of a review image and 0 product"):
        v2tel.train(world.material, bare, world.dev, tmp_path, V2TEL)


def test_candidates_with_the_text_of_gold_are_not_told_from_it(tmp_path: Path) -> None:
    world = make_world(tmp_path / "shop")
    products = world.material.dataset.products
    twins = {one.id: replace(one, description="colour 1 kind 1") for one in products.values()}
    world.material.dataset.products = twins | {100: products[100]}
    settings = replace(V2TEL, epochs=1)
    train, dev = world.listed(world.train), world.listed(world.dev)
    done = v2tel.train(world.material, train, dev, tmp_path / "out", settings)
    assert 0 < done.pairs == sum(100 in train.candidates[one.id] for one in train.reviews)
    world.material.dataset.products = twins
    with pytest.raises(AmeliError, match="0 pairs of a review image"):
        v2tel.train(world.material, train, dev, tmp_path / "none", settings)


def test_nothing_to_choose_on(world: World, tmp_path: Path) -> None:
    missed = replace(world.dev, candidates=dict.fromkeys(world.dev.gold, (129,)))
    with pytest.raises(AmeliError, match="No review of dev with a readable image has its gold product among"):
        v2tel.train(world.material, world.train, missed, tmp_path, V2TEL)


def test_the_loss_of_a_pair_by_hand(tmp_path: Path) -> None:
    """Two photos and four texts on the axes, so that a cosine is 1 where both are on one axis, else 0."""
    axes = np.eye(4, dtype=np.float32)
    others = np.array([[2, -1], [2, 3]])
    search = TextSearch(axes[:1], np.array([0]), np.array([0]), np.ones(4, np.int64))

    def loss(against: np.ndarray | None, own: bool = False) -> float:
        pairs = TextPairs(axes[:2], np.array([0, 1]), against, own)
        loop = LoopSettings(epochs=1, batch_size=2, learning_rate=0.0)
        history = train_towers(
            "paper", Sizes(4, 4, 1, 4), axes, pairs, search, loop, 1.0, identity="", checkpoints=None
        )[1]
        assert history[1].loss is not None
        return history[1].loss

    def surprise(wrong: int) -> float:
        return math.log((math.e + wrong) / math.e)

    assert loss(None) == pytest.approx(surprise(1))  # the other photo's text
    assert loss(others) == pytest.approx(surprise(3))  # and both others of the batch
    assert loss(others, own=True) == pytest.approx((surprise(1) + surprise(2)) / 2)


@pytest.mark.parametrize(
    ("module", "setting", "choices"),
    [(v2vel, "negatives", "batch, candidates"), (v2tel, "loss", r"batch, batch\+candidates, candidates")],
)
def test_unknown_choice(module: Any, setting: str, choices: str) -> None:
    with pytest.raises(AmeliError, match=f"{setting} has to be one of {choices}, not 'x'"):
        module.Settings(**{setting: "x"})
