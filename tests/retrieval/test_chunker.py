from __future__ import annotations

import pytest

from retrieval.chunker import RuleChunker, find_chunker, singular


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("blenders", "blender"),
        ("batteries", "battery"),
        ("switches", "switch"),
        ("boxes", "box"),
        ("glass", "glass"),
        ("bus", "bus"),
        ("tennis", "tennis"),
        ("tvs", "tvs"),
        ("tees", "tee"),
        ("headphone", "headphone"),
    ],
)
def test_singular(word: str, expected: str) -> None:
    assert singular(word) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("XPS 8920 Tower Desktop Computer", "computer|desktop computer|tower desktop computer"),
        ("Acme - Breeze 300 Blender - Red", "acme|blender|breeze 300 blender|red"),
        ("Battery Pack (7.2V, 1865mAh)", "pack|battery pack"),
        ("Inverters CPI-1500", "inverters"),
        ("Drive for Laptops", "drive|laptops"),
        ("Headphones & Earbuds", "headphones|earbuds"),
        ("123 456", ""),
        ("", ""),
    ],
)
def test_chunks_of_a_title(text: str, expected: str) -> None:
    assert [chunk.surface for chunk in RuleChunker().chunks(text)] == [c for c in expected.split("|") if c]


def test_chunks_have_a_lemma() -> None:
    assert [c.lemma for c in RuleChunker().chunks("Hard Drives")] == ["drive", "hard drive"]


def test_without_spacy_the_rules_are_used() -> None:
    assert find_chunker().name in {"rules", "en_core_web_sm", "en_core_web_md", "en_core_web_lg"}
