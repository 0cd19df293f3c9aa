"""Reviews of one sentence and the values that the rules find in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ameli_llm.attributes.extractor import Extraction, ExtractionTask
from ameli_llm.attributes.rules import create
from ameli_llm.attributes.values.normalise import agreement, normalise, normalise_all
from ameli_llm.types import Review

VOCABULARY = {
    "Brand": ("Hewlett-Packard", "Acme", "Bosch", "Sony", "Sharp", "Intel"),
    "Color": (
        "Black",
        "Red",
        "Navy",
        "Sky Blue",
        "Gray-toned pink",
        "Space Gray",
        "Rose",
        "Black Stainless Steel",
    ),
    "Connection": ("Bluetooth", "Bluetooth and wired"),
    "Solid State Drive Capacity": ("512 gigabytes", "1000 gigabytes", "8 gigabytes"),
    "System Memory (RAM)": ("16 gigabytes", "8 gigabytes"),
    "Screen Size": ("15.6 inches", "14 inches"),
    "Model Number": ("WH-1000XM4/B", "WH1000XM4/S", "HDX-55"),
    "Size": ("XS, S, M, L, XL", "S, M, L"),
    "Material": ("Cotton, Polyester", "Hemp, Organic Cotton", "Yes"),
    "Capacity": ("12 fluid ounces", "1.5 quarts"),
    "Climate": ("Warm, Cold",),
    "Burners": ("4 burners", "Five Burners"),
}
RAM, SSD = "System Memory (RAM)", "Solid State Drive Capacity"


def extract(body: str, **fields: str) -> Extraction:
    (found,) = create().extract([ExtractionTask(Review(1, body=body, **fields), VOCABULARY)])
    return found


def shown(found: Extraction) -> list[tuple[str, str, str]]:
    return [(v.key, ("not " if v.negated else "") + v.value, v.evidence.text) for v in found.values]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("1tb ssd inside", [(SSD, "1000 gigabytes", "1tb")]),
        ("16 gigs of ram, 8gb ssd", [(RAM, "16 gigabytes", "16 gigs"), (SSD, "8 gigabytes", "8gb")]),
        (
            "I wanted the 512 but got the 1tb",
            [(SSD, "not 512 gigabytes", "512"), (SSD, "1000 gigabytes", "1tb")],
        ),
        ("love the bright red color", [("Color", "Red", "bright red")]),
        ('the 14" screen', [("Screen Size", "14 inches", '14"')]),
        ("a 15 inch laptop", [("Screen Size", "15.6 inches", "15 inch")]),
        ("a 15.6 laptop", [("Screen Size", "15.6 inches", "15.6")]),
        ("this 12 oz cup", [("Capacity", "12 fluid ounces", "12 oz")]),
        ("gray-toned pink", [("Color", "Gray-toned pink", "gray-toned pink")]),
        ("in space grey", [("Color", "Space Gray", "space grey")]),
        ("the blue one", [("Color", "Navy", "blue"), ("Color", "Sky Blue", "blue")]),
        ("rose to the top", []),
        ("the color rose", [("Color", "Rose", "rose")]),
        ("my balck kettle", [("Color", "Black", "balck")]),
        ("not the red one", [("Color", "not Red", "red")]),
        ("this hp laptop", [("Brand", "Hewlett-Packard", "hp")]),
        ("HEWLETT PACKARD", [("Brand", "Hewlett-Packard", "HEWLETT PACKARD")]),
        ("a sharp picture, Acme!", [("Brand", "Acme", "Acme")]),
        ("the Sharp is good", [("Brand", "Sharp", "Sharp")]),
        ("an Intel Core chip", []),
        ("my hdx 55 rocks", [("Model Number", "HDX-55", "hdx 55")]),
        ("HDX-555", []),
        (
            "WH1000XM4",
            [("Model Number", "WH-1000XM4/B", "WH1000XM4"), ("Model Number", "WH1000XM4/S", "WH1000XM4")],
        ),
        ("soft cotten shirt in XL", [("Material", "Cotton", "cotten"), ("Size", "XL", "XL")]),
        ("organic cotton", [("Material", "Organic Cotton", "organic cotton")]),
        ("keeps me warm, yes", []),
        ("all four burners", [("Burners", "4 burners", "four burners")]),
        ("a 5 burner stove", [("Burners", "Five Burners", "5 burner")]),
        ("four of five stars", []),
        ("skip the red, the navy is better", [("Color", "not Red", "red"), ("Color", "Navy", "navy")]),
        ("came the same day as the red Acme I ordered", []),
        ("black stainless", [("Color", "Black Stainless Steel", "black stainless")]),
        ("connects by bluetooth", [("Connection", "Bluetooth", "bluetooth")]),
        ("bluetooth and wired", [("Connection", "Bluetooth and wired", "bluetooth and wired")]),
        ("either polyester or acme", [("Material", "Polyester", "polyester"), ("Brand", "Acme", "acme")]),
        ("not the red or black", [("Color", "not Red", "red"), ("Color", "not Black", "black")]),
        ("Color: Red. Storage: 1 TB", [("Color", "Red", "Red"), (SSD, "1000 gigabytes", "1 TB")]),
    ],
)
def test_values(body: str, expected: list[tuple[str, str, str]]) -> None:
    assert shown(extract(body)) == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("my old Acme kettle", "other_product"),
        ("works with my Bosch", "other_product"),
        ("8 GB is fine", "ambiguous"),
        ("it was warm", "no_context"),
        ("Maker: Acme", "other_label"),
        ("got the bluetooth plus cable one", "begun"),
    ],
)
def test_dropped(body: str, reason: str) -> None:
    found = extract(body)
    assert found.values == ()
    assert found.dropped == {reason: 1}


@pytest.mark.parametrize(
    ("body", "dropped"),
    [
        ("ours is the red or navy", {"either": 2}),
        ("the polyester or the cotton", {"either": 2}),
        ("8 GB or 16 GB ram", {"either": 1, "ambiguous": 1}),
    ],
)
def test_of_two_values_with_or_between_them_neither_is_stated(body: str, dropped: dict[str, int]) -> None:
    found = extract(body)
    assert found.values == ()
    assert found.dropped == dropped


def test_a_review_is_about_the_brand_it_names_most() -> None:
    found = extract("Acme is fine. Sony makes it, Sony rules")
    assert shown(found) == [("Brand", "Sony", "Sony")]
    assert found.dropped == {"outnumbered": 1}


def test_header_and_mention_are_read_and_a_value_is_given_once() -> None:
    found = extract("Red and shiny", header="A red Acme", mention="Bosch kettle")
    fields = [(v.value, v.evidence.field) for v in found.values]
    assert fields == [("Red", "header"), ("Acme", "header")]


def test_an_empty_vocabulary_gives_nothing() -> None:
    (found,) = create().extract([ExtractionTask(Review(1, body="black Acme"), {})])
    assert found == Extraction()


@pytest.mark.parametrize(
    "piece", ["a", "1/", '"a ', "🎉", "\0", "512gb ", "not black ", "שלום ", "the acmee, ", "1 x "]
)
def test_a_very_long_review_is_cut_and_counted(piece: str) -> None:
    found = extract((piece * 100_000)[:100_000])
    assert found.dropped["text_cut"] == 1


REVIEW_TEXT = st.lists(
    st.sampled_from(
        [
            "black",
            "not",
            "8 GB",
            "ram",
            '15.6"',
            "Acme",
            "my old",
            ".",
            ",",
            "\0",
            "🎉",
            "wh 1000 xm4",
            "Color:",
        ]
    )
    | st.text(max_size=8)
).map(" ".join)


@settings(deadline=None)
@given(REVIEW_TEXT, REVIEW_TEXT)
def test_every_value_is_of_the_vocabulary_and_stands_in_its_field(header: str, body: str) -> None:
    review = Review(1, header=header, body=body)
    (found,) = create().extract([ExtractionTask(review, VOCABULARY)])
    for value in found.values:
        evidence = value.evidence
        assert getattr(review, evidence.field)[evidence.start : evidence.end] == evidence.text
        known = normalise_all(value.key, VOCABULARY[value.key])
        assert normalise(value.key, value.value) in known


@pytest.mark.parametrize(("name", "floor"), [("walmart", 0.9), ("bestbuy", 0.85)])
def test_precision_against_the_gold_product_of_real_reviews(
    name: str, floor: float, shared_data: Path
) -> None:
    from ameli_llm.dataset.attributes import attribute_dictionary
    from ameli_llm.dataset.load import load_dataset

    dataset = load_dataset(shared_data / name)
    split = dataset.split("dev")
    reviews = [review for review in split.reviews if split.gold.get(review.id) is not None][::3]
    right = judged = 0
    for review in reviews:
        gold = attribute_dictionary(dataset.products[split.gold[review.id] or 0])
        others = list(dataset.products.values())[review.id % 50 :: 150]
        vocabulary: dict[str, tuple[str, ...]] = dict(gold)
        for product in others:
            for key, values in attribute_dictionary(product).items():
                vocabulary[key] = vocabulary.get(key, ()) + values
        (found,) = create().extract([ExtractionTask(review, vocabulary)])
        for value in found.values:
            level = agreement(
                normalise(value.key, value.value), normalise_all(value.key, gold.get(value.key, ()))
            )
            if level is not None and value.key in ("Brand", "Model Number", "Color", "Hard Drive Capacity"):
                judged += 1
                right += (level > 0) != value.negated
    assert judged > 40
    assert right / judged >= floor
