"""A told review of four kettles, small enough to see every answer by eye, and a small twin."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.instruction.told import Fact, Told
from ameli_llm.types import Attributes, Product, Review
from tests.shared_setup import twin_of

SHELF: dict[int, dict[str, tuple[str, ...]]] = {
    1: {"Hue": ("Amber",), "Volume": ("1 L",), "Lid": ("Flip Top",)},
    2: {"Hue": ("Amber",), "Volume": ("2 L",), "Lid": ("Flip Top",)},
    3: {"Hue": ("Cobalt",), "Volume": ("2 L",), "Lid": ("Flip Top",)},
    4: {"Hue": ("Cobalt",), "Volume": ("1 L",)},
}
BODY = "Took amber over cobalt. Two liter is plenty. My old pot was 1 L."
AMBER = Fact("Hue", "Amber", "amber")
NOT_COBALT = Fact("Hue", "Cobalt", "cobalt", denied=True)
TWO = Fact("Volume", "2 L", "Two liter")


def told(*facts: Fact, ids: tuple[int, ...] = (1, 2, 3, 4), body: str = BODY) -> Told:
    """A review with these facts among the products ``ids`` of the shelf."""
    known: tuple[Attributes, ...] = tuple(SHELF[i] for i in ids)
    products = tuple(Product(i, f"Pot {'abcd'[i - 1]}", ("Kettles",)) for i in ids)
    return Told(Review(9, "Nice", body, "kettle"), facts, products, known, invented=True)


@pytest.fixture
def whole() -> Told:
    """All that the review says."""
    return told(AMBER, NOT_COBALT, TWO)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twin_of(tmp_path_factory, products=24, reviews=40, seed=1)
