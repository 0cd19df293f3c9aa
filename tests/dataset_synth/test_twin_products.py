"""Families, titles and pages."""

from __future__ import annotations

import itertools

import pytest

from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.synth.canvas import Canvas, Fonts, Look
from ameli_llm.dataset.synth.catalogue import Catalogue
from ameli_llm.dataset.synth.layout import Plan, make_plan
from ameli_llm.dataset.synth.pages import product_record
from ameli_llm.dataset.synth.products import COLOUR, Family, families, short_value, title
from ameli_llm.dataset.synth.shapes import shape
from ameli_llm.types import Product, SpecRow


def pages(plan: Plan) -> list[list[SpecRow]]:
    records = (product_record(item, 1, plan.seed, ["0000001_sd.jpg"]) for item in plan.items)
    return [
        [SpecRow(s["subsection"], row["specification"], row["value"]) for s in r["Spec"] for row in s["text"]]
        for r in records
    ]


def test_the_catalogue_has_categories_with_their_own_attributes(catalogue: Catalogue) -> None:
    assert len(catalogue.categories) >= 12
    keys = [frozenset(a.key for a in c.attributes) for c in catalogue.categories]
    assert len(set(keys)) == len(keys)
    for category in catalogue.categories:
        assert len(category.colours) >= 5, category.name
        assert len(category.axes) >= 3, category.name
        assert sum(len(a.values) > 2 for a in category.axes) >= 2, category.name
        assert len(category.features) >= 7, category.name
        for axis in category.axes:
            assert axis.section == "Key Specs"
            assert axis.unit or set(axis.words) == set(axis.values), (category.name, axis.key)


def test_every_category_is_drawn_in_its_colour(catalogue: Catalogue) -> None:
    fonts, colour = Fonts(), (10, 200, 90)
    for name in [c.name for c in catalogue.categories]:
        canvas = Canvas(fonts)
        shape(name)(canvas, Look(colour, (0.5,) * 8, 4, "Acme", "AB1234C"))
        colours = {pixel: count for count, pixel in canvas.image.getcolors(1 << 20) or []}
        assert colours.get((*colour, 255), 0) > 4000, name


def test_about_23_attributes_a_product(plan: Plan) -> None:
    rows = [len(page) for page in pages(plan)]
    assert 20 <= sum(rows) / len(rows) <= 26


def test_axes_are_in_the_attribute_dictionary(plan: Plan) -> None:
    for item, spec in zip(plan.items[:50], pages(plan), strict=False):
        dictionary = attribute_dictionary(Product(1, title(item), spec=tuple(spec)))
        for axis in item.family.axes:
            assert dictionary[axis][0].lower() == item.variant.value(axis).lower()


def test_variants_of_a_family_differ_in_one_to_three_attributes(plan: Plan) -> None:
    derived = {"Model Number", "Product Name", "Color Category"}
    by_family: dict[int, list[dict[str, str]]] = {}
    for item, page in zip(plan.items, pages(plan), strict=True):
        row = {r.key: r.value for r in page if r.key not in derived}
        by_family.setdefault(item.family.index, []).append(row)
    assert max(len(rows) for rows in by_family.values()) >= 5
    for rows in by_family.values():
        for a, b in itertools.combinations(rows, 2):
            assert a.keys() == b.keys()
            assert 1 <= sum(a[key] != b[key] for key in a) <= 3


def test_titles_and_model_numbers_are_unique_at_full_size(catalogue: Catalogue) -> None:
    full = make_plan(catalogue, products=35_598, reviews=0, seed=1, difficulty=0.0)
    items = [*full.items, *full.strangers]
    assert len({title(item) for item in items}) == len(items)
    assert len({item.variant.model for item in items}) == len(items)


def test_most_titles_are_brand_name_colour(plan: Plan) -> None:
    three_parts = [title(item).split(" - ") for item in plan.items]
    assert sum(len(parts) == 3 for parts in three_parts) / len(three_parts) > 0.7
    for item, parts in zip(plan.items, three_parts, strict=True):
        assert parts[0] == item.family.brand
        assert parts[-1] == item.variant.value(COLOUR)


def test_a_family_does_not_depend_on_how_many_are_made(catalogue: Catalogue) -> None:
    def first(products: int) -> list[Family]:
        return list(itertools.islice(families(catalogue, 9, 0.5, products), 20))

    assert first(400) == first(4000)


@pytest.mark.parametrize(
    ("category", "key", "value", "short"),
    [
        ("laptop", "Solid State Drive Capacity", "512 gigabytes", "512GB SSD"),
        ("laptop", "Screen Size", "15.6 inches", '15.6"'),
        ("range_hood", "Air Flow", "400 cubic feet per minute", "400 CFM"),
        ("gas_range", "Fuel Type", "Natural gas", "Natural gas"),
        ("refrigerator", "Total Capacity", "20.5 cubic feet", "20.5Cu. Ft."),
    ],
)
def test_values_in_titles(catalogue: Catalogue, category: str, key: str, value: str, short: str) -> None:
    table = next(c for c in catalogue.categories if c.name == category)
    assert short_value(next(a for a in table.axes if a.key == key), value) == short
