"""The official code's leaks of training: what is seen of gold on train and dev, never in a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ameli_llm.types import Product, SpecRow
from eval.baselines import amelink, v2vel
from eval.baselines.amelink import folder, models
from eval.baselines.amelink.inference import TextScorer
from eval.baselines.amelink.models import Summary
from eval.baselines.amelink.pairs import PairSet, review_text
from eval.baselines.amelink.settings import MINILM, AmelinkSettings
from eval.baselines.amelink.stated import as_read, gold_attributes
from eval.baselines.baseline import Example, Task
from eval.baselines.material import Material
from eval.official.leaks import OF_TRAINING
from tests.baselines.amelink_world import make_examples, make_material, tiny_settings

NAMES = ("full", "without attribute", "without image", "without text")
IMAGE, ATTRIBUTES = "image_chosen_with_gold", "attributes_from_gold"


def product(name: str = "", **rows: str) -> Product:
    return Product(1, name, spec=tuple(SpecRow("General", key, value) for key, value in rows.items()))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (product(), []),
        (product(Size="L", Color="Red", Brand="Acme"), ["Brand Acme", "Color Red", "Size L"]),
        (product(**{"Model Number": "A1", "Product Name": "Lamp", "Size": "L"}), ["Size L"]),
        (product("Acme - Lamp 300 - Red", Size="L"), ["Size L"]),
        (product(Size="No", Width="3 in"), ["Width 3 in"]),
        (
            product(**{f"K{i}": f"v{i}" for i in range(20)}, Color="Red"),
            ["Color Red", *(f"K{i} v{i}" for i in range(9))],
        ),
    ],
)
def test_golds_attributes_are_ten_of_its_page_brand_and_colour_first(
    shown: Product, expected: list[str]
) -> None:
    assert [f"{value.key} {value.value}" for value in gold_attributes(shown)] == expected


def test_of_several_values_of_gold_the_last_stands() -> None:
    rows = tuple(SpecRow("General", "Color", colour) for colour in ("Red", "Blue"))
    assert [value.value for value in gold_attributes(Product(1, "", spec=rows))] == ["Blue"]


class Seen:
    """What the parts of a training were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pairs: dict[str, list[PairSet]] = {"training_lists": [], "dev_lists": []}
        self.scored: list[Task] = []
        self.chosen: list[tuple[Sequence[Any], Sequence[Task]]] = []
        for name in self.pairs:
            monkeypatch.setattr(models, name, self._pairs(name, getattr(models, name)))
        score, parts_of = TextScorer.score, models.parts_of

        def scored(scorer: TextScorer, material: Material, tasks: Sequence[Task], *more: Any) -> Any:
            self.scored += tasks
            return score(scorer, material, tasks, *more)

        def parts(material: Material, tasks: Sequence[Task], *more: Any) -> Any:
            self.chosen.append((parts_of(material, tasks, *more), tasks))
            return self.chosen[-1][0]

        monkeypatch.setattr(TextScorer, "score", scored)
        monkeypatch.setattr(models, "parts_of", parts)

    def _pairs(self, name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*given: Any) -> Any:
            lists = make(*given)
            self.pairs[name] += lists.flat
            return lists

        return made

    def texts(self, name: str) -> set[str]:
        """The review texts of the pairs."""
        return {pair.first for one in self.pairs[name] for pair in one if pair}


class World:
    """The shop; reviews have two photos, of which the second shows another product's colour."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.material = make_material(root / "data")
        self.train, self.dev, self.test = (
            self.examples(products, seed)
            for seed, products in enumerate((range(0, 24), range(24, 36), range(36, 48)))
        )

    def examples(self, products: range, seed: int) -> list[Example]:
        return make_examples(self.root / "data", products, seed=seed, stated=True, second=True)

    def fit(self, out: str, settings: AmelinkSettings) -> Summary:
        return amelink.train(self.material, self.train, self.dev, self.root / out, settings, NAMES)


def settings(preset: str) -> AmelinkSettings:
    return tiny_settings(MINILM, preset, attributes=5, epochs=1, mismatch="normalised")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("amelink-leaks"))


@pytest.fixture(scope="module")
def trained(world: World) -> Iterator[dict[str, Seen]]:
    """Both presets, small."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = {}
        for preset in ("paper", "official"):
            found[preset] = Seen(monkeypatch)
            world.fit(preset, settings(preset))
            monkeypatch.undo()
        yield found


@pytest.mark.parametrize("where", ["training_lists", "dev_lists"])
def test_text_models_read_golds_attributes_in_the_official_preset_only(
    where: str, world: World, trained: dict[str, Seen]
) -> None:
    examples = world.train if where == "training_lists" else world.dev
    listed = [one for one in examples if where == "training_lists" or one.gold in one.task.entity_ids]
    products = world.material.dataset.products
    extracted = {review_text(one.task.review, one.task.extracted, settings("paper")) for one in listed}
    gold = {
        review_text(one.task.review, gold_attributes(products[one.gold]), settings("official"))
        for one in listed
    }
    assert trained["paper"].texts(where) == extracted
    assert trained["official"].texts(where) == gold
    assert all(f"{key}: " in text for text in gold for key in ("Color", "Kind", "Size"))


