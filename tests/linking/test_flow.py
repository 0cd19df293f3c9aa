"""The flow over scripted candidates, with the real extractor and comparator "rules"."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ameli_llm.attributes import rules as extraction
from ameli_llm.attributes.extractor import Extraction, ExtractionTask
from ameli_llm.comparison import rules as comparison
from ameli_llm.comparison.comparator import Comparison, ComparisonTask
from ameli_llm.comparison.panel import Panel
from ameli_llm.config import AttributesConfig, FusionConfig
from ameli_llm.flow import Flow, vocabulary
from ameli_llm.types import Candidate, Failure, Product, Review, State, Usage

COLOURS = {1: "Red", 2: "Blue", 3: "Green", 4: "White", 5: "Black"}
ATTRIBUTES = {id_: {"Color": (colour,), "Wattage": ("1100 watts",)} for id_, colour in COLOURS.items()}
PRODUCTS = {id_: Product(id_, f"Lamp {id_}") for id_ in COLOURS}


@dataclass(frozen=True)
class Scripted:
    """Retrieval that finds the same candidates for every review."""

    scores: Mapping[int, float]
    image: Mapping[int, float] = dataclasses.field(default_factory=dict)

    def find(self, reviews: Sequence[Review], depth: int) -> list[list[Candidate]]:
        best = sorted(self.scores, key=lambda id_: (-self.scores[id_], id_))[:depth]
        found = [
            Candidate(id_, self.scores[id_], {"image": self.image[id_]} if id_ in self.image else {})
            for id_ in best
        ]
        return [found for _ in reviews]


@dataclass(frozen=True)
class Failing:
    """An extractor and comparator of which nothing but a failure comes."""

    state: State
    name: str = "failing"

    def extract(self, tasks: Sequence[ExtractionTask]) -> list[Extraction]:
        failure = Failure(self.state, "no use")
        return [Extraction(usage=Usage(3, 2, 1), failure=failure) for _ in tasks]

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        return [Comparison(usage=Usage(30, 20, 10), failure=Failure(self.state, "none")) for _ in tasks]


def flow(scores: Mapping[int, float] | None = None, **changes: Any) -> Flow:
    parts = {
        "products": PRODUCTS,
        "attributes": ATTRIBUTES,
        "source": Scripted(scores if scores is not None else dict.fromkeys(COLOURS, 1.0)),
        "extractors": {"rules": extraction.create()},
        "panel": Panel({"rules": comparison.create(None)}, {}),
        "merging": AttributesConfig(),
        "fusion": FusionConfig(),
        "candidates": 3,
        "depth": 5,
    }
    return Flow(**(parts | changes))


RED = Review(10, "Nice", "The lamp is red.", "lamp")
BLUE = Review(11, "Nice", "A blue lamp, not the red one.", "lamp")
VAGUE = Review(12, "Nice", "A lamp.", "lamp")


def test_what_the_review_states_decides() -> None:
    red, blue, vague = flow().link([RED, BLUE, VAGUE])
    assert [row.review_id for row in (red, blue, vague)] == [10, 11, 12]
    assert [row.entity_id for row in (red, blue, vague)] == [1, 2, 1]
    assert {row.state for row in (red, blue, vague)} == {State.LINKED}
    assert red.confidence > vague.confidence == pytest.approx(1 / 3)
    (value,) = red.attributes
    assert (value.key, value.value, value.source) == ("Color", "Red", "rules")
    assert RED.body[value.evidence.start : value.evidence.end] == value.evidence.text == "red"
    (verdict,) = red.verdicts
    assert (verdict.key, verdict.verdict, verdict.evidence.text) == ("Color", "agree", "red")
    assert {(a.value, a.negated) for a in blue.attributes} == {("Red", True), ("Blue", False)}


def test_only_values_of_compared_candidates_are_looked_for() -> None:
    (row,) = flow().link([Review(1, "", "It is black.", "")])
    assert row.attributes == ()
    (row,) = flow(candidates=5).link([Review(1, "", "It is black.", "")])
    assert row.entity_id == 5


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_scores_fall_and_the_first_is_the_answer(seed: int, filtered: bool) -> None:
    generator = random.Random(seed)
    scores = {id_: generator.choice([0.0, 1.0, generator.uniform(-5, 5)]) for id_ in COLOURS}
    image = {id_: generator.random() for id_ in COLOURS if generator.random() < 0.7}
    made = flow(
        source=Scripted(scores, image),
        fusion=FusionConfig(text=2.0, image=3.0, mismatch_filter=filtered),
        candidates=generator.randint(1, 5),
    )
    for row in made.link([RED, BLUE, VAGUE]):
        got = [candidate.score for candidate in row.candidates]
        assert got == sorted(got, reverse=True)
        assert row.entity_id == row.candidates[0].entity_id
        assert sorted(c.entity_id for c in row.candidates) == sorted(COLOURS)
        assert row.compared == made.candidates
        assert all(c.text_score is None for c in row.candidates[row.compared :])
        assert all(c.retrieval_score == scores[c.entity_id] for c in row.candidates)
        assert 0 <= row.confidence <= 1


def test_a_mismatch_goes_below_the_others() -> None:
    scores = {1: 9.0, 2: 5.0, 3: 1.0}
    (plain,) = flow(scores, fusion=FusionConfig(text=0.0)).link([BLUE])
    (strict,) = flow(scores, fusion=FusionConfig(text=0.0, mismatch_filter=True)).link([BLUE])
    assert [c.entity_id for c in plain.candidates] == [1, 2, 3]
    assert [c.entity_id for c in strict.candidates] == [2, 1, 3]


def test_no_candidates() -> None:
    (row,) = flow({}).link([RED])
    assert (row.state, row.entity_id, row.error) == (State.ABSTAINED, None, "no candidates")
    assert (row.candidates, row.attributes, row.compared) == ((), (), 0)


def test_no_reviews() -> None:
    assert flow().link([]) == []


def test_without_extractors_and_comparator_retrieval_decides() -> None:
    (row,) = flow({1: 0.0, 4: 2.0, 5: 2.0}, extractors={}, panel=None).link([RED])
    assert [c.entity_id for c in row.candidates] == [4, 5, 1]
    assert (row.entity_id, row.attributes, row.verdicts) == (4, (), ())
    assert all(c.text_score is None for c in row.candidates)


@pytest.mark.parametrize(
    ("extract", "compare", "state", "error"),
    [
        (State.ENGINE_ERROR, None, State.ENGINE_ERROR, "no use"),
        (State.INVALID_OUTPUT, None, State.INVALID_OUTPUT, "no use"),
        (None, State.ENGINE_ERROR, State.ENGINE_ERROR, "none"),
        (None, State.INVALID_OUTPUT, State.INVALID_OUTPUT, "none"),
        (State.INVALID_OUTPUT, State.ENGINE_ERROR, State.ENGINE_ERROR, "none"),
        (State.ENGINE_ERROR, State.INVALID_OUTPUT, State.ENGINE_ERROR, "no use"),
        (State.INVALID_OUTPUT, State.INVALID_OUTPUT, State.INVALID_OUTPUT, "no use"),
    ],
)
def test_a_failure_is_a_state_and_its_tokens_count(
    extract: State | None, compare: State | None, state: State, error: str
) -> None:
    extractors = {"rules": extraction.create()} | ({"llm": Failing(extract)} if extract else {})
    comparator = Failing(compare) if compare else comparison.create(None)
    (row,) = flow(extractors=extractors, panel=Panel({"one": comparator}, {})).link([RED])
    assert (row.state, row.error, row.entity_id, row.confidence) == (state, error, None, None)
    assert len(row.candidates) == 5, "what retrieval found stays"
    assert [a.value for a in row.attributes] == ["Red"]
    assert row.usage.prompt == 3 * bool(extract) + 30 * bool(compare)


def test_seconds_add_up() -> None:
    for row in flow().link([RED, BLUE]):
        assert set(row.stage_seconds) == {
            *("retrieval", "extraction.rules", "merge", "comparison", "fusion"),
        }
        assert row.seconds == pytest.approx(sum(row.stage_seconds.values()))


def test_reviews_do_not_influence_each_other() -> None:
    def plain(reviews: Sequence[Review]) -> dict[int, Any]:
        rows = flow().link(reviews)
        return {row.review_id: replaced(row) for row in rows}

    def replaced(row: Any) -> Any:
        return replace(row, seconds=0.0, stage_seconds={})

    together = plain([RED, BLUE, VAGUE])
    assert together == plain([VAGUE, BLUE, RED])
    assert together == {**plain([RED]), **plain([BLUE]), **plain([VAGUE])}


def test_no_stage_is_given_gold() -> None:
    """What passes between the stages has no place for gold; a slice name is the most it could see."""
    fields = {f.name for kind in (Review, Product, Candidate, ExtractionTask, ComparisonTask) for f in
              dataclasses.fields(kind)}  # fmt: skip
    assert not [name for name in fields if "gold" in name or "answer" in name]
    marked = replace(RED, slices=("is_red", "gold_is_1"))
    (one,), (other,) = flow().link([RED]), flow().link([marked])
    assert replace(one, seconds=0, stage_seconds={}) == replace(other, seconds=0, stage_seconds={})


def test_equal_scores_come_out_at_chance() -> None:
    """With nothing to go on, the answer is right as often as a guess, whichever product is the right one."""
    made = flow(dict.fromkeys(COLOURS, 1.0), candidates=5)
    rows = made.link([replace(VAGUE, id=n) for n in range(1000)])
    for gold in COLOURS:
        assert sum(row.entity_id == gold for row in rows) == pytest.approx(
            200, abs=4 * math.sqrt(1000 * 0.16)
        )
    assert [row.confidence for row in rows] == [pytest.approx(0.2)] * len(rows)


def test_the_vocabulary_keeps_first_occurrences() -> None:
    assert vocabulary([{"Color": ("Red", "Blue")}, {"Size": ("5",), "Color": ("Blue", "Tan")}, {}]) == {
        "Color": ("Red", "Blue", "Tan"),
        "Size": ("5",),
    }
