"""Which attributes tell candidates apart, and which the most."""

from __future__ import annotations

from typing import Any

import pytest

from ameli_llm.comparison.differences import differing, pairs_told_apart


@pytest.mark.parametrize(
    ("attributes", "keys"),
    [
        ([], ()),
        ([{"Color": ("Red",)}], ()),
        ([{"Color": ("Red",)}, {"Color": ("Red",)}], ()),
        ([{"Color": ("Red",)}, {}], ()),
        ([{"Color": ("Red",)}, {"Color": ("Black",)}], ("Color",)),
        ([{"Storage": ("1 TB",)}, {"Storage": ("1000 gigabytes",)}], ()),
        ([{"Size": ("S", "M")}, {"Size": ("M", "S")}], ()),
        ([{"Size": ("S, M",)}, {"Size": ("M", "S")}], ()),
        ([{"Size": ("S", "M")}, {"Size": ("S",)}], ("Size",)),
        ([{"Touch": ("Yes",)}, {"Touch": ("No",)}], ("Touch",)),
        ([{"B": ("1 inch",), "A": ("Red",)}, {"B": ("2 inches",), "A": ("Black",)}], ("A", "B")),
        (
            [{"A": ("Red",), "B": ("x",)}, {"A": ("Red",), "B": ("y",)}, {"A": ("Black",), "B": ("z",)}],
            ("B", "A"),
        ),
    ],
)
def test_differing(attributes: list[Any], keys: tuple[str, ...]) -> None:
    assert differing(attributes) == keys
    assert differing(list(reversed(attributes))) == keys


def test_pairs_told_apart() -> None:
    attributes = [{"Color": ("Red",)}, {"Color": ("red",)}, {"Color": ("Black",)}, {}]
    assert pairs_told_apart(attributes, "Color") == 2
    assert pairs_told_apart(attributes, "Brand") == 0
