"""Presets, variants, pairs: what AMELINK is made to read, as tables of small cases."""

from __future__ import annotations

from typing import Any

import pytest

from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.types import AttributeValue, Evidence, Product, Review, SpecRow
from eval.baselines.amelink import PRESETS, settings_for
from eval.baselines.amelink.pairs import (
    Slots,
    TextPair,
    chosen_attributes,
    clauses,
    pair_sets,
    review_text,
)
from eval.baselines.amelink.settings import MINILM, SIAMESE, AmelinkSettings, parsed
from eval.baselines.amelink.variants import VARIANTS, default_variants, slots_of, text_model, text_models
from eval.baselines.baseline import Task
from eval.baselines.material import Material

PAPER, OFFICIAL = PRESETS["paper"], PRESETS["official"]


def test_presets_differ_in_the_documented_settings_and_no_other() -> None:
    paper, official = PAPER.model_dump(), OFFICIAL.model_dump()
    differing = {name for name in paper if paper[name] != official[name]}
    assert differing == {
        *("encoder", "pooling", "frozen", "literal_sep", "attributes", "order", "title"),
        *("title_without_attribute", "description_first", "statement", "review_attributes", "padding"),
        *("layers", "dropout", "adapter", "images", "combination", "scale", "missing", "mismatch"),
        *("stated", "gold_image", "adapter_temperature", "adapter_negatives"),
    }
    fields = AmelinkSettings.model_fields
    assert [name for name in differing if "fficial" not in (fields[name].description or "")] == []


@pytest.mark.parametrize(
    ("setting", "paper", "official"),
    [
        ("images", "first", "selected"),
        ("gold_image", False, True),
        ("stated", "extracted", "gold"),
        ("adapter_temperature", 0.07, 1.0),
        ("adapter_negatives", "batch", "candidates"),
    ],
)
def test_the_official_preset_has_its_leaks_and_the_papers_has_none(
    setting: str, paper: object, official: object
) -> None:
    for encoder in ("", MINILM):
        found = [getattr(settings_for(preset, encoder), setting) for preset in ("paper", "official")]
        assert found == [paper, official]


def test_every_setting_is_described() -> None:
    assert [name for name, field in AmelinkSettings.model_fields.items() if not field.description] == []


def test_minilm_brings_its_own_settings_to_either_preset() -> None:
    for preset in PRESETS:
        with_minilm = settings_for(preset, MINILM).model_dump()
        changed = {name for name, value in PRESETS[preset].model_dump().items() if value != with_minilm[name]}
        assert changed <= set(SIAMESE)
        assert with_minilm["pairing"] == "siamese"
        assert with_minilm["statement"] == PRESETS[preset].statement


def test_settings_survive_json() -> None:
    for preset in PRESETS.values():
        assert AmelinkSettings.model_validate_json(preset.model_dump_json()) == preset


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"dropuot": 0.5}, "dropuot"),
        ({"dropout": 1.0}, "dropout"),
        ({"candidates": 1}, "candidates"),
        ({"statement": "{key} is {worth}"}, "statement"),
        ({"statement": "no value"}, "statement"),
        ({"features": []}, "features"),
        ({"layers": [0]}, "layers"),
        ({"gold_image": True}, "gold_image: .* images is first, not selected"),
        ({"gold_image": True, "images": "all"}, "gold_image: .* images is all, not selected"),
        ({"adapter_temperature": 0.0}, "adapter_temperature"),
        ({"adapter_negatives": "all"}, "adapter_negatives"),
        ({"stated": "system"}, "stated"),
    ],
)
def test_wrong_settings_are_named(content: dict[str, Any], message: str) -> None:
    with pytest.raises(AmeliError, match=f"setting {message}"):
        parsed(content)


def test_the_gold_image_needs_selected_images() -> None:
    assert parsed({"gold_image": True, "images": "selected"}).gold_image


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(UnknownNameError, match="offical"):
        settings_for("offical")


def value(key: str, text: str, negated: bool = False) -> AttributeValue:
    return AttributeValue(key, text, "rules", Evidence("body", 0, 1, text), negated)


PRODUCT = Product(
    1,
    "Acme - Breeze - Red",
    description="A fine\n blender.",
    spec=tuple(SpecRow("General", k, v) for k, v in (("Width", "3 in"), ("Brand", "Acme"), ("Color", "Red"))),
)
BARE = Product(2, "Thing")


@pytest.fixture
def material() -> Material:
    from pathlib import Path

    return Material.of(Dataset(Path(), [PRODUCT, BARE]), None)  # type: ignore[arg-type]


REVIEW = Review(7, "Great", "My red one is quiet", "blender")


