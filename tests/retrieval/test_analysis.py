from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.analysis import terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4TB drive", "4 tb drive"),
        ("4 TB drive", "4 tb drive"),
        ('15.6" laptop', "15.6 laptop"),
        ("1,000 GB", "1000 gb"),
        ("12,3", "12 3"),
        ("WH-1000XM4", "wh 1000 xm 4 wh1000xm4"),
        ("wh1000xm4", "wh 1000 xm 4 wh1000xm4"),
        ("Wi-Fi", "wi fi"),
        ("women's shoes", "women shoes"),
        ("DDR3", "ddr 3 ddr3"),
        ("ＦＵＬＬ width", "full width"),
        ("snake_case", "snake case"),
        ("", ""),
        ("!!! ... \U0001f600", ""),
    ],
)
def test_terms(text: str, expected: str) -> None:
    assert terms(text) == expected.split()


@given(st.text(max_size=80))
def test_any_text_gives_lower_case_words(text: str) -> None:
    found = terms(text)
    assert all(term and term == term.strip() and " " not in term for term in found)


@given(st.integers(0, 9999), st.sampled_from(["tb", "gb", "in", "hz"]))
def test_a_quantity_is_the_same_with_and_without_a_space(number: int, unit: str) -> None:
    assert terms(f"{number}{unit}") == terms(f"{number} {unit}") == terms(f"{number} {unit.upper()}")
