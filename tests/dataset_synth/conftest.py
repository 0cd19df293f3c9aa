from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ameli_llm.dataset.synth.catalogue import Catalogue, load_catalogue
from ameli_llm.dataset.synth.layout import Plan, drafts, make_plan
from ameli_llm.dataset.synth.reviews import Draft
from tests.shared_setup import twin_of


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 products and 120 reviews: the demo's size."""
    return twin_of(tmp_path_factory, products=60, reviews=120, seed=3)


@pytest.fixture(scope="session")
def plan(catalogue: Catalogue) -> Plan:
    """300 products and 1,000 reviews of the default difficulty, no files."""
    return make_plan(catalogue, products=300, reviews=1000, seed=3, difficulty=0.5)


@pytest.fixture(scope="session")
def written(plan: Plan, catalogue: Catalogue) -> list[Draft]:
    return list(drafts(plan, catalogue))


@pytest.fixture(scope="session")
def reviews_at(catalogue: Catalogue) -> Callable[[float], list[Draft]]:
    """The reviews of 300 products at a difficulty."""
    return lambda d: list(drafts(make_plan(catalogue, 300, 1000, 3, d), catalogue))
