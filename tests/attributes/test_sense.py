"""What quotations mean, by the packaged sentence encoder."""

from __future__ import annotations

import json

import pytest

from ameli_llm.attributes import llm
from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.attributes.matching.sense import Sense
from ameli_llm.config import AttributesConfig
from ameli_llm.engines.engine import ChatReply
from ameli_llm.types import Review
from retrieval.encoders import text_encoder
from tests.attributes.test_llm_extractor import Scripted

LISTED = {
    "Theme": ("Fire truck", "Pirate ship", "Tree house"),
    "Color": ("Black", "Red", "Graphite", "Cream"),
    "Fuel Type": ("Liquid propane", "Natural gas"),
    "Video": ("4K at 30p", "4K at 60p"),
    "Material": ("Cotton", "Polyester"),
    "Brand": ("Ultimate Ears", "Acme"),
    "Product Name": ("Harvest 5499T Action Figure", "Harvest 5499A Action Figure"),
    "Burner": ("12000 BTU", "15000 BTU"),
}


@pytest.fixture(scope="module")
def sense() -> Sense:
    return Sense(text_encoder("sbert").encode, AttributesConfig().sense)


@pytest.mark.parametrize(
    ("words", "favoured", "meant"),
    [
        ("fire engine", "Fire truck", "Fire truck"),
        ("fire engine", "Pirate ship", "Fire truck"),
        ("pirate boat", "Tree house", "Pirate ship"),
        ("smell from the packaging", "Fire truck", None),
        ("a birthday present", "Pirate ship", None),
    ],
)
def test_words_mean_the_nearest_value_or_none(
    sense: Sense, words: str, favoured: str, meant: str | None
) -> None:
    assert sense.meant(words, LISTED["Theme"], favoured) == meant


def test_the_favoured_value_wins_where_hardly_another_is_nearer(sense: Sense) -> None:
    twice = ("Glow", "Glow ")
    assert [sense.meant("it glows", twice, favoured) for favoured in twice] == list(twice)
    assert sense.meant("it glows", (), "Glow") is None


@pytest.mark.parametrize(
    ("key", "quote", "said", "kept"),
    [
        ("Theme", "fire engine", "Fire truck", "Fire truck"),
        ("Theme", "fire engine", "Tree house", "Fire truck"),
        ("Theme", "protection plan", "Tree house", "unlike"),
        ("Color", "bright red", "Black", "Red"),
        ("Color", "dark gray", "Black", "contradicted"),
        ("Fuel Type", "propane", "Natural gas", "Liquid propane"),
        ("Video", "4k 30", "4K at 60p", "4K at 30p"),
        ("Material", "material", "Cotton", "unlike"),
        ("Brand", "too tight for big ears", "Ultimate Ears", "unlike"),
        ("Brand", "ultimate ears", "Ultimate Ears", "Ultimate Ears"),
        ("Product Name", "harvest", "Harvest 5499T Action Figure", "unlike"),
        (
            "Product Name",
            "harvest 5499a action figure",
            "Harvest 5499A Action Figure",
            "Harvest 5499A Action Figure",
        ),
        ("Burner", "12k BTU", "12000 BTU", "12000 BTU"),
        ("Burner", "12k BTU", "15000 BTU", "12000 BTU"),
        ("Burner", "9k BTU", "15000 BTU", "contradicted"),
    ],
)
def test_a_quotation_counts_for_the_value_that_it_means(
    sense: Sense, key: str, quote: str, said: str, kept: str
) -> None:
    engine = Scripted(lambda _: ChatReply(json.dumps({key: [quote, said]}), finish_reason="stop"))
    task = ExtractionTask(Review(1, body=f"I took the {quote}, and it is fine."), LISTED)
    found = llm.create(engine, sense=sense).extract([task])[0]
    outcome = [(value.value, value.evidence.text) for value in found.values]
    if kept in LISTED[key]:
        assert (outcome, dict(found.dropped)) == ([(kept, quote)], {})
    else:
        assert (outcome, dict(found.dropped)) == ([], {kept: 1})
