"""AMELINK trained, saved, loaded and asked on a small shop: a tiny DeBERTa, and the packaged MiniLM."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.images.weights import WeightsDamagedError
from ameli_llm.types import Candidate
from eval.baselines import amelink
from eval.baselines.amelink.combination import expected_hits
from eval.baselines.amelink.models import Summary
from eval.baselines.amelink.settings import MINILM, AmelinkSettings
from eval.baselines.amelink.training import loop_settings
from eval.baselines.amelink.variants import VARIANTS, text_model
from eval.baselines.baseline import Baseline, Example, Scored
from eval.baselines.material import Material
from tests.baselines.amelink_world import (
    PRODUCTS,
    copy_folder,
    make_examples,
    make_material,
    tiny_settings,
    write_tiny_deberta,
)

TRAIN, DEV, TEST = range(0, 28), range(28, 38), range(38, PRODUCTS)


class World:
    """The shop, its reviews, and the encoders that the tests make."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.material = make_material(root / "data")
        self.train = self.examples(TRAIN, 1, stated=False)
        self.dev = self.examples(DEV, 2, stated=False)
        self.deberta = write_tiny_deberta(root / "deberta")

    def examples(self, products: range, seed: int, stated: bool) -> list[Example]:
        return make_examples(self.root / "data", products, seed=seed, stated=stated)

    def fit(self, out: str, settings: AmelinkSettings, *variants: str) -> Summary:
        return amelink.train(self.material, self.train, self.dev, self.root / out, settings, variants)

    def make(self, out: str, variant: str = "full") -> Baseline:
        return amelink.create(self.material, self.root / out, variant)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("amelink"))


@pytest.fixture(scope="module")
def frozen(world: World) -> Summary:
    """The official preset, small: frozen encoder, pooler, three-way sum."""
    return world.fit("frozen", tiny_settings(world.deberta, "official"))


@pytest.fixture(scope="module")
def trained(world: World) -> Summary:
    """The paper preset, small: the encoder is trained too."""
    return world.fit(
        "trained",
        tiny_settings(world.deberta, learning_rate=3e-2, epochs=3),
        "full",
        "without attribute",
        "with title",
    )


@pytest.fixture(scope="module")
def minilm(world: World) -> Summary:
    settings = tiny_settings(MINILM, epochs=15, learning_rate=3e-3, layers=(64,))
    return world.fit("minilm", settings)


def f1(scored: list[Scored], examples: list[Example]) -> float:
    gold = [
        one.task.entity_ids.index(one.gold) if one.gold in one.task.entity_ids else -1 for one in examples
    ]
    return expected_hits([one.total.astype(float) for one in scored], gold)


def test_minilm_learns_from_texts_and_beats_each_ablation(world: World, minilm: Summary) -> None:
    test = world.examples(TEST, 3, stated=False)
    tasks = [one.task for one in test]
    found = {name: f1(world.make("minilm", name).score(tasks), test) for name in minilm.description.variants}
    assert found["without image"] > 0.5  # chance is 0.2
    assert found["full"] >= found["without image"]
    assert found["full"] > max(found["without attribute"], found["without text"])


def test_the_filter_puts_contradicting_candidates_last(world: World, minilm: Summary) -> None:
    test = world.examples(TEST, 4, stated=True)
    for one, scored in zip(test, world.make("minilm").score([one.task for one in test]), strict=True):
        [stated] = one.task.extracted
        colours = [world.material.attributes[e]["Color"][0] for e in one.task.entity_ids]
        wrong = np.array([colour != stated.value for colour in colours])
        if not wrong.all():
            assert scored.total[~wrong].min() > scored.total[wrong].max(initial=-np.inf)


