"""Three candidates, a stated value or two, and the sums of logarithms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from math import log

import pytest

from ameli_llm.attributes.values.normalise import normalise
from ameli_llm.attributes.values.statistics import KBStatistics
from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.comparison.rules import create
from ameli_llm.comparison.verdicts import verdicts
from ameli_llm.errors import AmeliError
from ameli_llm.types import AttributeValue, Evidence, Product, Review

Attributes = Mapping[str, tuple[str, ...]]
BODY = Evidence("body", 0, 1, "x")
NEXT = Evidence("body", 5, 6, "y")

KB: list[Attributes] = [
    {"Color": ("Red",), "Brand": ("Acme",)},
    {"Color": ("Navy",), "Brand": ("Acme",)},
    {"Color": ("Black",), "Brand": ("Acme",)},
    {"Color": ("Sky Blue",), "Brand": ("Bosch",)},
]


def said(key: str, value: str, evidence: Evidence = BODY, *, negated: bool = False) -> AttributeValue:
    return AttributeValue(key, value, "rules", evidence, negated)


def task(attributes: list[Attributes], *extracted: AttributeValue) -> ComparisonTask:
    products = tuple(Product(id=n, name=str(n)) for n in range(len(attributes)))
    return ComparisonTask(Review(1), products, tuple(attributes), extracted)


def scores(attributes: list[Attributes], *extracted: AttributeValue) -> tuple[float, ...]:
    (comparison,) = create(KBStatistics.of(KB)).compare([task(attributes, *extracted)])
    return comparison.scores


def test_agreement_conflict_and_unknown() -> None:
    u = 1.5 / 5  # one red product of four, smoothed
    agree, conflict = log(0.9 / u), log(0.1 / (1 - u))
    found = scores([{"Color": ("Red",)}, {"Color": ("Black",)}, {}], said("Color", "Red"))
    assert found == pytest.approx((agree, conflict, (agree + conflict) / 2))


def test_a_page_without_the_key_is_neither_better_nor_worse() -> None:
    said_twice = (said("Color", "Red"), said("Size", "Large", Evidence("header", 0, 5, "large")))
    red = {"Color": ("Red",), "Size": ("Large",)}
    full, bare = scores([red, {}], *said_twice)
    assert full == pytest.approx(bare)
    assert scores([{}, {}], *said_twice) == (0.0, 0.0)


def test_nothing_stated_says_nothing() -> None:
    assert scores([{"Color": ("Red",)}, {}]) == (0.0, 0.0)


def test_a_common_value_weighs_less_than_a_rare_one() -> None:
    brand = scores([{"Brand": ("Acme",)}], said("Brand", "Acme"))
    rare = scores([{"Brand": ("Bosch",)}], said("Brand", "Bosch"))
    assert 0 < brand[0] < rare[0]


def test_a_shade_of_the_same_colour_lies_between() -> None:
    exact, shade, other = scores(
        [{"Color": ("Navy",)}, {"Color": ("Royal Blue",)}, {"Color": ("Red",)}], said("Color", "Navy")
    )
    assert exact > shade > 0 > other
    assert shade == pytest.approx(log(0.9 / (2.5 / 5)) / 2)


def test_a_denied_value_turns_around() -> None:
    red, black, none = scores(
        [{"Color": ("Red",)}, {"Color": ("Black",)}, {}], said("Color", "Red", negated=True)
    )
    assert red < 0 < black
    assert none == pytest.approx((red + black) / 2)


def test_a_denied_shade_says_nothing_about_others_of_its_colour() -> None:
    assert scores([{"Color": ("Sky Blue",)}], said("Color", "Navy", negated=True)) == (0.0,)


def test_evidence_for_several_keys_counts_once() -> None:
    both = [{"Color": ("Red",), "Actual Color": ("Red",)}]
    (once,) = scores(both, said("Color", "Red"))
    (comparison,) = create(KBStatistics.of([*KB, *both] * 2)).compare(
        [task(both, said("Color", "Red"), said("Actual Color", "Red"))]
    )
    assert comparison.scores[0] < 2 * once


def test_alternatives_at_one_place_count_as_the_best() -> None:
    blue = (said("Color", "Navy"), said("Color", "Sky Blue"))
    navy, sky, red = scores([{"Color": ("Navy",)}, {"Color": ("Sky Blue",)}, {"Color": ("Red",)}], *blue)
    assert navy == sky > 0 > red


def test_two_places_add_up() -> None:
    acme = [{"Color": ("Red",), "Brand": ("Acme",)}]
    colour, brand = said("Color", "Red"), said("Brand", "Acme", NEXT)
    assert scores(acme, colour, brand)[0] == pytest.approx(scores(acme, colour)[0] + scores(acme, brand)[0])


def test_precision_of_the_extractor_is_m() -> None:
    candidates: list[Attributes] = [{"Color": ("Red",)}, {"Color": ("Black",)}]
    weak = create(KBStatistics.of(KB), {"rules": {"Color": 0.6}}).compare(
        [task(candidates, said("Color", "Red"))]
    )[0]
    strong = scores(candidates, said("Color", "Red"))
    assert weak.scores[0] < strong[0]
    assert weak.scores[1] > strong[1]


def test_what_one_alone_says_weighs_less_than_what_two_say() -> None:
    candidates: list[Attributes] = [{"Color": ("Red",)}, {"Color": ("Black",)}]
    red = said("Color", "Red")
    comparator = create(KBStatistics.of(KB), {"rules alone": {"*": 0.55}})
    alone, agreed = comparator.compare([task(candidates, red), task(candidates, replace(red, also=("llm",)))])
    assert 0 < alone.scores[0] < agreed.scores[0]
    assert agreed.scores[1] < alone.scores[1] < 0


def test_certain_extractors_give_finite_scores() -> None:
    comparator = create(KBStatistics.of(KB), {"rules": {"*": 1.0}})
    (comparison,) = comparator.compare([task([{"Color": ("Black",)}], said("Color", "Red"))])
    assert comparison.scores[0] > -10


def test_without_statistics_values_are_counted_among_the_candidates() -> None:
    (comparison,) = create().compare([task(list(KB), said("Color", "Red"))])
    assert comparison.scores.index(max(comparison.scores)) == 0


def test_nothing_said_scores_all_alike() -> None:
    assert scores(list(KB)) == (0.0, 0.0, 0.0, 0.0)


def test_no_candidates() -> None:
    assert scores([], said("Color", "Red")) == ()


def test_the_order_of_candidates_does_not_matter() -> None:
    extracted = (said("Color", "Navy"), said("Brand", "Acme", NEXT))
    expected = dict(zip(range(4), scores(list(KB), *extracted), strict=True))
    for order in permutations(range(4)):
        got = scores([KB[n] for n in order], *extracted)
        assert dict(zip(order, got, strict=True)) == expected


def test_verdicts() -> None:
    found = verdicts(
        task(
            [{"Color": ("Red",), "Brand": ("Acme",)}, {"Color": ("Black",)}],
            said("Color", "Red"),
            said("Brand", "Acme", NEXT),
            said("Color", "Black", Evidence("body", 9, 10, "z"), negated=True),
        )
    )
    assert [[(v.key, v.verdict) for v in row] for row in found] == [
        [("Color", "agree"), ("Brand", "agree"), ("Color", "agree")],
        [("Color", "conflict"), ("Brand", "unknown"), ("Color", "conflict")],
    ]
    assert found[0][1].evidence == NEXT


def test_statistics_survive_json() -> None:
    statistics = KBStatistics.of(KB)
    assert KBStatistics.from_json(statistics.to_json()) == statistics
    assert statistics.frequency("Color", normalise("Color", "red")) == pytest.approx(1.5 / 5)
    assert statistics.base_frequency("Color", normalise("Color", "navy")) == pytest.approx(2.5 / 5)
    assert 0 < statistics.frequency("Colour", normalise("Colour", "red")) < 1


@pytest.mark.parametrize("text", ["", "[]", '{"products": {}}', '{"products": {"a": "x"}}'])
def test_foreign_statistics_are_refused(text: str) -> None:
    with pytest.raises(
        AmeliError, match=r"^Attribute statistics cannot be read: .* Index the dataset again\."
    ):
        KBStatistics.from_json(text)
