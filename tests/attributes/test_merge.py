"""Two or three extractors, one key, and what is left of their proposals."""

from __future__ import annotations

import pytest

from ameli_llm.attributes.extractor import Extraction
from ameli_llm.attributes.merge import measure_precision, merge
from ameli_llm.types import AttributeValue, Evidence


def found(source: str, *values: str, key: str = "Color") -> Extraction:
    """Values in the order given, each at its own place; "-Red" is a denied one."""
    return Extraction(
        tuple(
            AttributeValue(
                key, value.lstrip("-"), source, Evidence("body", n, n + 1, "x"), value.startswith("-")
            )
            for n, value in enumerate(values)
        )
    )


@pytest.mark.parametrize(
    ("proposals", "precision", "expected"),
    [
        ({"rules": "Red"}, {}, [("Red", "rules")]),
        ({"rules": "Red"}, {"rules": {"Color": 0.5}}, []),
        ({"rules": "Red"}, {"rules": {"*": 0.51}}, [("Red", "rules")]),
        ({"rules": "Red"}, {"rules": {"*": 0.9, "Color": 0.2}}, []),
        ({"rules": "Red", "llm": "Blue"}, {"rules": {"*": 0.8}, "llm": {"*": 0.7}}, [("Red", "rules")]),
        ({"rules": "Red", "llm": "Blue"}, {}, [("Red", "rules")]),
        ({"llm": "Blue", "rules": "Red"}, {}, [("Blue", "llm")]),
        (
            {"rules": "Red", "ocr": "Grey", "llm": "gray"},
            {"rules": {"*": 0.99}, "llm": {"*": 0.95}},
            [("gray", "llm")],
        ),
        ({"rules": "Red", "llm": "-Red"}, {}, [("Red", "llm")]),
        ({"rules": "-Red", "llm": "Red"}, {}, [("Red", "rules")]),
        ({"rules": "-Red", "llm": "Red", "ocr": "red"}, {}, [("Red", "rules"), ("Red", "llm")]),
        ({"rules": "-Red", "llm": "Blue"}, {}, [("Red", "rules"), ("Blue", "llm")]),
    ],
)
def test_merge(
    proposals: dict[str, str], precision: dict[str, dict[str, float]], expected: list[tuple[str, str]]
) -> None:
    merged = merge({name: found(name, value) for name, value in proposals.items()}, precision)
    assert [(value.value, value.source) for value in merged] == expected


def test_a_value_names_all_who_say_it() -> None:
    proposals = {"rules": found("rules", "Grey"), "ocr": found("ocr", "gray"), "llm": found("llm", "Gray")}
    (value,) = merge(proposals, {"llm": {"*": 0.95}})
    assert (value.source, value.also) == ("llm", ("ocr", "rules"))


def test_agreement_counts_below_the_threshold_too() -> None:
    low = {"rules": {"*": 0.1}, "ocr": {"*": 0.1}}
    assert merge({"rules": found("rules", "Red"), "ocr": found("ocr", "red")}, low)


def test_keys_are_fused_apart() -> None:
    merged = merge({"rules": found("rules", "Red"), "ocr": found("ocr", "Acme", key="Brand")}, {})
    assert [value.key for value in merged] == ["Color", "Brand"]


def test_nothing_in_nothing_out() -> None:
    assert merge({}, {}) == ()


def test_precision_by_key_with_enough_values() -> None:
    reviews = [{"rules": found("rules", "Red"), "ocr": found("ocr", "Blue")}] * 6
    gold = [{"Color": ("red",)}] * 4 + [{"Color": ("Black",)}] * 2
    overall = {"wrong": (0 + 9) / 16, "often": (4 + 9) / 16}
    wrong = {"*": overall["wrong"], "Color": (0 + 10 * overall["wrong"]) / 16}
    often = {"*": overall["often"], "Color": (4 + 10 * overall["often"]) / 16}
    measured = measure_precision(reviews, gold)
    assert measured == {"ocr": wrong, "ocr alone": wrong, "rules": often, "rules alone": often}
    assert measure_precision([{"rules": found("rules", "Red")}] * 6, gold) == {"rules": often}


def test_precision_of_agreement_apart_from_that_of_one_alone() -> None:
    agreeing = {"rules": found("rules", "Red"), "llm": found("llm", "red")}
    alone: dict[str, Extraction] = {"rules": found("rules"), "llm": found("llm", "Blue")}
    gold = [{"Color": ("red",)}] * 8
    measured = measure_precision([agreeing] * 6 + [alone] * 2, gold)
    assert measured["llm+rules"] == {"*": 1.0, "Color": 1.0}
    assert measured["llm alone"] == {"*": (0 + 9) / 12}
    assert measured["llm"] == {"*": (6 + 9) / 18, "Color": (6 + 10 * (6 + 9) / 18) / 18}
    assert [value.value for value in merge(agreeing, measured)] == ["Red"]
    (doubted,) = merge(alone, measured)
    assert doubted.value == "Blue", "two wrong values prove nothing yet"
    measured = measure_precision([agreeing] * 6 + [alone] * 20, [{"Color": ("red",)}] * 26)
    assert merge(alone, measured) == ()


def test_an_agreement_that_is_measured_wrong_is_dropped() -> None:
    agreeing = {"rules": found("rules", "Red"), "llm": found("llm", "red")}
    assert merge(agreeing, {"llm+rules": {"*": 0.2}}) == ()


def test_few_values_count_for_all_keys_only() -> None:
    assert measure_precision([{"rules": found("rules", "Red")}], [{"Color": ("Red",)}]) == {
        "rules": {"*": (1 + 9) / 11}
    }


def test_products_without_the_key_are_not_counted() -> None:
    assert measure_precision([{"rules": found("rules", "Red")}], [{"Brand": ("Acme",)}]) == {}


def test_a_denied_value_is_right_when_the_product_does_not_have_it() -> None:
    reviews = [{"rules": found("rules", "-Red")}] * 2
    assert measure_precision(reviews, [{"Color": ("Red",)}, {"Color": ("Blue",)}]) == {
        "rules": {"*": (1 + 9) / 12}
    }


def test_alternatives_at_one_place_count_once() -> None:
    place = Evidence("body", 0, 4, "blue")
    both = Extraction(tuple(AttributeValue("Color", v, "rules", place) for v in ("Navy", "Red")))
    assert measure_precision([{"rules": both}], [{"Color": ("Navy",)}]) == {"rules": {"*": (1 + 9) / 11}}
