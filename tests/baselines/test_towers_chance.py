"""Who knows nothing is at chance, wherever gold stands among the candidates and whatever its id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binom

from ameli_llm.errors import AmeliError
from ameli_llm.types import Candidate, Review
from eval.baselines._text_pairs import TextSearch
from eval.baselines._tower_training import TowerModule, accuracy
from eval.baselines._towers import Sizes
from eval.baselines.baseline import Task
from eval.baselines.declared import Declared
from eval.baselines.random import Random
from tests.baselines.towers_world import make_world

N, K = 2000, 10
LOW, HIGH = binom.interval(0.999, N, 1 / K)


def task(review: int, ids: list[int]) -> Task:
    return Task(Review(review), tuple(Candidate(i, 1.0) for i in ids))


def hits(tasks: list[Task], golds: list[int], seed: int) -> int:
    scored = Random(seed).score(tasks)
    return sum(t.entity_ids[int(s.total.argmax())] == g for t, s, g in zip(tasks, scored, golds, strict=True))


@pytest.mark.parametrize("position", [0, K - 1])
@pytest.mark.parametrize("ids", ["smallest", "largest", "any"])
def test_chance(position: int, ids: str) -> None:
    random = np.random.default_rng(7)
    tasks, golds = [], []
    for review in range(N):
        drawn = sorted(random.choice(100_000, K, replace=False).tolist())
        gold = {"smallest": drawn[0], "largest": drawn[-1], "any": int(random.choice(drawn))}[ids]
        others = [i for i in drawn if i != gold]
        tasks.append(task(review, [*others[:position], gold, *others[position:]]))
        golds.append(gold)
    assert LOW <= hits(tasks, golds, seed=0) <= HIGH
    assert LOW <= hits(tasks, golds, seed=1) <= HIGH


def test_scores_follow_the_candidate_and_the_seed() -> None:
    there, back = Random(3).score([task(5, [1, 2, 3]), task(5, [3, 2, 1])])
    assert there.total.tolist() == back.total.tolist()[::-1]
    assert len(set(there.total.tolist())) == 3
    (other,) = Random(4).score([task(5, [1, 2, 3])])
    assert other.total.tolist() != there.total.tolist()
    (another_review,) = Random(3).score([task(6, [1, 2, 3])])
    assert another_review.total.tolist() != there.total.tolist()


@pytest.mark.parametrize("gold", [0, 5, 7])
def test_towers_that_map_everything_to_one_point(gold: int) -> None:
    """Eight texts of twelve products; a list of gold, three products of other texts, and one without any."""
    means = dict.fromkeys(("image", "text"), np.zeros(4, np.float32))
    module = TowerModule("projection", Sizes(4, 4, 2, 2), means, 0)
    with torch.no_grad():
        module.weights["image_w2"].zero_()
        counts = np.array([1, 1, 1, 1, 2, 2, 2, 2])
        one = TextSearch(np.ones((1, 4), np.float32), np.array([0]), np.array([gold]), counts)
        assert accuracy(module, torch.eye(8, 4), one) == pytest.approx(1 / 12)
        lists = np.array([[1, 2, 3, gold, -1]])
        assert accuracy(module, torch.eye(8, 4), replace(one, lists=lists)) == pytest.approx(1 / 4)


def test_registry_entry(tmp_path: Path) -> None:
    material = make_world(tmp_path / "shop").material
    made = Declared("random").create(material, None, "", 9)
    assert (made.describe(), made.title("Random Baseline")) == ({"seed": 9}, "Random Baseline")
    assert not Declared("random").trained
    with pytest.raises(AmeliError, match="has no variant 'x'"):
        Declared("random").create(material, None, "x", 9)
