"""The filter of uninformative reviews: what it looks at, what it learns, how it is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.dataset.construction.features import FEATURES, Features, mentioned_attributes
from ameli_llm.dataset.construction.informative import Thresholds, read_model
from ameli_llm.dataset.construction.labels import read_labels
from ameli_llm.dataset.construction.learning import Share, learn, measure
from ameli_llm.dataset.construction.settings import Informative
from ameli_llm.errors import AmeliError
from ameli_llm.types import Product, SpecRow


def features(attributes: float, image: float | None, description: float | None, title: float) -> Features:
    return dict(zip(FEATURES, (attributes, image, description, title), strict=True))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("My red one", 1),
        ("Red, and the 1.5 quarts are enough", 2),
        ("Reddish", 0),
        ("I have 4 of them and yes", 0),
        ("A STAINLESS-STEEL jar in red", 2),
    ],
)
def test_attributes_that_stand_in_the_words(text: str, found: int) -> None:
    rows = {"Color": "Red", "Capacity": "1.5 quarts", "Speeds": "4", "Lid": "Yes", "Jar": "Stainless steel"}
    product = Product(1, "Breeze", spec=tuple(SpecRow("General", key, value) for key, value in rows.items()))
    assert mentioned_attributes(text, product) == found


def test_any_feature_above_its_threshold_is_enough() -> None:
    model = Thresholds({"attributes": 2, "image": 0.8})
    rows = [
        features(3, 0.1, 0.1, 0.1),
        features(2, 0.8, 0.9, 0.9),  # equal is not above, and the others have no threshold
        features(0, 0.9, None, 0.0),
        features(0, None, None, 1.0),
    ]
    assert model.informative(rows) == [True, False, True, False]
    assert read_model(model.content()).informative(rows) == [True, False, True, False]


ROWS = [features(n % 3, 0.9 if n < 20 else 0.1, None, 0.5) for n in range(40)]
TRUTH = [n < 20 for n in range(40)]


@pytest.mark.parametrize("model", ["threshold", "logistic"])
def test_what_one_feature_decides_is_learned(model: str) -> None:
    learned = learn(Informative(model=model), ROWS, TRUTH, seed=0, missing=2)  # type: ignore[arg-type]
    assert learned.model.informative(ROWS) == TRUTH
    content = learned.content()
    assert content["on_the_labels"]["precision"]["value"] == content["held_out"]["recall"]["value"] == 1
    assert (content["labels"], content["labels_of_reviews_not_there"]) == (40, 2)
    assert read_model(content).informative(ROWS) == TRUTH


def test_labels_by_chance_are_not_learned_held_out() -> None:
    truth = [(7 * n) % 5 < 2 for n in range(40)]
    learned = learn(Informative(), ROWS, truth, seed=0)
    on, held = learned.on_labels.precision.content(), learned.held_out.precision.content()
    assert held["value"] < 0.85
    assert on["value"] >= held["value"]


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(AmeliError, match="20 labelled reviews are informative and 9 are not"):
        learn(Informative(), ROWS[:29], TRUTH[:29], seed=0)


def test_shares_have_wilson_intervals() -> None:
    import numpy as np

    measured = measure(np.array([1, 1, 1, 1, 0], bool), np.array([1, 1, 1, 0, 1], bool))
    assert (measured.precision, measured.recall) == (Share(3, 4), Share(3, 4))
    interval = Share(8, 10).content()
    assert [round(interval[key], 3) for key in ("low", "value", "high")] == [0.490, 0.8, 0.943]
    assert Share(0, 0).content()["value"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("review_id,informative\n7,2\n", ":2 has no review_id, or no informative of 0 or 1"),
        ("id,label\n7,1\n", ":2 has no review_id"),
        ("review_id,informative\n7,1\n7,0\n", ":3 says of review '7' what an earlier line denies"),
        ("review_id,informative\n", "holds no labels"),
    ],
)
def test_labels_that_are_none(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AmeliError, match=message):
        read_labels(path)


def test_labels_are_read_by_id(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("\ufeffinformative,review_id,note\n1,7,x\n0,B00\n", encoding="utf-8")
    assert read_labels(path) == {"7": True, "B00": False}
