"""The official code's leaks of linking: each by its setting only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ameli_llm.attributes import llm
from ameli_llm.attributes import rules as extraction
from ameli_llm.attributes.extractor import Extraction, ExtractionTask
from ameli_llm.comparison import listwise
from ameli_llm.comparison import rules as comparison
from ameli_llm.comparison.panel import Panel
from ameli_llm.config import AttributesConfig, FusionConfig, RunConfig
from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.flow import Flow
from ameli_llm.runs import GoldRow, PredictionRow
from ameli_llm.types import Candidate, Product, Review, SpecRow, Usage
from eval.evaluation import evaluate
from eval.official.leaks import (
    SAYS,
    GoldInserted,
    GoldKeys,
    Official,
    official_flow,
)

NONE = Official.of(())


def only(name: str) -> Official:
    return Official.of([name])


@dataclass(frozen=True)
class Found:
    """Retrieval that finds the same products, best first, for every review."""

    ids: tuple[int, ...]

    def find(self, reviews: Sequence[Review], depth: int) -> list[list[Candidate]]:
        found = [Candidate(i, 1.0 - n / 10, {"title": 1.0}) for n, i in enumerate(self.ids)]
        return [found[:depth] for _ in reviews]


@dataclass
class Asked:
    """An extractor that finds nothing and remembers what it was asked for."""

    name: str = "asked"
    keys: list[set[str]] = field(default_factory=list)

    def extract(self, tasks: Sequence[ExtractionTask]) -> list[Extraction]:
        self.keys += [set(task.vocabulary) for task in tasks]
        return [Extraction() for _ in tasks]


class Model:
    """An engine that gives all choices the same probability, extracts nothing, and remembers its requests."""

    name, model, revision, batch_size, workers = "even", "m", "1", 1, 1

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        self.requests += requests
        return [
            ChatReply(
                request.choices[0] if request.choices else "{}",
                dict.fromkeys(request.choices, -1.0),
                Usage(1, 1),
                "stop",
            )
            for request in requests
        ]

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        return [0 for _ in requests]

    def canary(self) -> None:
        """Nothing to check."""

    def close(self) -> None:
        """Nothing to free."""


def lamp(number: int, colour: str, **more: str) -> Product:
    rows = {"Color": colour} | more
    return Product(number, f"Lamp {number}", spec=tuple(SpecRow("General", k, v) for k, v in rows.items()))


LAMPS = {
    1: lamp(1, "Red", Height="1 m"),
    2: lamp(2, "Blue", Wattage="40 watts"),
    3: lamp(3, "Green", Wattage="60 watts"),
    4: lamp(4, "White", Bulb="E27"),
}
REVIEW = Review(7, "Nice", "My red lamp of 40 watts.", "lamp")


def flow(*ids: int, **changes: Any) -> Flow:
    parts = {
        "products": LAMPS,
        "attributes": {i: attribute_dictionary(product) for i, product in LAMPS.items()},
        "source": Found(ids),
        "extractors": {"rules": extraction.create()},
        "panel": Panel({"rules": comparison.create(None)}, {}),
        "merging": AttributesConfig(),
        "fusion": FusionConfig(image=0.0),
        "candidates": 3,
        "depth": 10,
    }
    return Flow(**(parts | changes))


def found_by(made: Flow, gold: int, official: Official, review: Review = REVIEW) -> PredictionRow:
    leaking, done = official_flow(made, {review.id: gold}, official)
    assert set(done.names) <= set(official.names)
    [link] = leaking.link([review])
    return PredictionRow.of(link)


def ids(row: PredictionRow) -> list[int]:
    return sorted(candidate.entity_id for candidate in row.candidates)


# Gold among the candidates


@pytest.mark.parametrize(
    ("found", "gold", "inserted"),
    [
        ((1, 2), 3, [1, 2, 3]),  # a short list gets gold, retrieved or not
        ((1, 2), 2, [1, 2]),  # retrieved: nothing to insert
        ((1, 2, 4), 3, [1, 2, 4]),  # as long as K: nothing is inserted
        ((), 3, [3]),
        ((1, 2), None, [1, 2]),  # outside the KB
    ],
)
def test_gold_goes_into_short_lists(found: tuple[int, ...], gold: int | None, inserted: list[int]) -> None:
    [candidates] = GoldInserted(Found(found), {7: gold}, k=3).find([REVIEW], 100)
    assert [candidate.entity_id for candidate in candidates] == inserted


def test_the_inserted_product_comes_last() -> None:
    [candidates] = GoldInserted(Found((1, 2)), {7: 3}, k=3).find([REVIEW], 100)
    assert candidates[-1] == Candidate(3, candidates[-2].score)


def test_the_dictionary_holds_gold_below_all_candidates() -> None:
    source = GoldInserted(Found((1, 2, 4)), {7: 3}, k=3, short=False, dictionary=True)
    [candidates] = source.find([REVIEW], 100)
    assert [candidate.entity_id for candidate in candidates] == [1, 2, 4, 3]
    assert candidates[3].score < candidates[2].score
    assert candidates[3].scores == {}


def test_the_two_insertions_are_settings_of_their_own() -> None:
    source = GoldInserted(Found((1, 2)), {7: 3}, k=3, short=False, dictionary=True)
    [candidates] = source.find([REVIEW], 100)
    assert candidates[-1].score < candidates[-2].score


def test_without_the_settings_gold_is_no_candidate() -> None:
    assert ids(found_by(flow(1, 2), 3, NONE)) == [1, 2]
    assert ids(found_by(flow(1, 2), 3, only("gold_inserted"))) == [1, 2, 3]
    assert ids(found_by(flow(1, 2, 4), 3, only("gold_inserted"))) == [1, 2, 4]
    assert ids(found_by(flow(1, 2, 4), 3, only("gold_in_score_dict"))) == [1, 2, 3, 4]


def test_gold_in_the_dictionary_is_not_compared_and_counts_in_recall() -> None:
    row = found_by(flow(1, 2, 4), 3, only("gold_in_score_dict"))
    assert row.compared == 3
    assert row.candidates[-1].entity_id == 3
    assert row.candidates[-1].text_score is None
    gold = {7: GoldRow(gold=3)}
    config = RunConfig.model_validate({"retrieval": {"candidates": 3, "depth": 10}})
    leaking = evaluate([row], gold, config, 1, only("gold_in_score_dict"))
    honest = evaluate([found_by(flow(1, 2, 4), 3, NONE)], gold, config)
    assert [e.metrics["recall"]["10"].value for e in (leaking, honest) if e.metrics["recall"]["10"]] == [
        1.0,
        0.0,
    ]
    assert leaking.metrics["leaks"].gold_inserted == 1
    assert SAYS["gold_in_score_dict"] in leaking.metrics["protocol"].reproduced


# Attributes


def test_keys_are_those_of_the_candidates_unless_gold_limits_them() -> None:
    honest, leaking = Asked(), Asked()
    found_by(flow(1, 2, 4, extractors={"asked": honest}), 3, NONE)
    found_by(flow(1, 2, 4, extractors={"asked": leaking}), 3, only("gold_keys"))
    assert honest.keys == [{"Color", "Height", "Wattage", "Bulb"}]
    assert leaking.keys == [{"Color", "Wattage"}]


def test_a_review_whose_product_is_outside_the_kb_is_asked_for_all_keys() -> None:
    asked = Asked()
    task = ExtractionTask(REVIEW, {"Color": ("Red",)})
    GoldKeys(asked, {7: None}, {}).extract([task])
    assert asked.keys == [{"Color"}]


def test_a_title_is_an_attribute_only_by_its_setting() -> None:
    review = replace(REVIEW, body="I bought the Lamp 2.")
    honest = found_by(flow(1, 2, 4), 2, NONE, review)
    leaking = found_by(flow(1, 2, 4), 2, only("titles_as_attributes"), review)
    assert "Product Title" not in {value.key for value in honest.attributes}
    assert {v.value for v in leaking.attributes if v.key == "Product Title"} == {"Lamp 2"}


# Options


def options(official: Official, reviews: int, orders: int = 1) -> list[list[int]]:
    """The candidates' numbers in the order of the prompt's lines, a list per request."""
    engine = Model()
    products = {i: lamp(i, f"Colour{i}") for i in range(1, 11)}
    made = flow(
        *[3, 9, 1, 10, 5, 2, 8, 4, 7, 6],
        products=products,
        attributes={i: attribute_dictionary(product) for i, product in products.items()},
        extractors={},
        panel=Panel({"listwise": listwise.create(engine, orders=orders)}, {}),
        candidates=10,
    )
    leaking, done = official_flow(made, {}, official)
    assert done.options_in_rank_order == official.options_in_rank_order
    leaking.link([replace(REVIEW, id=i) for i in range(reviews)])
    lines = (re.findall(r"^[A-J]\. Lamp (\d+)", r.messages[1].content, re.MULTILINE) for r in engine.requests)
    return [[int(number) for number in found] for found in lines]


def test_options_are_shuffled_for_each_review() -> None:
    asked = options(NONE, 400)
    assert {len(order) for order in asked} == {10}
    places = Counter(order.index(3) for order in asked)
    assert len(places) == 10
    assert max(places.values()) < 70, "the best by retrieval stands in all places alike: 40 each"


def test_options_stand_in_rank_order_only_by_their_setting() -> None:
    ranked = [3, 9, 1, 10, 5, 2, 8, 4, 7, 6]
    assert options(only("options_in_rank_order"), 5, orders=3) == [ranked] * 5


def extraction_request(official: Official, *ids: int) -> ChatRequest:
    """What the llm extractor asks about the review with these candidates, best first."""
    engine = Model()
    made, done = official_flow(flow(*ids, extractors={"llm": llm.create(engine)}), {}, official)
    assert done == official
    made.link([REVIEW])
    [request] = engine.requests
    return request


def test_values_are_listed_alike_whatever_the_rank_of_their_candidates() -> None:
    assert extraction_request(NONE, 3, 1, 2) == extraction_request(NONE, 1, 2, 3)
    assert listed_colours(extraction_request(NONE, 3, 1, 2)) == ["Blue", "Green", "Red"]


def test_values_are_listed_in_rank_order_only_by_their_setting() -> None:
    ranked = only("options_in_rank_order")
    asked = [extraction_request(ranked, *ids) for ids in ((3, 1, 2), (1, 2, 3))]
    assert [listed_colours(one) for one in asked] == [["Green", "Red", "Blue"], ["Red", "Blue", "Green"]]
    assert asked[0].messages != asked[1].messages, "a cache by the messages keeps them apart"


def listed_colours(request: ChatRequest) -> list[str]:
    """The colours in the order of the prompt, which is that of the schema."""
    assert request.schema is not None
    in_schema: list[str] = request.schema["properties"]["Color"]["prefixItems"][1]["enum"]
    line = next(line for line in request.messages[1].content.splitlines() if "Color" in line)
    assert sorted(in_schema, key=line.index) == in_schema
    return in_schema


def test_a_completion_lists_no_values_and_so_none_in_rank_order() -> None:
    completing = flow(1, 2, extractors={"llm": llm.create(Model(), "extract/gpt2")})
    _, done = official_flow(completing, {}, only("options_in_rank_order"))
    assert done == NONE


def test_what_a_linker_cannot_have_is_not_claimed() -> None:
    bare = flow(1, 2, extractors={}, panel=None)
    made, done = official_flow(bare, {7: 3}, Official())
    assert done.names == ("gold_inserted", "gold_in_score_dict", "weights_on_reported_split")
    assert (made.attributes, made.extractors, made.panel) == (bare.attributes, {}, None)
    _, ruled = official_flow(flow(1, 2), {7: 3}, Official())
    assert set(Official().names) - set(ruled.names) == {"options_in_rank_order"}
