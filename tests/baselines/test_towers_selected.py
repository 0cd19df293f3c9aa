"""One image a side, selected without the adapter: by the candidates, or by gold as officially in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ameli_llm.dataset.folds import Fold
from ameli_llm.errors import AmeliError
from ameli_llm.images.adapter import ImageAdapter
from ameli_llm.images.pairs import recall_at_1
from ameli_llm.types import Candidate, Review
from eval.baselines import _lists, v2tel, v2vel, v2vtel
from eval.baselines._images import image_pairs, image_search, review_images
from eval.baselines.baseline import Example, Task
from tests.baselines.towers_world import KINDS, SIZE, World, make_world

RED, BLUE = (0, 0), (3, 2)


def product(look: tuple[int, int]) -> int:
    return 100 + look[0] * KINDS + look[1]


BARE, OTHER = 129, product((4, 4))
BOTH = Review(9001, images=("blue.txt", "red.txt"))
"""A review with a picture of a blue thing and then one of a red thing."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_world(tmp_path_factory.mktemp("world") / "shop", views=2)
    for name, (colour, kind) in (("red", RED), ("blue", BLUE)):
        (made.material.dataset.root / "review_images" / f"{name}.txt").write_text(f"{colour} {kind} 0")
    return made


def task(review: Review, *products: int) -> Task:
    return Task(review, tuple(Candidate(one, 0.0) for one in products))


def adapter(seed: int = 3) -> ImageAdapter:
    """A map that has nothing to do with what is similar without it."""
    random = np.random.default_rng(seed)
    shapes = {"w1": (SIZE, SIZE), "w2": (SIZE, SIZE)}
    return ImageAdapter(
        SIZE,
        "paper",
        {
            f"{side}.{name}": random.normal(size=shape).astype(np.float32)
            for side in ("review", "entity")
            for name, shape in shapes.items()
        },
    )


def baseline(world: World, **settings: Any) -> v2vel.V2VEL:
    return v2vel.V2VEL(world.material, adapter(), v2vel.Settings(**{"images": "selected", **settings}))


@pytest.mark.parametrize(
    ("beside", "position"),
    [
        ([product(RED)], 1),
        ([product(BLUE)], 0),
        ([BARE, product(RED), OTHER], 1),
        ([BARE], 0),
        ([], 0),
    ],
)
def test_the_review_image_is_the_one_most_like_the_products_beside_it(
    world: World, beside: list[int], position: int
) -> None:
    (whole,) = review_images(world.material, [BOTH], "all")
    (found,) = review_images(world.material, [BOTH], "selected", beside={BOTH.id: beside})
    assert found.tolist() == [whole[position].tolist()]
    # Where nothing is selected, the products beside it do not matter.
    for images in ("all", "first"):
        given, none = (
            review_images(world.material, [BOTH], images, beside=one)[0] for one in ({BOTH.id: beside}, {})
        )
        assert given.tolist() == none.tolist()


def test_the_pair_is_selected_without_the_adapter_and_scored_through_it(world: World) -> None:
    (photos,) = review_images(world.material, [BOTH], "all")
    candidates = (product(RED), product(BLUE), BARE, OTHER)
    photo = photos[(photos @ world.material.product_images(product(RED)).T).max(axis=1).argmax()][None]
    expected = []
    for one in (product(RED), BARE, OTHER):
        shown = world.material.product_images(one)
        if len(shown):
            nearest = shown[(photo @ shown.T).argmax()][None]
            expected.append((adapter().review(photo) @ adapter().entity(nearest).T).item())
        else:
            expected.append(np.nan)
    (scored,) = baseline(world).score([task(BOTH, product(RED), BARE, OTHER)])
    np.testing.assert_allclose(scored.total, expected, rtol=1e-5)
    (every,) = baseline(world, images="all").score([task(BOTH, *candidates)])
    (selected,) = baseline(world).score([task(BOTH, *candidates)])
    assert np.isnan(every.total).tolist() == np.isnan(selected.total).tolist() == [False, False, True, False]
    assert (selected.total[[0, 1, 3]] < every.total[[0, 1, 3]]).any(), "the adapter would select another pair"


def test_two_tasks_of_one_review_each_select_by_their_own_candidates(world: World) -> None:
    red, blue = task(BOTH, product(RED), OTHER), task(BOTH, product(BLUE), OTHER)
    together = [one.total.tolist() for one in baseline(world).score([red, blue])]
    assert together == [baseline(world).score([one])[0].total.tolist() for one in (red, blue)]


