"""Three products that only their names tell apart, and what a review says of one."""

from __future__ import annotations

from itertools import permutations
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ameli_llm.attributes.values.normalise import PARTIAL
from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.comparison.names import create
from ameli_llm.types import AttributeValue, Evidence, Product, Review

DRIVES = (
    "Imation 4 GB pocket flash drive",
    "Imation 32gb pocket flash drive",
    "Pocket flash drive by Imation",
)


def task(
    names: tuple[str, ...], *extracted: AttributeValue, header: str = "", body: str = "", mention: str = ""
) -> ComparisonTask:
    products = tuple(Product(id=n, name=name) for n, name in enumerate(names))
    return ComparisonTask(Review(1, header, body, mention), products, tuple({} for _ in names), extracted)


def scores(
    names: tuple[str, ...], *extracted: AttributeValue, header: str = "", body: str = "", mention: str = ""
) -> tuple[float, ...]:
    (found,) = create().compare([task(names, *extracted, header=header, body=body, mention=mention)])
    return found.scores


def test_an_amount_agrees_differs_or_is_unknown() -> None:
    u = 1.5 / 3  # one of the two names with an amount of data, smoothed
    expected = (log(0.1 / (1 - u)), log(0.9 / u), 0.0)
    assert scores(DRIVES, body="The 32 GB are plenty.") == pytest.approx(expected)


@pytest.mark.parametrize("body", ["0.032 TB", "32gb", "a 32-GB stick"])
def test_the_spelling_of_an_amount_does_not_matter(body: str) -> None:
    assert scores(DRIVES, body=body) == scores(DRIVES, body="32 GB")


@pytest.mark.parametrize("body", ["64 GB", "32 inches", "It is fine."])
def test_what_no_name_has_tells_nothing(body: str) -> None:
    assert scores(DRIVES, body=body) == (0.0, 0.0, 0.0)


def test_what_every_name_has_tells_hardly_anything() -> None:
    both = scores(("A 4 GB drive", "B 4 GB drive"), body="4 GB")
    assert both[0] == both[1] < 0.1


def test_another_shade_lies_between() -> None:
    exact, shade, other, none = scores(
        ("Mug navy", "Mug sky blue", "Mug red", "Mug"), body="I love the navy one."
    )
    assert exact > shade > none == 0.0 > other
    assert shade == pytest.approx(PARTIAL * exact)


MUGS = ("Mug - Coffee", "Coffee mug", "Mug - Bronze", "Mug - Red")


def test_an_ordinary_word_is_a_colour_where_it_ends_a_title() -> None:
    exact, type_of_mug, shade, other = scores(MUGS, header="Mug, coffee")
    assert exact > type_of_mug > other
    assert exact > shade > other


@pytest.mark.parametrize(
    "said", [{"body": "The chocolate melts."}, {"mention": "coffee mug"}, {"header": "Coffee mug"}]
)
def test_an_ordinary_word_is_no_colour_in_running_text_or_before_another(said: dict[str, str]) -> None:
    (found,) = create().compare([task(MUGS, **said)])
    assert found.verdicts == ((), (), (), ())
    assert scores(MUGS, body="The brown one, I mean.") != (0.0, 0.0, 0.0, 0.0)


def test_counts_of_the_same_thing_are_compared() -> None:
    seven, six, silent = scores(
        ("7-Outlet surge protector", "Surge protector, 6 outlets", "Surge protector"),
        body="All 7 outlets work.",
    )
    assert seven > silent == 0.0 > six


def test_words_count_where_the_header_names_a_product() -> None:
    names = ("Razer Marauder gaming keyboard", "Razer Lycosa gaming keyboard")
    other, right = scores(names, header="Razer Lycosa keyboard")
    assert right > 0.0 > other
    aside = scores(names, header="Great: Lycosa types whole novels with nine fingers")
    assert 0.0 < aside[1] < right / 10
    assert scores(names, body="Razer Lycosa keyboard") == (0.0, 0.0)


def test_what_rules_read_an_attribute_from_is_left_to_it() -> None:
    text = "The 32 GB are plenty."
    place = Evidence("body", 4, 9, "32 GB")
    value = AttributeValue("Capacity", "32 GB", "rules", place)
    assert scores(DRIVES, value, body=text) == (0.0, 0.0, 0.0)
    both = AttributeValue("Capacity", "32 GB", "llm", place, also=("rules",))
    assert scores(DRIVES, both, body=text) == (0.0, 0.0, 0.0)
    model = AttributeValue("Capacity", "32 GB", "llm", place)
    assert scores(DRIVES, model, body=text) == scores(DRIVES, body=text)
    elsewhere = AttributeValue("Capacity", "32 GB", "ocr", Evidence("header", 4, 9, "32 GB"))
    assert scores(DRIVES, elsewhere, body=text) == scores(DRIVES, body=text)


@pytest.mark.parametrize("body", ["It isn't the 32 GB one.", "Better than my old 32 GB drive."])
def test_what_is_denied_or_said_of_another_product_does_not_count(body: str) -> None:
    assert scores(DRIVES, body=body) == (0.0, 0.0, 0.0)


def test_the_same_is_counted_once() -> None:
    once = scores(DRIVES, header="32 GB")
    assert scores(DRIVES, header="32 GB", body="32 GB, yes, 32GB", mention="32 GB") == once


def test_the_order_of_the_candidates_does_not_matter() -> None:
    said = {"header": "Imation pocket drive 32gb", "body": "Two of the 4 GB ones were sold out."}
    by_name = dict(zip(DRIVES, scores(DRIVES, **said), strict=True))
    for names in permutations(DRIVES):
        assert dict(zip(names, scores(names, **said), strict=True)) == by_name


def test_amounts_colours_and_counts_have_verdicts() -> None:
    names = ("Red 4 GB drive", "Navy 32gb drive", "Drive")
    (found,) = create().compare([task(names, header="Fine drive", body="My navy drive of 32 GB")])
    told = [[(one.key, one.verdict, one.evidence.text) for one in of_one] for of_one in found.verdicts]
    assert told[0] == [("name", "conflict", "32 GB"), ("name", "conflict", "navy")]
    assert told[1] == [("name", "agree", "32 GB"), ("name", "agree", "navy")]
    assert told[2] == [("name", "unknown", "32 GB"), ("name", "unknown", "navy")]
    assert found.verdicts[0][0].evidence == Evidence("body", 17, 22, "32 GB")


def test_candidates_without_names_score_nothing() -> None:
    assert scores(("", ""), header="Imation 4 GB drive") == (0.0, 0.0)
    assert scores(()) == ()


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=80), st.text(max_size=80))
def test_no_text_is_too_strange(header: str, body: str, one: str, other: str) -> None:
    found = scores((one, other, one), header=header, body=body, mention=other)
    assert len(found) == 3
    assert found[0] == found[2]
