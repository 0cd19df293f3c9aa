"""Labels that nobody wrote by hand: a product's values found in its title and description, word for word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ameli_llm.attributes.tagging.examples import LabelledText
from ameli_llm.attributes.tagging.literal import literal_spans
from ameli_llm.attributes.values.normalise import alternatives, is_ignored
from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.dataset import Dataset
from ameli_llm.instruction.annotated import AnnotatedText
from ameli_llm.types import Product

_SENTENCE = re.compile(r"[^\n.!?;]*(?:[.!?;](?!\s|$)[^\n.!?;]*)*[.!?;]?", re.MULTILINE)
MAX_TEXT = 20_000
"""Characters of a description that are read."""
_FROM_THE_TITLE = {"Product Name", "Model Version"}
"""Attributes that are guessed from the form of a title."""
FEWEST_LETTERS = 2
"""Letters or figures of a value that is looked for: "M" and "4" stand everywhere."""


def of_products(dataset: Dataset, left_out: Counter[str]) -> list[LabelledText]:
    """Title, description and features of each product, a text for the title and for each sentence.

    Values come from the product's own specification, so a label may be missing where a text states a value
    that the specification lacks, and be wrong where the same words mean something else. The texts of a
    product have its id as name and its first picture.
    """
    found = []
    for product in dataset.products.values():
        values = _values_of(product)
        image = next((file for name in product.images if (file := dataset.product_image(name))), None)
        for sentence in _texts(product, left_out):
            spans = literal_spans(sentence, values, Counter())
            found.append(LabelledText(sentence, spans, image, product.leaf_category, f"product {product.id}"))
    stated = sum(bool(text.spans) for text in found)
    if len(found) > stated:
        left_out["texts without a value, kept"] += len(found) - stated
    return found


def of_annotated(texts: Iterable[AnnotatedText], left_out: Counter[str]) -> list[LabelledText]:
    """Texts whose values somebody wrote down without their places; each value's every place is one."""
    found = []
    for text in texts:
        spans = literal_spans(text.text, text.values, left_out)
        found.append(LabelledText(text.text, spans, None, text.category))
    return found


def _values_of(product: Product) -> dict[str, tuple[str, ...]]:
    values = {
        key: tuple(
            part
            for value in listed
            for part in alternatives(key, value)
            if sum(map(str.isalnum, part)) >= FEWEST_LETTERS and not is_ignored(part)
        )
        for key, listed in attribute_dictionary(product).items()
        if key not in _FROM_THE_TITLE
    }
    return {key: several for key, several in values.items() if several}


def _texts(product: Product, left_out: Counter[str]) -> Iterator[str]:
    yield from _sentences([product.name])
    description = product.description
    if len(description) > MAX_TEXT:
        left_out["description cut"] += 1
        description = description[:MAX_TEXT]
    yield from _sentences([description, *product.features])


def _sentences(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        for match in _SENTENCE.finditer(text):
            if sentence := match[0].strip():
                yield sentence


def image_names(folder: Path) -> dict[str, Path]:
    """Pictures of a folder and of those below it, by their names and by their names without a suffix."""
    suffixes = {".jpg", ".jpeg", ".png", ".webp"}
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.suffix.lower() in suffixes:
            found.setdefault(path.stem, path)
            found.setdefault(path.name, path)
    return found
