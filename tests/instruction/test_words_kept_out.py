"""What the shipped adapter learns from shares no deciding word with the twin that it is judged on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import yaml

from ameli_llm.dataset.synth.reviews import load_phrases as twin_phrases
from ameli_llm.instruction.shopper import load_phrases
from ameli_llm.instruction.world import invent, words

WORLD = words()
CATALOGUE = resources.files("ameli_llm.dataset.synth").joinpath("catalogue.yaml")
TWIN = yaml.safe_load(CATALOGUE.read_text("utf-8"))


def texts(content: Any) -> Iterator[str]:
    """All strings of a nested value."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for part in content.values():
            yield from texts(part)
    elif isinstance(content, list | tuple | set):
        for part in content:
            yield from texts(part)


def folded(content: Any) -> set[str]:
    return {re.sub(r"[^a-z0-9{} ]", "", text.lower()).strip() for text in texts(content)} - {""}


def test_no_sentence_is_the_twins() -> None:
    assert folded(load_phrases()) & folded(twin_phrases()) == set()


def test_no_key_value_noun_or_colour_is_the_twins() -> None:
    keys = {attribute["key"] for category in TWIN["categories"] for attribute in rows(category)}
    keys |= {"Brand", "Product Name", "Model Number", "Color", "Color Category", "Model Version"}
    trained = folded([part["keys"] for part in [*WORLD["words"], *WORLD["measures"], WORLD["coded"]]]) | {
        "maker"
    }
    assert trained & folded(keys) == set()
    said = folded([[part["values"] for part in WORLD["words"]], list(WORLD["aliases"].values())])
    assert said & folded([[colour["name"], colour["words"]] for colour in TWIN["colours"]]) == set()
    told = [row for category in TWIN["categories"] for row in rows(category) if "unit" not in row]
    values = [[row["values"], list(row.get("words", {}).values())] for row in told]
    assert said & folded(values) == set()
    mentions = folded([[category["noun"], category["mentions"]] for category in TWIN["categories"]])
    assert folded(WORLD["nouns"]) & mentions == set()


def test_no_invented_name_is_the_twins() -> None:
    names = {brand for shelf in invent(0, 300) for brand in shelf.brand_names}
    assert len(names) > 800
    assert names & {*TWIN["brands"], *TWIN["lines"]} == set()


def rows(category: dict[str, Any]) -> list[dict[str, Any]]:
    """The attributes of a category of the twin."""
    return [row for section in (category["key_specs"], *category.get("more", {}).values()) for row in section]