@pytest.mark.parametrize(
    ("settings", "slots", "extracted", "keys"),
    [
        (PAPER, Slots(24, False), [], ["Width", "Brand", "Color", "Product Name"]),
        (PAPER, Slots(2, False), [value("Color", "Red")], ["Color", "Width"]),
        (PAPER, Slots(2, False), [value("Color", "Red", negated=True)], ["Width", "Brand"]),
        (PAPER, Slots(2, True), [value("Color", "Red")], ["Product Title", "Color"]),
        (
            OFFICIAL,
            Slots(5, True),
            [value("Color", "Red")],
            ["Product Title", "Product Name", "Brand", "Color", "Width"],
        ),
        (OFFICIAL, Slots(5, False), [], ["Product Name", "Brand", "Width", "Color"]),
        (OFFICIAL, Slots(1, True), [], ["Product Title"]),
    ],
)
def test_which_attributes_fill_the_slots(
    settings: AmelinkSettings,
    slots: Slots,
    extracted: list[AttributeValue],
    keys: list[str],
    material: Material,
) -> None:
    found = chosen_attributes(PRODUCT, material.attributes[1], extracted, slots, settings)
    assert [key for key, _ in found] == keys


def sets_of(settings: AmelinkSettings, slots: Slots, product: Product, material: Material) -> Any:
    from ameli_llm.types import Candidate

    task = Task(REVIEW, (Candidate(product.id, 1.0),), (value("Color", "Red"),))
    return pair_sets(task, material, slots, settings)[0]


def test_the_papers_pairs(material: Material) -> None:
    text = "blender. Great. My red one is quiet"
    assert sets_of(PAPER, Slots(5, False), PRODUCT, material) == (
        TextPair(text, "Color: Red"),
        TextPair(text, "Width: 3 in"),
        TextPair(text, "Brand: Acme"),
        TextPair(text, "Product Name: Breeze"),
        None,
        TextPair(text, "A fine blender."),
    )


def test_the_official_pairs(material: Material) -> None:
    text = "blender. Color: Red.. Great. My red one is quiet"
    found = sets_of(OFFICIAL, Slots(6, True), PRODUCT, material)
    assert found == (
        TextPair(text, "Product Title of blender is Acme - Breeze - Red"),
        TextPair(text, "Product Name of blender is Breeze"),
        TextPair(text, "Brand of blender is Acme"),
        TextPair(text, "Color of blender is Red"),
        TextPair(text, "Width of blender is 3 in"),
        TextPair(text, "5 of blender is Acme - Breeze - Red"),
        TextPair("A fine blender.", text),
    )


def test_a_bare_product_leaves_its_slots_empty(material: Material) -> None:
    assert sets_of(PAPER, Slots(2, False), BARE, material) == (None, None, None)
    assert sets_of(OFFICIAL, Slots(2, False), BARE, material) == (None, None, None)


def test_a_siamese_pair_is_never_turned_round(material: Material) -> None:
    settings = settings_for("official", MINILM)
    found = sets_of(settings, Slots(0, False), PRODUCT, material)
    assert found[0].second == "A fine blender."


def test_review_text_of_an_empty_review() -> None:
    assert review_text(Review(1), [], PAPER) == ""


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("It is red. Color: Red. fine", ("It is red.", "Color: Red.", "fine")),
        ("small and loud, but 5.6 cu ft", ("small", "and loud,", "but 5.6 cu ft")),
        ("", ("",)),
        ("...", ("...",)),
        ("!! ok", ("ok",)),
    ],
)
def test_clauses(text: str, parts: tuple[str, ...]) -> None:
    assert clauses(text) == parts


def test_clauses_are_bounded() -> None:
    assert len(clauses("red, " * 1000)) == 40


@pytest.mark.parametrize(
    ("preset", "names", "models"),
    [
        ("paper", list(VARIANTS), ["attributes", "description", "titled"]),
        ("official", list(VARIANTS), ["attributes", "description", "untitled"]),
        ("paper", ["full", "without title"], ["attributes"]),
        ("official", ["full", "with title"], ["attributes"]),
        ("paper", ["without text"], []),
    ],
)
def test_variants_share_their_text_models(preset: str, names: list[str], models: list[str]) -> None:
    assert text_models(names, PRESETS[preset]) == models


def test_the_title_ablation_is_the_one_that_the_preset_lacks() -> None:
    assert "with title" in default_variants(PAPER)
    assert "without title" not in default_variants(PAPER)
    assert "without title" in default_variants(OFFICIAL)
    assert text_model(VARIANTS["without title"], OFFICIAL) == "untitled"


def test_without_attribute_the_official_code_keeps_the_title() -> None:
    assert slots_of("description", PAPER) == Slots(0, False)
    assert slots_of("description", OFFICIAL) == Slots(1, True)
    assert slots_of("untitled", OFFICIAL) == Slots(5, False)
