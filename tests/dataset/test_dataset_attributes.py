from __future__ import annotations

from collections.abc import Callable

import pytest

from ameli_llm.dataset.attributes import ProductAttributes, attribute_dictionary
from ameli_llm.types import Product

Make = Callable[..., Product]


def test_sections_and_order(make_product: Make) -> None:
    product = make_product(
        "Blender",
        ("Other", "Warranty", "1 year"),
        ("General", "Color", "Red"),
        ("Key Specs", "Capacity", "1.5 quarts"),
        ("All", "Color", "Crimson"),
        ("Key Specs", "Color", "Red"),
    )
    found = attribute_dictionary(product)
    assert found == {"Color": ("Red", "Crimson"), "Capacity": ("1.5 quarts",)}
    assert list(found) == ["Color", "Capacity"]


@pytest.mark.parametrize("general", [(), (("General", "Bluetooth", "Yes"),)])
def test_all_sections_when_the_main_ones_give_nothing(
    general: tuple[tuple[str, str, str], ...], make_product: Make
) -> None:
    product = make_product("Blender", *general, ("Size", "Width", "12 inches"))
    assert attribute_dictionary(product) == {"Width": ("12 inches",)}


@pytest.mark.parametrize("value", ["Yes", "no", "NONE", "Other", "", " "])
def test_value_that_tells_nothing(value: str, make_product: Make) -> None:
    assert attribute_dictionary(make_product("x", ("General", "Key", value))) == {}


@pytest.mark.parametrize("value", ["M", "4", "No Frost", "16GB", "Yes, 2"])
def test_value_that_stays_as_written(value: str, make_product: Make) -> None:
    assert attribute_dictionary(make_product("x", ("General", "Key", value))) == {"Key": (value,)}


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Acme - Blender - Red", {"Brand": "Acme", "Product Name": "Blender", "Color": "Red"}),
        ("Acme - Blender - Other", {"Brand": "Acme", "Product Name": "Blender"}),
        ("Acme - Blender", {}),
        ("Acme - Blender - Red - New", {}),
        ("Acme-Blender-Red", {}),
    ],
)
def test_title_of_three_parts(title: str, expected: dict[str, str], make_product: Make) -> None:
    found = attribute_dictionary(make_product(title))
    assert found == {key: (value,) for key, value in expected.items()}


def test_title_does_not_replace_the_page(make_product: Make) -> None:
    product = make_product("Acme - Blender - Red", ("General", "Color", "Cherry"))
    assert attribute_dictionary(product) == {
        "Color": ("Cherry",),
        "Brand": ("Acme",),
        "Product Name": ("Blender",),
    }


@pytest.mark.parametrize(
    ("title", "versions"),
    [
        ("Sony - WH-1000XM4 Wireless", ["WH-1000XM4"]),
        ("Dell XPS13 Laptop", ["XPS13"]),
        ("Apple iPhone 12 Case", ["iPhone 12"]),
        ("Router AC1900 by Netgear R7000", ["AC1900", "R7000"]),
        ("WH-1000XM4 Wireless", []),
        ("Splatoon 2 - Nintendo", []),
        ("Game for PS4", []),
        ("Game for PlayStation 4", []),
        ("Game V2", []),
        ("Cooktop with 5 burners", []),
        ("Hub USB 3.0", []),
        ("Photo Frame 12 x 14", ["Frame 12"]),
        ("Laptop 16GB", []),
    ],
)
def test_model_version(title: str, versions: list[str], make_product: Make) -> None:
    assert list(attribute_dictionary(make_product(title)).get("Model Version", ())) == versions


def test_the_title_is_no_attribute(make_product: Make) -> None:
    assert attribute_dictionary(make_product("Acme Blender")) == {}


def test_products_share_nothing(make_product: Make) -> None:
    red = attribute_dictionary(make_product("x", ("General", "Color", "Red")))
    red["Capacity"] = ("1",)
    assert attribute_dictionary(make_product("y", ("General", "Brand", "Acme"))) == {"Brand": ("Acme",)}


def test_those_of_all_products_by_id(make_product: Make) -> None:
    products = {
        id_: make_product("Blender", ("General", "Color", colour))
        for id_, colour in ((1, "Red"), ("a", "Blue"))
    }
    attributes = ProductAttributes(products)
    assert dict(attributes) == {id_: attribute_dictionary(product) for id_, product in products.items()}
    with pytest.raises(KeyError):
        attributes["1"]
