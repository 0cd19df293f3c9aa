from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ameli_llm.dataset.importing.cells import MAX_TEXT, category_of, image_names, spec_of, text_of, texts_of
from ameli_llm.dataset.importing.losses import LeftOutError


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (" a ", " a "),
        (None, ""),
        (5, "5"),
        (5.0, "5"),
        (2.5, "2.5"),
        (float("nan"), ""),
        (True, "Yes"),
        (Decimal("12.50"), "12.50"),
        (date(2020, 1, 31), "2020-01-31"),
        (["One.", None, "Two."], "One.\nTwo."),
        ("[1, 2]", "[1, 2]"),
        ("=1+2", "=1+2"),
        ("x" * MAX_TEXT, "x" * MAX_TEXT),
    ],
)
def test_text(cell: Any, text: str) -> None:
    assert text_of(cell) == text


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ({"a": 1}, "holds an object where a text is expected"),
        (b"a", "holds an object where a text is expected"),
        ("x" * (MAX_TEXT + 1), "holds a text of more than 1,000,000 characters"),
    ],
)
def test_no_text(cell: Any, reason: str) -> None:
    with pytest.raises(LeftOutError, match=f"^{reason}$"):
        text_of(cell)


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ("", []),
        (None, []),
        ("one", ["one"]),
        ("one, two", ["one, two"]),
        ("one | two|", ["one", "two"]),
        ("one; two", ["one", "two"]),
        ("one\ntwo; three", ["one", "two; three"]),
        (["one", None, " two "], ["one", "two"]),
        ('["one", "two"]', ["one", "two"]),
        ("['one', \"it's\", 3, None]", ["one", "it's", "3"]),
        ("[unbalanced", ["[unbalanced"]),
        ("[" * 100_000, ["[" * 100_000]),
        ("[" * 70 + "'a'" + "]" * 70, ["[" * 70 + "'a'" + "]" * 70]),
        ("[__import__('os')]", ["[__import__('os')]"]),
        ("['a' '\\d']", ["a\\d"]),
    ],
)
def test_texts(cell: Any, texts: list[str]) -> None:
    assert texts_of(cell) == texts


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("a.jpg", ["a.jpg"]),
        ("a.jpg, b/c.png", ["a.jpg", "b/c.png"]),
        ("a.jpg|b.jpg", ["a.jpg", "b.jpg"]),
        ("a, b.jpg", ["a, b.jpg"]),
        ("['a.jpg', 'b.jpg']", ["a.jpg", "b.jpg"]),
    ],
)
def test_image_names(cell: str, names: list[str]) -> None:
    assert image_names(cell) == names


@pytest.mark.parametrize(
    ("cell", "path"),
    [
        ("Kitchen", ["Kitchen"]),
        ("Kitchen -> Blenders", ["Kitchen", "Blenders"]),
        ("Kitchen > Blenders", ["Kitchen", "Blenders"]),
        ("Kitchen>Blenders", ["Kitchen", "Blenders"]),
        ("Kitchen|Blenders", ["Kitchen", "Blenders"]),
        ("Kitchen / Blenders", ["Kitchen", "Blenders"]),
        ("TV/Video > 4K", ["TV/Video", "4K"]),
        (["Kitchen", "Blenders"], ["Kitchen", "Blenders"]),
        ("['Kitchen', 'Blenders']", ["Kitchen", "Blenders"]),
        ([["Kitchen"], ["Kitchen", "Blenders"]], ["Kitchen", "Blenders"]),
        ("", []),
        (None, []),
    ],
)
def test_category(cell: Any, path: list[str]) -> None:
    assert category_of(cell) == path


@pytest.mark.parametrize(
    "cell",
    [
        {"Color": "Red", "Ports": ["HDMI", "USB"]},
        {"Look": {"Color": "Red"}, "Sockets": {"Ports": ["HDMI", "USB"]}},
        [{"key": "Color", "value": "Red"}, {"key": "Ports", "value": ["HDMI", "USB"]}],
        [{"name": "Color", "value": "Red"}, {"Name": "Ports", "Value": ["HDMI", "USB"]}],
        [("Color", "Red"), ("Ports", "HDMI"), ("Ports", "USB")],
        '{"Color": "Red", "Ports": ["HDMI", "USB"]}',
        "{'Color': 'Red', 'Ports': ['HDMI', 'USB'], 'Weight': None}",
        "Color: Red; Ports: HDMI; Ports: USB",
        "Color: Red\nPorts: HDMI\nPorts: USB",
        "Color=Red|Ports=HDMI|Ports=USB|",
    ],
)
def test_attributes(cell: Any) -> None:
    rows = [(row.section, row.key, row.value) for row in spec_of(cell)]
    assert rows == [("All", "Color", "Red"), ("All", "Ports", "HDMI"), ("All", "Ports", "USB")]


@pytest.mark.parametrize("cell", ["", None, {}, [], "{}"])
def test_no_attributes(cell: Any) -> None:
    assert spec_of(cell) == ()


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("red and blue", "is no object, and no list of keys with values"),
        (5, "must be an object, or a list of objects with key and value"),
        ({"a": {"b": {"c": 1}}}, "has neither a text nor a number nor a list of these"),
        ([{"key": "a", "value": 1}, {"b": 2}], "has no key and value"),
        ([{"a": 1}, {"b": 2}], "has no key and value"),
    ],
)
def test_attributes_that_cannot_be_told(cell: Any, reason: str) -> None:
    with pytest.raises(LeftOutError, match=f"^{reason}$"):
        spec_of(cell)
