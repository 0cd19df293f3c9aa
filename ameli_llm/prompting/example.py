"""An invented review with its candidates: what lint, diff and render show when no dataset is named."""

from __future__ import annotations

from dataclasses import replace

from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.types import AttributeValue, Evidence, Product, Review, Vocabulary

_BODY = "My red Acme blender is quiet and the 1.5 qt jar is big enough. I nearly took the black one."


def example() -> ComparisonTask:
    """A blender, its variants in colour and capacity, and what its review states."""
    return ComparisonTask(
        review=Review(77, "Great little blender", _BODY, "Acme blender"),
        candidates=(
            Product(399, "Acme - Breeze 300 Blender - Black"),
            Product(412, "Acme - Breeze 300 Blender - Red"),
            Product(530, "Acme - Breeze 500 Blender - Red"),
            Product(618, "Umbra - Whirl Blender - Red"),
        ),
        attributes=(
            {"Brand": ("Acme",), "Color": ("Black",), "Capacity": ("1.5 quarts",), "Speeds": ("2",)},
            {"Brand": ("Acme",), "Color": ("Red",), "Capacity": ("1.5 quarts",), "Speeds": ("2",)},
            {"Brand": ("Acme",), "Color": ("Red",), "Capacity": ("2 quarts",), "Speeds": ("5",)},
            {"Brand": ("Umbra",), "Color": ("Red",), "Capacity": ("1.5 quarts",)},
        ),
        extracted=(AttributeValue("Color", "Red", "rules", Evidence("body", 3, 6, "red")),),
    )


def vocabulary_of(task: ComparisonTask) -> Vocabulary:
    """Keys and values among the candidates, in the order in which they first occur."""
    found: dict[str, dict[str, None]] = {}
    for attributes in task.attributes:
        for key, values in attributes.items():
            found.setdefault(key, {}).update(dict.fromkeys(values))
    return {key: tuple(values) for key, values in found.items()}


def crowded(count: int = 10) -> ComparisonTask:
    """Candidates of 23 attributes, nearly all different, and a review longer than any prompt takes."""
    keys = [f"Property {number} of the Product" for number in range(23)]
    return ComparisonTask(
        review=Review(
            78, "Everything about it", "I weighed property 3 against property 7 again. " * 400, "it"
        ),
        candidates=tuple(
            Product(600 + n, f"Acme - Breeze {n} Blender with an Unusually Long Name, Two Jars and Lid - Red")
            for n in range(count)
        ),
        attributes=tuple(
            {key: (f"property value {(n * at) % 7} of candidate {n}",) for at, key in enumerate(keys)}
            for n in range(count)
        ),
    )


def unspeakable(count: int) -> ComparisonTask:
    """``crowded``, told in a sign of four bytes: no text of so many signs takes more tokens."""
    task, sign = crowded(count), "\U0001f9ff"
    found = AttributeValue("Property 3 of the Product", sign * 80, "rules", Evidence("body", 0, 1, sign))
    return replace(
        task,
        review=Review(79, "", f"{sign} " * 40, sign * 20),
        candidates=tuple(replace(product, name=sign * 80) for product in task.candidates),
        extracted=(found,),
    )