def test_gold_selects_on_dev_only_and_only_where_training_did_so(world: World) -> None:
    seen = task(BOTH, product(BLUE), OTHER)
    missed, found = Example(seen, product(RED)), Example(seen, product(BLUE))
    honest, leaking = baseline(world), baseline(world, gold_image=True)
    by_candidates = honest.score([seen])[0].total.tolist()
    # A reported split has tasks, which have no gold.
    assert leaking.score([seen])[0].total.tolist() == by_candidates
    for example in (missed, found):
        assert honest.score_examples([example])[0].total.tolist() == by_candidates
    assert leaking.score_examples([found])[0].total.tolist() == by_candidates
    by_gold = leaking.score_examples([missed])[0].total.tolist()
    assert by_gold != by_candidates
    red_alone = Review(9002, images=("red.txt",))
    assert by_gold == honest.score([task(red_alone, product(BLUE), OTHER)])[0].total.tolist()


def test_training_pairs_are_of_the_selected_images(world: World) -> None:
    gold = product(RED)
    fold = Fold("train", (BOTH,), {BOTH.id: gold})
    (photos,) = review_images(world.material, [BOTH], "all")
    for beside, position in (([gold], 1), ([product(BLUE)], 0)):
        pairs = image_pairs(world.material, fold, "selected", beside={BOTH.id: beside})
        shown = world.material.product_images(gold)
        assert pairs.review.tolist() == [photos[position].tolist()]
        assert pairs.entity.tolist() == [shown[(photos[position] @ shown.T).argmax()].tolist()]
    assert len(image_pairs(world.material, fold, "all").review) == 2


def distracted(world: World, fold: Fold) -> Fold:
    """Reviews that show a red and a blue thing before their own."""
    reviews = tuple(
        replace(one, id=one.id + 5000, images=(*BOTH.images, *one.images)) for one in fold.reviews
    )
    return Fold(fold.name, reviews, {review + 5000: gold for review, gold in fold.gold.items()})


@pytest.mark.parametrize("gold_image", [True, False])
def test_trained_by_the_gold_image_or_by_the_candidates(
    world: World, tmp_path: Path, gold_image: bool
) -> None:
    train, dev = (distracted(world, fold) for fold in (world.train, world.dev))
    if not gold_image:
        train, dev = world.listed(train), world.listed(dev)
    images = {"images": "selected", "gold_image": gold_image, "epochs": 2}
    settings = v2vtel.Settings(v2vel.Settings(**images), v2tel.Settings(text="description", **images))
    assert settings.needs_candidates is not gold_image
    done = v2vtel.train(world.material, train, dev, tmp_path, settings)
    reviews = sum(gold != BARE for gold in train.gold.values())
    assert [part.pairs for part in done.parts] == [reviews, reviews], "one image of three a review"
    search = image_search(world.material, dev, "selected", beside=_lists.beside(dev, "selected", gold_image))
    by_first = replace(search, review=image_search(world.material, dev, "first").review)
    identity = ImageAdapter.identity(SIZE)
    untrained = done.parts[0].history[0]["score"]
    assert untrained == recall_at_1(identity, search) != recall_at_1(identity, by_first)
    described = v2vtel.create(world.material, tmp_path).describe()
    leaks = ["image_chosen_with_gold"] if gold_image else []
    assert described["leaks"] == described["v2vel"]["leaks"] == described["v2tel"]["leaks"] == leaks
    for part in done.parts:
        assert part.made_of["settings"]["gold_image"] is gold_image
        assert ("train_candidates" in part.made_of["data"]) is not gold_image


@pytest.mark.parametrize("module", [v2vel, v2tel])
def test_settings_that_are_not_possible(module: Any) -> None:
    for images in ("all", "first"):
        with pytest.raises(AmeliError, match=f"but images is '{images}'. Set images to selected, or leave"):
            module.Settings(images=images, gold_image=True)
    with pytest.raises(AmeliError, match="images has to be one of all, first, selected, not 'best'"):
        module.Settings(images="best")


@pytest.mark.parametrize("module", [v2vel, v2tel])
def test_selecting_without_candidates(world: World, tmp_path: Path, module: Any) -> None:
    settings = module.Settings(images="selected")
    folds = {"train": world.listed(world.train), "dev": world.listed(world.dev)}
    for name in folds:
        given = [getattr(world, one) if one == name else folds[one] for one in folds]
        with pytest.raises(AmeliError, match=rf"candidates of every review of {name}: \d+ has none.*--cand"):
            module.train(world.material, *given, tmp_path, settings)
    assert not list(tmp_path.glob("*.safetensors"))
