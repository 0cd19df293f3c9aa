"""Variants of one folder share what they read: it is encoded once, and no score depends on that."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.baselines import amelink
from eval.baselines.amelink import inference, loading
from eval.baselines.amelink.encoder import Unit
from eval.baselines.amelink.settings import MINILM, PRESETS
from eval.baselines.amelink.variants import read_together
from eval.baselines.baseline import Floats, Scored, Task
from eval.baselines.material import Material
from tests.baselines.amelink_world import make_examples, make_material, tiny_settings, write_tiny_deberta

ROWS = ("full", "without attribute", "without image", "without text", "without title")
KINDS = ("joint", "siamese", "trained")


class World:
    """A shop with a folder of the official preset for each kind of text model."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.material = make_material(root / "data")
        train, dev, test = (
            make_examples(root / "data", products, seed=seed, stated=True)
            for seed, products in enumerate((range(0, 16), range(16, 24), range(24, 40)))
        )
        self.tasks = [one.task for one in test]
        deberta = write_tiny_deberta(root / "deberta")
        changes = {"epochs": 1, "attributes": 4}
        kinds = {
            "joint": tiny_settings(deberta, "official", **changes),
            "siamese": tiny_settings(MINILM, "official", **changes),
            "trained": tiny_settings(deberta, "official", frozen=False, **changes),
        }
        for seed, (kind, settings) in enumerate(kinds.items()):
            amelink.train(self.material, train, dev, root / kind, settings, ROWS, seed=seed)

    def fresh(self) -> Material:
        """A material that has made nothing yet."""
        return Material.of(self.material.dataset, self.material.index)

    def scored(self, material: Material, kind: str, row: str) -> list[Scored]:
        return amelink.create(material, self.root / kind, row).score(self.tasks)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("amelink-sharing"))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[list[Unit]]:
    """The units of each call of the encoder from now on."""
    found: list[list[Unit]] = []
    encode = inference.encoded

    def counted(encoder: Any, units: Sequence[Unit], *more: Any) -> Any:
        found.append(list(units))
        return encode(encoder, units, *more)

    monkeypatch.setattr(inference, "encoded", counted)
    return found


def content(scored: Sequence[Scored]) -> list[tuple[bytes, bytes]]:
    return [(one.total.tobytes(), b"" if one.text is None else one.text.tobytes()) for one in scored]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_one_table_have_the_scores_of_rows_alone(kind: str, world: World) -> None:
    shared = world.fresh()
    together = {row: content(world.scored(shared, kind, row)) for row in ROWS}
    for row in reversed(ROWS):
        assert content(world.scored(world.fresh(), kind, row)) == together[row]


@pytest.mark.parametrize("kind", ["joint", "siamese"])
def test_the_main_model_encodes_and_scores_as_if_there_were_no_other(
    kind: str, world: World, monkeypatch: pytest.MonkeyPatch, encoded: list[list[Unit]]
) -> None:
    """Also where another has encoded a text that it needs later: company changes a vector's last bit."""
    monkeypatch.setattr(inference, "STEP", 3)
    text = amelink.create(world.fresh(), world.root / kind).text
    assert text is not None
    together = len(text.scorer.models)
    assert together > 1
    alone = replace(text.scorer, models={"attributes": text.scorer.models["attributes"]})
    tasks = [task if i % 6 < 3 else replace(task, extracted=()) for i, task in enumerate(world.tasks)]
    whole = text.scorer.score(world.material, tasks)["attributes"]
    calls = list(encoded)
    encoded.clear()
    single = alone.score(world.material, tasks)["attributes"]
    assert calls[::together] == encoded
    others = [set(units) for i, units in enumerate(calls) if i % together]
    assert any(one & set(units) for one in others for units in encoded) == (kind == "siamese")
    for one, other in zip(whole, single, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["joint", "siamese"])
