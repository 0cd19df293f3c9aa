from __future__ import annotations

import numpy as np
import pytest

from retrieval.chunker import RuleChunker
from retrieval.index import Index
from retrieval.priors import Priors, count_chunks, open_priors
from retrieval.snapshot import Entry

ENTRIES = [
    Entry(1, "Acme - Blender - Red", ("Shop", "Blenders"), "", ()),
    Entry(2, "Acme - Blender - Blue", ("Shop", "Blenders"), "", ()),
    Entry(3, "Nord - Headphones - Red", ("Shop", "Headphones"), "", ()),
]


@pytest.fixture
def priors() -> Priors:
    counts = count_chunks(ENTRIES, RuleChunker())
    return Priors(counts["surface"], counts["lemma"], np.array([0, 0, 1]), RuleChunker())


@pytest.mark.parametrize(
    ("mention", "entity", "category"),
    [
        ("blender", [1 / 2, 1 / 2, 0], [1, 1, 0]),
        ("Blenders", [1 / 2, 1 / 2, 0], [1, 1, 0]),
        ("red", [1 / 2, 0, 1 / 2], [1 / 2, 1 / 2, 1 / 2]),
        ("headphone", [0, 0, 1], [0, 0, 1]),
    ],
)
def test_probabilities(priors: Priors, mention: str, entity: list[float], category: list[float]) -> None:
    assert priors.entity(mention) == pytest.approx(entity)
    assert priors.category(mention) == pytest.approx(category)


@pytest.mark.parametrize("mention", ["gizmo", "", "  ", "\U0001f600", "!"])
def test_an_unknown_mention_filters_nothing(priors: Priors, mention: str) -> None:
    assert priors.entity(mention) is None
    assert priors.category(mention) is None
    assert priors.possible(mention) is None


def test_priors_are_counted_once_and_kept_with_the_index(index: Index) -> None:
    first = open_priors(index)
    place = index.place / "derived" / "priors-rules-by-chunk"
    written = place.stat().st_mtime_ns
    second = open_priors(index)
    assert place.stat().st_mtime_ns == written
    counts = count_chunks(index.entries, RuleChunker())
    assert dict(first.surface) == dict(second.surface) == counts["surface"]
    assert dict(first.lemma) == dict(second.lemma) == counts["lemma"]
    possible = second.possible("hard drive")
    assert possible is not None
    assert {index.product_ids[row] for row in np.flatnonzero(possible)} == {50, 60}