def test_weights_are_chosen_on_dev_texts_with_golds_attributes(
    world: World, trained: dict[str, Seen]
) -> None:
    for preset, expected in (("paper", ["Color"]), ("official", ["Color", "Kind", "Size"])):
        for task in trained[preset].scored:
            assert [value.key for value in task.extracted] == expected
    assert [task.review for task in trained["official"].scored] == [one.task.review for one in world.dev]


def test_the_filter_reads_what_was_extracted_in_either_preset(world: World, trained: dict[str, Seen]) -> None:
    """As officially. Gold's attributes would leave it gold alone, and any weights would be right."""
    for seen in trained.values():
        assert seen.chosen
        for parts, tasks in seen.chosen:
            assert list(tasks) == [one.task for one in world.dev]
            assert len(parts) == len(tasks)
    left = [(~one.wrong).sum() for one in trained["official"].chosen[0][0]]
    assert max(left) > 1


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_a_report_is_scored_without_gold(
    preset: str, world: World, trained: dict[str, Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [one.task for one in world.test]
    seen = Seen(monkeypatch)
    scored = amelink.create(world.material, world.root / preset).score(tasks)
    assert seen.scored == tasks
    image = v2vel.create(world.material, world.root / preset / "image")
    for one, alone in zip(scored, image.score(tasks), strict=True):
        np.testing.assert_array_equal(one.image, alone.total)


def test_golds_attributes_change_what_is_learned(world: World, trained: dict[str, Seen]) -> None:
    honest = settings("official").model_copy(update={"stated": "extracted"})
    world.fit("honest", honest)
    weights = [
        (world.root / name / "text" / "attributes.safetensors").read_bytes()
        for name in ("official", "honest")
    ]
    assert weights[0] != weights[1]


def test_extracted_values_stay_where_nothing_leaks(world: World) -> None:
    assert as_read(world.train, world.material, settings("paper")) is world.train
    read = as_read(world.train, world.material, settings("official"))
    for one, other in zip(world.train, read, strict=True):
        assert replace(other.task, extracted=one.task.extracted) == one.task
        assert other.gold == one.gold


def test_the_adapter_is_trained_with_the_settings(world: World, trained: dict[str, Seen]) -> None:
    found = {}
    for preset in ("paper", "official"):
        training = v2vel.create(world.material, world.root / preset / "image").describe()["training"]
        names = ("form", "images", "gold_image", "negatives", "temperature")
        found[preset] = [training["settings"][name] for name in names]
    assert found["paper"] == ["paper", "first", False, "batch", 0.07]
    assert found["official"] == ["official", "selected", True, "candidates", 1.0]


def test_image_weights_are_chosen_with_the_image_that_gold_selects(
    world: World, trained: dict[str, Seen]
) -> None:
    image = v2vel.create(world.material, world.root / "official" / "image")
    [[parts, _], *_] = trained["official"].chosen
    by_gold = image.score_examples(world.dev)
    for one, expected in zip(parts, by_gold, strict=True):
        np.testing.assert_array_equal(one.image, expected.total)
    reported = image.score([one.task for one in world.dev])
    assert any(not np.array_equal(a.total, b.total) for a, b in zip(by_gold, reported, strict=True))


@pytest.mark.parametrize(
    ("preset", "variant", "leaks"),
    [
        *(("paper", name, []) for name in NAMES),
        ("official", "full", [IMAGE, ATTRIBUTES]),
        ("official", "without attribute", [IMAGE, ATTRIBUTES]),
        ("official", "without image", [ATTRIBUTES]),
        ("official", "without text", [IMAGE]),
    ],
)
def test_a_row_says_which_leaks_its_training_had(
    preset: str, variant: str, leaks: list[str], world: World, trained: dict[str, Seen]
) -> None:
    assert amelink.create(world.material, world.root / preset, variant).describe()["leaks"] == leaks
    assert set(leaks) <= set(OF_TRAINING)


@pytest.mark.parametrize(
    "change",
    [
        {"stated": "gold"},
        {"images": "selected"},
        {"images": "selected", "gold_image": True},
        {"adapter_temperature": 1.0},
        {"adapter_negatives": "candidates"},
    ],
)
def test_each_setting_makes_another_training(change: dict[str, Any], world: World) -> None:
    found = [
        folder.made_of(world.material, world.train, world.dev, one, "1", 0)
        for one in (tiny_settings(MINILM), tiny_settings(MINILM, **change))
    ]
    assert found[0] != found[1]
    assert folder.identity(found[0], "attributes") != folder.identity(found[1], "attributes")
