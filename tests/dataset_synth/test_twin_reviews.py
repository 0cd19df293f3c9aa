"""What reviews say and show, and how much of it decides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ameli_llm.dataset.synth.catalogue import Catalogue
from ameli_llm.dataset.synth.layout import NIL_SHARE, Plan
from ameli_llm.dataset.synth.products import COLOUR
from ameli_llm.dataset.synth.provenance import CHANNELS, shares, survivors
from ameli_llm.dataset.synth.reviews import Draft, load_phrases, write_review
from ameli_llm.dataset.synth.wording import roughen, said_model, said_value


def forms(catalogue: Catalogue, category: str, key: str, value: str) -> set[str]:
    table = next(c for c in catalogue.categories if c.name == category)
    attribute = next(a for a in table.axes if a.key == key)
    rng = np.random.default_rng(0)
    return {said_value(attribute, value, rng) for _ in range(600)}


@pytest.mark.parametrize(
    ("category", "key", "value", "some"),
    [
        (
            "laptop",
            "Solid State Drive Capacity",
            "1000 gigabytes",
            {"1tb ssd", "1 terabyte drive", "1000gb ssd"},
        ),
        ("laptop", "Solid State Drive Capacity", "512 gigabytes", {"512gb ssd", "512 gigs of storage"}),
        ("laptop", "Screen Size", "14 inches", {'14"', "14-inch screen", "14in display"}),
        ("range_hood", "Width Class", "30 inches", {"30 inch wide", "2.5 ft", "2.5 foot wide"}),
        ("gas_range", "Maximum Burner Output", "15000 BTU", {"15k btu", "15,000 btu burner"}),
        ("gas_range", "Number of Burners", "5 burners", {"5 burner", "five burner"}),
        ("blender", "Jar Capacity", "64 fluid ounces", {"64 oz", "8 cup jar"}),
        ("vacuum", "Dust Capacity", "2 quarts", {"2 qt bin", "two quart canister"}),
        ("gas_range", "Fuel Type", "Liquid propane", {"propane", "lp"}),
    ],
)
def test_shoppers_words(catalogue: Catalogue, category: str, key: str, value: str, some: set[str]) -> None:
    assert some <= forms(catalogue, category, key, value)


def test_units_are_changed_only_where_shoppers_would(catalogue: Catalogue) -> None:
    assert not any("kw" in f for f in forms(catalogue, "blender", "Wattage", "300 watts"))
    assert {"1.5kw", "1.5 kw motor"} <= forms(catalogue, "blender", "Wattage", "1500 watts")


def test_model_numbers_as_people_copy_them() -> None:
    rng = np.random.default_rng(0)
    assert {said_model("BB-4821K", rng) for _ in range(50)} == {"BB-4821K", "bb-4821k", "BB4821K", "bb 4821k"}


def test_roughen_leaves_numbers_alone_and_keeps_most_words() -> None:
    text = "The 512gb version with 16GB is plenty for everyday work and gaming"
    for seed in range(200):
        rough = roughen(text, np.random.default_rng(seed), typos=0.2)
        assert "512gb" in rough
        assert "16gb" in rough.lower()
        assert len(set(rough.lower().split()) & set(text.lower().split())) >= 6


def test_a_review_depends_on_seed_and_id_only(plan: Plan, written: list[Draft], catalogue: Catalogue) -> None:
    alone = write_review(plan.gold(499), 500, plan.seed, plan.difficulty, load_phrases(), catalogue)
    assert (alone.header, alone.body, alone.photos) == (
        written[499].header,
        written[499].body,
        written[499].photos,
    )


def test_no_title_in_any_review_and_mention_in_each(written: list[Draft]) -> None:
    from ameli_llm.dataset.synth.products import title

    for draft in written:
        assert title(draft.item).lower() not in f"{draft.header} {draft.body} {draft.mention}".lower()
        assert draft.mention.lower() in draft.body.lower()
        assert "\x00" not in draft.header + draft.body
        assert "{" not in draft.header + draft.body


def test_gold_products_stand_in_one_split(plan: Plan) -> None:
    split_of: dict[int, set[str]] = {}
    for gold, split in zip(plan.golds, plan.splits, strict=True):
        split_of.setdefault(gold, set()).add(split)
    assert all(len(splits) == 1 for splits in split_of.values())
    counts = {name: plan.splits.count(name) / len(plan.splits) for name in ("train", "dev", "test")}
    assert counts == pytest.approx({"train": 0.70, "dev": 0.10, "test": 0.20}, abs=0.02)


def test_share_outside_the_kb_is_even_over_splits(plan: Plan) -> None:
    outside = [split for gold, split in zip(plan.golds, plan.splits, strict=True) if gold >= len(plan.items)]
    assert len(outside) == round(NIL_SHARE * len(plan.golds))
    assert {"train", "dev", "test"} == set(outside)


def test_every_channel_decides_for_some_reviews_that_the_others_cannot(written: list[Draft]) -> None:
    found = shares(written)
    assert found.narrows["text"] > 0.40
    assert found.narrows["colour"] > 0.40
    assert 0.20 < found.narrows["print"] < 0.40
    assert 0.60 < found.solvable < 0.80
    for channel in CHANNELS:
        assert found.without[channel] < found.solvable - 0.08, channel


def test_invisible_attributes_decide_in_about_two_fifths(written: list[Draft]) -> None:
    invisible = [any(axis != COLOUR for axis in d.provenance.stated) for d in written]
    assert 0.35 < sum(invisible) / len(written) < 0.55


def test_some_reviews_say_nothing_some_deny_some_speak_of_another_product(written: list[Draft]) -> None:
    def share(flags: list[bool]) -> float:
        return sum(flags) / len(flags)

    assert share([not (d.provenance.stated or d.provenance.denied) for d in written]) > 0.2
    assert share([bool(d.provenance.denied) for d in written]) > 0.1
    assert 0.1 < share([d.provenance.passing for d in written]) < 0.25
    assert share([p.kind == "dim" for d in written for p in d.photos]) > 0.08
    assert share([p.kind == "packaging" for d in written for p in d.photos]) > 0.03


def test_difficulty_takes_information_away(reviews_at: Callable[[float], list[Draft]]) -> None:
    easy, middle, hard = (shares(reviews_at(d)).solvable for d in (0.0, 0.5, 1.0))
    assert easy > middle + 0.1 > hard + 0.2
    assert easy < 1


def test_survivors_of_a_review_that_says_all(written: list[Draft]) -> None:
    full = next(d for d in written if set(d.provenance.stated) == set(d.item.family.axes))
    assert survivors(full, ["text"]) == (1 if full.item.variant in full.item.family.variants else 0)
    assert survivors(full, []) == len(full.item.family.variants)
