"""What counts as an attribute mismatch, rule m1."""

from __future__ import annotations

import pytest

from ameli_llm.fusion.mismatch import has_mismatch
from ameli_llm.types import AttributeValue, Evidence


def states(key: str, value: str, *, negated: bool = False) -> AttributeValue:
    evidence = Evidence(field="body", start=0, end=len(value), text=value)
    return AttributeValue(key, value, "rules", evidence, negated)


RED = {"Color": ("Red",), "Brand": ("Acme",)}
BLUE = {"Color": ("Blue",), "Brand": ("Acme",)}
PLAIN = {"Brand": ("Acme",)}


@pytest.mark.parametrize(
    ("stated", "attributes", "mismatch"),
    [
        ([states("Color", "Red")], RED, False),
        ([states("Color", "red")], RED, False),
        ([states("Color", "Blue")], RED, True),
        ([states("Color", "Blue")], PLAIN, False),  # a missing key never filters
        ([], RED, False),
        ([states("Color", "Red"), states("Brand", "Bravo")], RED, True),
        ([states("Color", "Red"), states("Color", "Blue")], RED, False),  # one of several is enough
        ([states("Storage", "1 TB")], {"Storage": ("1000 gigabytes",)}, False),
        ([states("Storage", "512 GB")], {"Storage": ("1000 gigabytes",)}, True),
        ([states("Color", "Red")], {"Color": ("Red", "Blue")}, False),
        ([states("Color", "Red")], {"Color": ("Red, Blue",)}, False),
        ([states("Color", "Red, Blue")], {"Color": ("Red, Blue",)}, False),
        ([states("Color", "Green")], {"Color": ("Red", "Blue")}, True),
        ([states("Color", "Green")], {"Color": ("Other",)}, False),
        ([states("Color", "Other")], RED, False),
        ([states("Color", "Red", negated=True)], RED, True),
        ([states("Color", "Red", negated=True)], BLUE, False),
        ([states("Color", "Red", negated=True)], {"Color": ("Red", "Blue")}, False),
        ([states("Color", "Red", negated=True)], PLAIN, False),
        ([states("Color", "Red", negated=True), states("Color", "Blue")], BLUE, False),
        ([states("Color", "Red", negated=True), states("Color", "Blue")], RED, True),
    ],
)
def test_mismatch(
    stated: list[AttributeValue], attributes: dict[str, tuple[str, ...]], mismatch: bool
) -> None:
    assert has_mismatch(stated, attributes) is mismatch