def test_what_rows_share_is_encoded_once(kind: str, world: World, encoded: list[list[Unit]]) -> None:
    material = world.fresh()
    found = []
    for row in ("full", "without image", "without title", "without text", "without attribute"):
        encoded.clear()
        world.scored(material, kind, row)
        found.append([unit for units in encoded for unit in units])
    assert len(found[0]) == len(set(found[0]))
    assert found[1:4] == [[], [], []]
    # In joint pairing the description's model is scored apart.
    assert bool(found[4]) == (kind == "joint")


def test_equal_scores_of_a_trained_encoder_are_made_once(world: World, encoded: list[list[Unit]]) -> None:
    material = world.fresh()
    counts = []
    for row in ("full", "without image", "without title"):
        encoded.clear()
        world.scored(material, "trained", row)
        counts.append(len(encoded))
    assert counts == [1, 0, 1]


@pytest.mark.parametrize(("kind", "loads"), [("joint", 1), ("siamese", 1), ("trained", 4)])
def test_a_table_loads_a_frozen_encoder_once(
    kind: str, loads: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    load = loading.load_encoder
    monkeypatch.setattr(loading, "load_encoder", lambda settings: calls.append(1) or load(settings))
    material = world.fresh()
    for row in ROWS:
        amelink.create(material, world.root / kind, row)
    assert len(calls) == loads


def test_other_tasks_have_their_own_scores(world: World) -> None:
    material = world.fresh()
    baseline = amelink.create(material, world.root / "siamese", "without image")
    first = baseline.score(world.tasks)
    other = [
        replace(task, review=replace(task.review, body="All of it is pink and huge.")) for task in world.tasks
    ]
    second = baseline.score(other)
    assert any(not np.array_equal(texts(a), texts(b)) for a, b in zip(first, second, strict=True))
    turned = [replace(task, candidates=task.candidates[::-1]) for task in world.tasks]
    for one, back in zip(first, baseline.score(turned), strict=True):
        np.testing.assert_array_equal(texts(one), texts(back)[::-1])


def texts(one: Scored) -> Floats:
    assert one.text is not None
    return one.text


def test_other_folders_have_their_own_scores(world: World) -> None:
    material = world.fresh()
    found = {kind: content(world.scored(material, kind, "without image")) for kind in KINDS}
    assert len({str(one) for one in found.values()}) == len(KINDS)
    for kind, expected in found.items():
        assert content(world.scored(world.fresh(), kind, "without image")) == expected


@pytest.mark.parametrize("kind", ["joint", "siamese"])
def test_nothing_is_left_when_a_table_is_done(kind: str, world: World) -> None:
    material = world.fresh()
    baseline = amelink.create(material, world.root / kind)
    baseline.score(world.tasks)
    assert baseline.text is not None
    encoder, tokens = weakref.ref(baseline.text.scorer.encoder), baseline.text.scorer.encoder.tokens
    assert tokens._known == {}
    del baseline, material
    gc.collect()
    assert encoder() is None


def test_no_tasks_have_no_scores(world: World) -> None:
    nothing: list[Task] = []
    assert amelink.create(world.fresh(), world.root / "siamese").score(nothing) == []


@pytest.mark.parametrize(
    ("changes", "name", "trained", "expected"),
    [
        ({}, "attributes", ["untitled", "attributes"], ["attributes", "untitled"]),
        ({}, "attributes", ["attributes"], ["attributes"]),
        ({}, "untitled", ["description", "untitled", "attributes"], ["attributes", "untitled"]),
        ({}, "description", ["description", "attributes"], ["description"]),
        ({"pairing": "siamese"}, "description", ["description", "attributes"], ["attributes", "description"]),
        ({"frozen": False}, "attributes", ["attributes", "untitled"], ["attributes"]),
    ],
)
def test_which_text_models_are_scored_together(
    changes: dict[str, Any], name: str, trained: list[str], expected: list[str]
) -> None:
    settings = PRESETS["official"].model_copy(update=changes)
    assert read_together(name, trained, settings) == expected
