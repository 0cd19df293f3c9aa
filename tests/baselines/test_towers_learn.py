"""V2VEL, V2TEL and V2VTEL on a small shop: they learn, resume, and say what is wrong with their input."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ameli_llm.dataset.folds import Fold
from ameli_llm.errors import AmeliError
from ameli_llm.types import Candidate, Review
from eval.baselines import BASELINES, v2tel, v2vel, v2vtel
from eval.baselines._names import image_title
from eval.baselines._towers import WEIGHTS
from eval.baselines.baseline import Task
from eval.baselines.declared import Declared
from retrieval.manifest import EncoderStamp
from tests.baselines.towers_world import World, make_world

V2VEL = v2vel.Settings(epochs=12, learning_rate=3e-3)
V2TEL = v2tel.Settings(text="description", epochs=20, learning_rate=3e-3, batch_size=32)
BOTH = v2vtel.Settings(V2VEL, V2TEL)
PARTS: dict[str, tuple[Any, Any]] = {"v2vel": (v2vel, V2VEL), "v2tel": (v2tel, V2TEL)}
BY_CANDIDATES = {
    "v2vel by candidates": (v2vel, replace(V2VEL, negatives="candidates", images="selected")),
    "v2tel by candidates": (v2tel, replace(V2TEL, loss="candidates", images="selected")),
    "v2tel by batch and candidates": (v2tel, replace(V2TEL, loss="batch+candidates", images="selected")),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_world(tmp_path_factory.mktemp("world") / "shop")
    return replace(made, train=made.listed(made.train), dev=made.listed(made.dev))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world") / "clip", "clip")


@pytest.fixture(scope="module")
def trained(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    v2vtel.train(world.material, world.train, world.dev, out, BOTH)
    return out


@pytest.mark.parametrize("name", PARTS)
def test_dev_rises_above_untrained(world: World, trained: Path, name: str) -> None:
    module, settings = PARTS[name]
    done = module.train(world.material, world.train, world.dev, trained / name, settings)
    assert done.already
    scores = [epoch["score"] for epoch in done.history]
    assert scores[done.best] == max(scores)
    assert scores[done.best] > scores[0] + 0.05
    assert done.history[-1]["loss"] < done.history[1]["loss"]
    # Products that training never saw, ten candidates: chance is 0.1.
    assert world.accuracy(world.dev, module.create(world.material, trained / name)) > 0.4


@pytest.mark.parametrize("form", ["paper", "official"])
def test_residual_towers_where_one_model_has_both_sides(clip: World, tmp_path: Path, form: str) -> None:
    settings = replace(V2TEL, form=form)
    done = v2tel.train(clip.material, clip.train, clip.dev, tmp_path, settings)
    assert done.title == "V2TEL (CLIP)"
    baseline = v2tel.create(clip.material, tmp_path)
    assert baseline.describe()["towers"] == form
    assert done.history[done.best]["score"] > done.history[0]["score"]


@pytest.mark.parametrize("name", PARTS)
def test_same_seed_same_weights_other_seed_others(world: World, tmp_path: Path, name: str) -> None:
    module, settings = PARTS[name]
    short = replace(settings, epochs=2)
    seeds = {"a": 0, "b": 0, "c": 1}
    for out, seed in seeds.items():
        module.train(world.material, world.train, world.dev, tmp_path / out, short, seed=seed)
    a, b, c = (next((tmp_path / out).glob("*.safetensors")).read_bytes() for out in seeds)
    assert a == b != c


class _Killed(Exception):
    pass


@pytest.mark.parametrize("name", [*PARTS, *BY_CANDIDATES])
@pytest.mark.parametrize("step", [1, 7])
def test_killed_and_typed_again_is_as_uninterrupted(
    world: World, tmp_path: Path, name: str, step: int
) -> None:
    module, settings = {**PARTS, **BY_CANDIDATES}[name]
    short = replace(settings, epochs=4)

    def kill(stage: str, done: int, total: int) -> None:
        if stage == "training steps" and done == step:
            raise _Killed

    whole = module.train(world.material, world.train, world.dev, tmp_path / "whole", short)
    with pytest.raises(_Killed):
        module.train(world.material, world.train, world.dev, tmp_path / "cut", short, progress=kill)
    assert not list((tmp_path / "cut").glob("*.safetensors"))
    resumed = module.train(world.material, world.train, world.dev, tmp_path / "cut", short)
    assert resumed.history == whole.history
    a, b = (next((tmp_path / out).glob("*.safetensors")).read_bytes() for out in ("whole", "cut"))
    assert a == b
    assert sorted(p.name for p in (tmp_path / "cut").iterdir()) == sorted(
        p.name for p in (tmp_path / "whole").iterdir()
    )


@pytest.mark.parametrize("name", PARTS)
def test_another_training_is_not_overwritten(world: World, trained: Path, name: str) -> None:
    module, settings = PARTS[name]
    before = next((trained / name).glob("*.safetensors")).read_bytes()
    other = replace(settings, temperature=0.5)
    with pytest.raises(AmeliError, match=r"another training: settings.temperature 0.07 instead of 0.5\."):
        module.train(world.material, world.train, world.dev, trained / name, other)
    with pytest.raises(AmeliError, match="seed 0 instead of 1"):
        module.train(world.material, world.train, world.dev, trained / name, settings, seed=1)
    fewer = Fold("train", world.train.reviews[1:], world.train.gold)
    with pytest.raises(AmeliError, match=r"data\.train_digest"):
        module.train(world.material, fewer, world.dev, trained / name, settings)
    assert next((trained / name).glob("*.safetensors")).read_bytes() == before


def test_no_image_is_no_opinion(world: World, trained: Path) -> None:
    review, bare = world.dev.reviews[0], max(world.material.dataset.products)
    candidates = tuple(Candidate(i, 0.0) for i in (100, bare, 101))
    tasks = [
        Task(review, candidates),
        Task(Review(9999, images=("gone.txt",)), candidates),
        Task(review, ()),
    ]
    for name in ("v2vel", "v2tel"):
        seen, unseen, none = BASELINES.load(name)(world.material, trained / name).score(tasks)
        assert np.isnan(seen.total).tolist() == [False, True, False]
        assert np.isnan(unseen.total).all()
        assert none.total.shape == (0,)
    seen, unseen, none = v2vtel.create(world.material, trained).score(tasks)
    assert np.isfinite(seen.total).all()
    assert np.isnan(unseen.total).all()
    assert none.total.shape == (0,)


def test_equal_texts_have_equal_scores(world: World, tmp_path: Path, trained: Path) -> None:
    twins = {i: replace(p, description="colour 1 kind 1") for i, p in world.material.dataset.products.items()}
    other = make_world(tmp_path / "shop")
    other.material.dataset.products = twins
    scored = v2tel.create(other.material, trained / "v2tel").score(other.tasks(other.dev))
    assert all(len(set(one.total.tolist())) == 1 for one in scored)


def test_v2vtel_moves_nothing_but_the_first_five(world: World, trained: Path) -> None:
    tasks = world.tasks(world.dev, k=12)
    parts = [module.create(world.material, trained / name) for name, (module, _) in PARTS.items()]
    first, second = (part.score(tasks) for part in parts)
    moved = 0
    for one, image, text in zip(
        v2vtel.create(world.material, trained).score(tasks), first, second, strict=True
    ):
        seen = np.where(np.isnan(image.total), np.nanmean(image.total), image.total)
        before, after = np.argsort(-seen), np.argsort(-one.total)
        assert set(before[:5]) == set(after[:5])
        assert before[5:].tolist() == after[5:].tolist()
        known = [i for i in after[:5] if not np.isnan(text.total[i])]
        assert text.total[known].tolist() == sorted(text.total[known].tolist(), reverse=True)
        moved += before[:5].tolist() != after[:5].tolist()
    assert moved > len(tasks) / 2


def test_first_images_only(world: World, tmp_path: Path) -> None:
    settings = replace(V2VEL, images="first", epochs=1)
    done = v2vel.train(world.material, world.train, world.dev, tmp_path, settings)
    two = replace(world.dev.reviews[0], id=5000, images=("1.txt", "2.txt"))
    one = replace(two, id=5001, images=("1.txt",))
    candidates = tuple(Candidate(i, 0.0) for i in range(100, 110))
    baseline = v2vel.create(world.material, tmp_path)
    first, both = baseline.score([Task(one, candidates), Task(two, candidates)])
    assert first.total.tolist() == both.total.tolist()
    assert done.made_of["settings"]["images"] == "first"


def test_titles_name_the_encoders(world: World, clip: World) -> None:
    assert v2vel.title(world.material) == "V2VEL (pictures)"
    assert v2tel.title(world.material) == "V2TEL (pictures, words)"
    assert v2vtel.title(world.material) == "V2VTEL (pictures, words)"
    assert "words" not in v2tel.title(clip.material)


def test_the_record_beside_the_weights(world: World, trained: Path) -> None:
    for name, file in (("v2vel", "adapter.json"), ("v2tel", "towers.json")):
        training = json.loads((trained / name / file).read_text())["training"]
        assert training["made_of"]["seed"] == 0
        assert training["made_of"]["data"]["products"] == world.material.dataset.digest
        assert training["made_of"]["encoders"]["image"] == "pictures (revision 1)"
        assert [epoch["number"] for epoch in training["history"]] == list(range(len(training["history"])))


def _cut(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:200])


def _of_another_size(folder: Path) -> None:
    path = next(folder.glob("*.json"))
    content = json.loads(path.read_text())
    content.update(dimension=7) if "dimension" in content else content["sizes"].update(image=7)
    path.write_text(json.dumps(content))


def _of_another_encoder(folder: Path) -> None:
    path = next(folder.glob("*.json"))
    path.write_text(path.read_text().replace("pictures (revision 1)", "pictures (revision 2)"))


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: next(folder.glob("*.json")).unlink(), "Cannot read"),
        (lambda folder: next(folder.glob("*.safetensors")).unlink(), "Cannot read"),
        (lambda folder: next(folder.glob("*.json")).write_text("{"), "Invalid JSON"),
        (_cut, "are not those that the training wrote"),
        (_of_another_size, "The weights do not fit"),
        (_of_another_encoder, "trained on vectors of pictures"),
    ],
)
def test_a_folder_that_does_not_fit(
    world: World, trained: Path, tmp_path: Path, name: str, damage: Callable[[Path], object], message: str
) -> None:
    for path in (trained / name).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damage(tmp_path)
    with pytest.raises(AmeliError, match=message):
        BASELINES.load(name)(world.material, tmp_path)


@pytest.mark.parametrize("name", [*PARTS, "v2vtel"])
def test_no_folder(world: World, tmp_path: Path, name: str) -> None:
    for folder in (None, tmp_path / "gone"):
        with pytest.raises(AmeliError, match=f"ameli-llm train {name} DATASET --out DIR"):
            BASELINES.load(name)(world.material, folder)
    with pytest.raises(AmeliError, match=f"The baseline {name} has no variant 'x'"):
        Declared(name).create(world.material, tmp_path, "x", 0)


@pytest.mark.parametrize("name", PARTS)
def test_nothing_to_train_on(world: World, tmp_path: Path, name: str) -> None:
    module, settings = PARTS[name]
    blind = tuple(replace(review, id=10_000 + review.id, images=()) for review in world.train.reviews)
    fold = Fold("train", blind, {10_000 + review: gold for review, gold in world.train.gold.items()})
    with pytest.raises(AmeliError, match="are too few to contrast"):
        module.train(world.material, fold, world.dev, tmp_path, settings)
    with pytest.raises(AmeliError, match="No review of train with a readable image"):
        module.train(world.material, world.train, fold, tmp_path, settings)
    with pytest.raises(AmeliError, match="form has to be one of paper, official, not 'x'"):
        module.train(world.material, world.train, world.dev, tmp_path, replace(settings, form="x"))
    assert not (tmp_path / WEIGHTS).exists()


def test_a_loss_that_explodes(world: World, tmp_path: Path) -> None:
    wild = replace(V2TEL, learning_rate=1e25)
    with pytest.raises(AmeliError, match="Training diverged"):
        v2tel.train(world.material, world.train, world.dev, tmp_path, wild)
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("name", "model", "title"),
    [
        ("clip", "ViT-L-14/openai", "CLIP ViT-L-14"),
        ("clip", "local-dir:models/my-clip", "CLIP my-clip"),
        ("resnet", "resnet152", "resnet152"),
        ("resnet", "resnet152/models/weights.safetensors", "resnet152"),
        ("descriptor", "", "descriptor"),
    ],
)
def test_encoder_titles(name: str, model: str, title: str) -> None:
    assert image_title(EncoderStamp(name=name, model=model, revision="1", dimension=4)) == title
