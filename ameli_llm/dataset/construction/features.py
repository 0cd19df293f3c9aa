"""The four features by which a review is informative or not (paper, section 3.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ameli_llm.attributes.values.tokens import tokens
from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.construction.knowledge import KnowledgeBase
from ameli_llm.dataset.construction.raw import RawReview, RawTables
from ameli_llm.dataset.construction.similarity import Tools, Vectors, cosines, text_scores
from ameli_llm.dataset.images import ImageProblem
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.pictures import Pictures
from ameli_llm.errors import AmeliError
from ameli_llm.types import Product

Features = dict[str, float | None]
"""Value by feature; None where there is nothing to compare."""

FEATURES = ("attributes", "image", "description", "title")
_LONGEST_CHUNK = 5000
"""Characters of a description or review that are compared; encoders read less."""
_NOWHERE = Path("nowhere")


class FeatureReader:
    """Features of reviews and their products, a batch at a time."""

    def __init__(self, knowledge: KnowledgeBase, tables: RawTables, tools: Tools) -> None:
        self._knowledge = knowledge
        self._tools = tools
        self._files = _Files(tables)

    def features(self, reviews: Sequence[RawReview]) -> list[Features]:
        """One row a review.

        attributes: product attributes with a value in the review's words; image: greatest cosine over all
        pairs of a photo and a product image; description: cosine of description and review; title: of title
        and review, or the cross-encoder's score where there is one.
        """
        products = [self._product(review) for review in reviews]
        images = self._image(reviews, products)
        descriptions = self._description(reviews, products)
        titles = self._title(reviews, products)
        counted = [
            float(mentioned_attributes(review.text, product))
            for review, product in zip(reviews, products, strict=True)
        ]
        return [
            dict(zip(FEATURES, row, strict=True))
            for row in zip(counted, images, descriptions, titles, strict=True)
        ]

    def _product(self, review: RawReview) -> Product:
        row = self._knowledge.row(review.product)
        assert row is not None, "reviews without a product were dropped while they were read"
        return self._knowledge.product(row)

    def _title(self, reviews: Sequence[RawReview], products: Sequence[Product]) -> list[float | None]:
        if self._tools.text is None and self._tools.cross_encoder is None:
            return [None] * len(reviews)
        pairs = [(_cut(review.text), p.name) for review, p in zip(reviews, products, strict=True)]
        return [*text_scores(self._tools, pairs)]

    def _description(self, reviews: Sequence[RawReview], products: Sequence[Product]) -> list[float | None]:
        has = [number for number, product in enumerate(products) if product.description]
        found: list[float | None] = [None] * len(reviews)
        if self._tools.text is not None:
            pairs = [(_cut(reviews[n].text), _cut(products[n].description)) for n in has]
            for number, score in zip(has, cosines(self._tools, pairs), strict=True):
                found[number] = score
        return found

    def _image(self, reviews: Sequence[RawReview], products: Sequence[Product]) -> list[float | None]:
        if self._tools.image is None:
            return [None] * len(reviews)
        left = [self._files.of_review(review) for review in reviews]
        right = [self._files.of_product(product, self._knowledge) for product in products]
        paths = sorted({path for some in (*left, *right) for path in some})
        encoded = zip(paths, self._tools.image.encode_images(paths), strict=True)
        vectors = {path: vector for path, vector in encoded if not isinstance(vector, ImageProblem)}
        return [_greatest(vectors, mine, theirs) for mine, theirs in zip(left, right, strict=True)]


@dataclass(frozen=True)
class _Files:
    """The image files of reviews and products in the raw folders."""

    tables: RawTables

    def of_review(self, review: RawReview) -> list[Path]:
        folders = self.tables.folders("reviews", review.table)
        return _found(Pictures(_NOWHERE, ("", "review_images")), review.images, folders)

    def of_product(self, product: Product, knowledge: KnowledgeBase) -> list[Path]:
        row = knowledge.row(product.id)
        assert row is not None
        folders = self.tables.folders("products", knowledge.table(row))
        return _found(Pictures(_NOWHERE, ("", "product_images")), product.images, folders)


def check_features(names: Iterable[str], tools: Tools) -> None:
    """Raises AmeliError when one of these features needs an encoder that is not there."""
    there = {
        "attributes": True,
        "image": tools.image is not None,
        "description": tools.text is not None,
        "title": tools.text is not None or tools.cross_encoder is not None,
    }
    for name in names:
        if not there[name]:
            encoder = "image" if name == "image" else "text"
            raise AmeliError(
                f"The threshold of {name} needs an encoder, and models.{encoder} is none.",
                hint=f"Name one, or leave informative.thresholds.{name} out.",
            )


def mentioned_attributes(text: str, product: Product) -> int:
    """How many attributes of the product have a value that stands in the text word for word.

    Values of one letter or digits alone stand in any text by chance and do not count.
    """
    words = _words(text)
    values = attribute_dictionary(product).values()
    return sum(any(_tells(value) and _words(value) in words for value in some) for some in values)


def _tells(value: str) -> bool:
    plain = value.strip()
    return len(plain) > 1 and not plain.isdecimal() and any(letter.isalnum() for letter in plain)


def _words(text: str) -> str:
    return f" {' '.join(token.text for token in tokens(text))} "


def _found(pictures: Pictures, paths: Sequence[str], folders: Sequence[Path]) -> list[Path]:
    files = []
    for path in paths:
        try:
            files.append(pictures.find(path, folders))
        except (
            LeftOutError
        ):  # where the rule "readable_images" is off, a name without a file may still be here
            continue
    return files


def _greatest(vectors: Mapping[Path, Vectors], mine: Sequence[Path], theirs: Sequence[Path]) -> float | None:
    cosine = [float(vectors[a] @ vectors[b]) for a in mine for b in theirs if a in vectors and b in vectors]
    return max(cosine, default=None)


def _cut(text: str) -> str:
    return text[:_LONGEST_CHUNK]