@pytest.mark.parametrize("which", ["frozen", "trained", "minilm"])
def test_neither_order_nor_company_of_candidates_changes_a_score(
    which: str, world: World, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(which)
    baseline = world.make(which, "without image" if which != "trained" else "full")
    tasks = [one.task for one in world.examples(TEST, 5, stated=False)][:6]
    turned = [replace(task, candidates=task.candidates[::-1]) for task in tasks]
    alone = [replace(task, candidates=task.candidates[:1]) for task in tasks]
    first, second = baseline.score(tasks), baseline.score(turned)
    for one, other in zip(first, second, strict=True):
        assert one.text is not None
        assert other.text is not None
        np.testing.assert_array_equal(one.text, other.text[::-1])
        np.testing.assert_allclose(one.total, other.total[::-1], atol=1e-6)
    for one, other in zip(first, baseline.score(alone), strict=True):
        assert one.text is not None
        assert other.text is not None
        np.testing.assert_allclose(one.text[:1], other.text, atol=5e-3)


@pytest.mark.parametrize("which", ["frozen", "trained", "minilm"])
def test_equal_products_get_equal_scores(which: str, world: World, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(which)
    [task] = [world.examples(TEST, 6, stated=False)[0].task]
    doubled = replace(task, candidates=(*task.candidates, *task.candidates))
    [scored] = world.make(which).score([doubled])
    np.testing.assert_array_equal(scored.total[: len(task.candidates)], scored.total[len(task.candidates) :])


def test_a_task_without_candidates_has_no_scores(world: World, minilm: Summary) -> None:
    task = replace(world.dev[0].task, candidates=())
    [empty, full] = world.make("minilm").score([task, world.dev[1].task])
    assert empty.total.shape == (0,)
    assert full.total.shape == (5,)
    assert world.make("minilm").score([]) == []


def test_gold_decides_nothing_when_scoring(world: World, minilm: Summary) -> None:
    assert not any(hasattr(one.task, "gold") for one in world.dev)
    missed = [one for one in world.dev if one.gold not in one.task.entity_ids]
    assert missed
    assert minilm.description.dev_lists == len(world.dev) - len(missed)
    assert minilm.description.dev_reviews == len(world.dev)


def test_the_same_seed_gives_the_same_files(world: World, trained: Summary) -> None:
    world.fit("again", trained.description.settings, "full", "without attribute", "with title")
    names = [
        "amelink.json",
        "text/attributes.safetensors",
        "text/titled.safetensors",
        "image/adapter.safetensors",
    ]
    for name in names:
        assert (world.root / "again" / name).read_bytes() == (world.root / "trained" / name).read_bytes()


def test_a_trained_encoder_is_saved_and_a_frozen_one_is_not(
    world: World, trained: Summary, frozen: Summary
) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(world.root / "frozen" / "text" / "attributes.safetensors", "pt") as content:
        assert not [name for name in content.keys() if name.startswith("encoder.")]  # noqa: SIM118
        assert "pooler.weight" in content.keys()  # noqa: SIM118
    model = next(name for name, row in trained.description.texts.items() if row.best > 0)
    kept = load_file(world.root / "trained" / "text" / f"{model}.safetensors")
    before = load_file(world.deberta / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    assert not np.array_equal(kept[f"encoder.model.{name}"], before[name])
    variant = next(
        one
        for one in trained.description.variants
        if text_model(VARIANTS[one], tiny_settings(MINILM)) == model
    )
    text = amelink.create(world.material, world.root / "trained", variant).text
    assert text is not None
    state = text.scorer.encoder.model.state_dict()[name]
    assert np.array_equal(state, kept[f"encoder.model.{name}"])


def test_finished_is_said_and_nothing_is_done(world: World, minilm: Summary) -> None:
    path = world.root / "minilm" / "amelink.json"
    stamp = path.stat().st_mtime_ns
    again = world.fit("minilm", minilm.description.settings)
    assert not minilm.already
    assert again.already
    assert again.description == minilm.description
    assert path.stat().st_mtime_ns == stamp


def test_further_variants_are_added_to_what_is_there(world: World) -> None:
    settings = tiny_settings(MINILM)
    first = world.fit("added", settings, "without text")
    assert list(first.description.texts) == []
    image = (world.root / "added" / "image" / "adapter.safetensors").stat().st_mtime_ns
    second = world.fit("added", settings, "full", "without text")
    assert list(second.description.variants) == ["without text", "full"]
    assert (world.root / "added" / "image" / "adapter.safetensors").stat().st_mtime_ns == image
    assert not (world.root / "added" / "checkpoints").exists()
    assert not (world.root / "added" / "features").exists()


def test_other_settings_need_another_folder(world: World, minilm: Summary) -> None:
    with pytest.raises(AmeliError, match=r"settings\.dropout 0\.0 instead of 0\.5"):
        world.fit("minilm", minilm.description.settings.model_copy(update={"dropout": 0.5}))


def test_micro_batches_add_up_to_the_batch() -> None:
    settings = tiny_settings(MINILM, batch_size=16, micro_batch=4)
    loop = loop_settings(settings, seed=3)
    assert (loop.batch_size, loop.accumulation, loop.seed) == (4, 4, 3)
    whole = loop_settings(tiny_settings(MINILM, batch_size=16), seed=3)
    assert (whole.batch_size, whole.accumulation) == (16, 1)


def test_products_without_any_text(tmp_path: Path, world: World) -> None:
    """Descriptions only, and there are none: every candidate gets the same score."""
    bare = make_material(tmp_path / "bare")
    products = {i: replace(product, description="") for i, product in bare.dataset.products.items()}
    bare.dataset.products = products
    out = tmp_path / "out"
    amelink.train(bare, world.train, world.dev, out, tiny_settings(MINILM), ["without attribute"])
    [scored] = amelink.create(bare, out, "without attribute").score([world.dev[0].task])
    assert scored.text is not None
    assert len(set(scored.text.tolist())) == 1


def test_a_description_says_what_was_run(world: World, minilm: Summary) -> None:
    described = world.make("minilm").describe()
    assert described["title"] == "AMELINK (MiniLM)"
    assert described["settings"]["pairing"] == "siamese"
    assert described["weights"].keys() == {"text", "image"}
    assert json.loads(json.dumps(described)) == described


def test_lambda_is_that_of_the_papers_equation(world: World, minilm: Summary) -> None:
    """The order by l * text + (1 - l) * image of undivided scores is that of the total."""
    baseline = world.make("minilm")
    share = baseline.describe()["lambda"]
    for one in baseline.score([one.task for one in world.dev]):
        assert one.text is not None
        assert one.image is not None
        plain = share * one.text + (1 - share) * one.image
        if np.isfinite(plain).all() and len(plain) > 1:
            np.testing.assert_array_equal(np.argsort(plain), np.argsort(one.total))


def test_no_images_at_all_leave_the_text(tmp_path: Path, world: World) -> None:
    bare = make_material(tmp_path / "bare", images=False)
    out = tmp_path / "out"
    done = amelink.train(bare, world.train, world.dev, out, tiny_settings(MINILM))
    assert done.description.no_image == "the index has no image vectors"
    assert "without text" not in done.description.variants
    assert amelink.create(bare, out).score([world.dev[0].task])[0].image is None
    with pytest.raises(AmeliError, match="holds no variant 'without text'"):
        amelink.create(bare, out, "without text")
    assert amelink.train(bare, world.train, world.dev, out, tiny_settings(MINILM)).already


def refused(world: World, out: Path, match: str, **changed: object) -> AmeliError:
    given = {"train": world.train, "dev": world.dev, "settings": tiny_settings(MINILM), **changed}
    with pytest.raises(AmeliError, match=match) as caught:
        amelink.train(world.material, given["train"], given["dev"], out, given["settings"])  # type: ignore[arg-type]
    return caught.value


def test_an_empty_training_split(world: World, tmp_path: Path) -> None:
    refused(world, tmp_path, "the training split is empty", train=[])


def test_one_candidate_only(world: World, tmp_path: Path) -> None:
    single = [
        replace(one, task=replace(one.task, candidates=(Candidate(one.gold, 1.0),))) for one in world.train
    ]
    refused(world, tmp_path, "None of the 56 reviews .* has a candidate beside its gold", train=single)


def test_gold_never_found_on_dev(world: World, tmp_path: Path) -> None:
    missed = [replace(one, gold=1) for one in world.dev]
    refused(world, tmp_path, "none of 20 dev reviews has its gold product as a candidate", dev=missed)


def test_a_loss_that_is_not_finite(world: World, tmp_path: Path) -> None:
    settings = tiny_settings(world.deberta, learning_rate=1e30, warmup=0.0)
    error = refused(world, tmp_path, "Training diverged", settings=settings)
    assert "lower learning rate" in (error.hint or "")


def test_an_encoder_that_is_not_there(world: World, tmp_path: Path) -> None:
    refused(world, tmp_path, "Cannot load the text encoder", settings=tiny_settings(tmp_path))


def test_no_folder(world: World, tmp_path: Path) -> None:
    for place in (None, tmp_path / "nowhere"):
        with pytest.raises(AmeliError, match="needs its trained weights") as caught:
            amelink.create(world.material, place)
        assert "train amelink" in (caught.value.hint or "")


def test_an_unknown_variant(world: World, minilm: Summary) -> None:
    with pytest.raises(UnknownNameError, match="without colour"):
        world.make("minilm", "without colour")


def vouch_for(path: Path) -> None:
    """Puts the checksum of a text model's changed weights into the description."""
    description = path.parents[1] / "amelink.json"
    content = json.loads(description.read_text())
    content["texts"][path.stem]["weights"] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    description.write_text(json.dumps(content))


@pytest.mark.parametrize("file", ["text/attributes.safetensors", "image/adapter.safetensors"])
def test_a_flipped_bit_is_noticed(world: World, minilm: Summary, tmp_path: Path, file: str) -> None:
    spoilt = copy_folder(world.root / "minilm", tmp_path / "spoilt")
    whole = (spoilt / file).read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        (spoilt / file).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(WeightsDamagedError, match="are not those that the training wrote"):
            amelink.create(world.material, spoilt)


def test_weights_of_another_size(world: World, minilm: Summary, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    spoilt = copy_folder(world.root / "minilm", tmp_path / "spoilt")
    path = spoilt / "text" / "attributes.safetensors"
    weights = load_file(path)
    save_file({**weights, "mlp.0.weight": weights["mlp.0.weight"][:8].contiguous()}, path)
    vouch_for(path)
    with pytest.raises(AmeliError, match=r"of another size: mlp.0.weight is \[8, 4\] there and \[64, 4\]"):
        amelink.create(world.material, spoilt)
    path.write_bytes(b"no weights")
    vouch_for(path)
    with pytest.raises(AmeliError, match="is not a safetensors file"):
        amelink.create(world.material, spoilt)
    path.unlink()
    with pytest.raises(AmeliError, match="Cannot read"):
        amelink.create(world.material, spoilt)


def test_weights_of_another_training(world: World, minilm: Summary, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    spoilt = copy_folder(world.root / "minilm", tmp_path / "spoilt")
    path = spoilt / "text" / "attributes.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)
    with pytest.raises(WeightsDamagedError, match="are not those that the training wrote"):
        amelink.create(world.material, spoilt)


def test_weights_that_are_no_numbers(world: World, minilm: Summary, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    spoilt = copy_folder(world.root / "minilm", tmp_path / "spoilt")
    path = spoilt / "text" / "attributes.safetensors"
    save_file({name: tensor * np.nan for name, tensor in load_file(path).items()}, path)
    vouch_for(path)
    with pytest.raises(AmeliError, match="not all finite numbers"):
        amelink.create(world.material, spoilt)


def test_an_encoder_of_another_revision(world: World, tmp_path: Path) -> None:
    deberta = write_tiny_deberta(tmp_path / "encoder", seed=1)
    out = tmp_path / "out"
    settings = tiny_settings(deberta, "official", epochs=1)
    amelink.train(world.material, world.train, world.dev, out, settings, ["full"])
    write_tiny_deberta(deberta, seed=2)
    with pytest.raises(AmeliError, match="the one found now is of revision"):
        amelink.create(world.material, out)


def test_a_damaged_description(world: World, minilm: Summary, tmp_path: Path) -> None:
    spoilt = copy_folder(world.root / "minilm", tmp_path / "spoilt")
    (spoilt / "amelink.json").write_text("{}")
    with pytest.raises(AmeliError, match=r"amelink\.json: made_of: Field required"):
        amelink.create(world.material, spoilt)


def test_another_image_encoder(world: World, minilm: Summary, tmp_path: Path) -> None:
    other: Material = make_material(tmp_path / "other")
    stamp = other.require_images().model_copy(update={"revision": "2"})
    manifest = other.index.manifest.model_copy(update={"image_encoders": (stamp,)})
    other.index.__dict__["manifest"] = manifest
    with pytest.raises(AmeliError, match="was trained on vectors of"):
        amelink.create(other, world.root / "minilm")
