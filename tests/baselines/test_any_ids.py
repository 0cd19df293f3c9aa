"""Ids are what the user has: baselines see positions, so text for ids changes nothing that they learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.baselines import amelink, random, v2tel, v2vel
from tests.baselines.amelink_world import make_examples, make_material, tiny_settings
from tests.baselines.towers_world import World, make_world


def named(number: int) -> str:
    """Ids whose order is not that of the numbers."""
    return f"{'BX'[number % 2]}00X{number}"


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, World]:
    root = tmp_path_factory.mktemp("worlds")
    return make_world(root / "numbers"), make_world(root / "names", name=named)


@pytest.mark.parametrize("module", [v2vel, v2tel])
@pytest.mark.parametrize("preset", ["paper", "official"])
def test_towers_learn_and_score_the_same(
    worlds: tuple[World, World], module: object, preset: str, tmp_path: Path
) -> None:
    found = []
    for world, out in zip(worlds, ("numbers", "names"), strict=True):
        settings = replace(module.PRESETS[preset], epochs=2)  # type: ignore[attr-defined]
        train, dev = world.listed(world.train), world.listed(world.dev)
        done = module.train(world.material, train, dev, tmp_path / out, settings)  # type: ignore[attr-defined]
        made = module.create(world.material, tmp_path / out)  # type: ignore[attr-defined]
        found.append((done.history, [one.total for one in made.score(world.tasks(world.dev))]))
    (history, scores), (other_history, other_scores) = found
    assert [epoch["score"] for epoch in history] == pytest.approx([one["score"] for one in other_history])
    np.testing.assert_allclose(scores, other_scores, rtol=1e-4, atol=1e-6)


def test_the_random_baseline(worlds: tuple[World, World]) -> None:
    world = worlds[1]
    [scored, *_] = random.create(1).score(world.tasks(world.dev))
    assert len(set(scored.total.tolist())) == 10


def test_amelink(tmp_path: Path) -> None:
    material = make_material(tmp_path, name=named)
    train, dev = (
        make_examples(tmp_path, products, seed=seed, name=named)
        for seed, products in enumerate((range(20), range(20, 30)))
    )
    settings = tiny_settings("minilm", epochs=1, adapter_epochs=1)
    amelink.train(material, train, dev, tmp_path / "out", settings, ["full"])
    made = amelink.create(material, tmp_path / "out")
    task = dev[0].task
    turned = replace(task, candidates=tuple(reversed(task.candidates)))
    [one], [other] = made.score([task]), made.score([turned])
    assert np.isfinite(one.total).all()
    np.testing.assert_allclose(one.total, other.total[::-1], rtol=1e-5)
