"""What every retriever takes and gives: queries in, a score for every product of the index out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.dataset.images import ImageProblem
from ameli_llm.types import Review
from retrieval.encoders.encoder import ImageEncoder, TextEncoder, Vectors
from retrieval.texts import query_text

Scores: TypeAlias = npt.NDArray[np.float32]


@dataclass
class Query:
    """A review with its vectors, which are filled on first use so that nothing is encoded twice.

    ``image_vectors`` are [images, d] by encoder; what cannot be read is in ``image_problems`` instead.
    """

    review: Review
    image_paths: tuple[Path, ...] = ()
    text_vector: Vectors | None = None
    image_vectors: dict[str, Vectors] = field(default_factory=dict)
    image_problems: list[ImageProblem] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The query text: header, body, and the mention when they do not contain it."""
        return query_text(self.review)


class Retriever(Protocol):
    """Scores products of one index."""

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N] over the products in index order, higher is better; NaN where it has no opinion."""


class Wordless:
    """The place of a word retriever over products without a single word, of which no table can be made."""

    def __init__(self, products: int) -> None:
        self._products = products

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N] zeros: no term is shared."""
        return np.zeros((len(queries), self._products), dtype=np.float32)


def make_queries(reviews: Iterable[Review], image_path: Callable[[str], Path | None]) -> list[Query]:
    """A query per review; image names without a file are left out."""
    return [
        Query(review, tuple(path for name in review.images if (path := image_path(name)) is not None))
        for review in reviews
    ]


def text_vectors(queries: Sequence[Query], encoder: TextEncoder) -> Vectors:
    """[n, d]: the vectors of the query texts; encodes those that have none yet."""
    missing = [query for query in queries if query.text_vector is None]
    for query, vector in zip(missing, encoder.encode([query.text for query in missing]), strict=True):
        query.text_vector = vector
    rows = [query.text_vector for query in queries if query.text_vector is not None]
    return np.stack(rows) if rows else np.zeros((0, encoder.dimension), np.float32)


def image_vectors(queries: Sequence[Query], encoder: ImageEncoder) -> list[Vectors]:
    """[images, d] per query, zero rows for a query without a usable image; encodes what has none yet."""
    missing = [query for query in queries if encoder.name not in query.image_vectors]
    found = iter(encoder.encode_images([path for query in missing for path in query.image_paths]))
    for query in missing:
        results = [next(found) for _ in query.image_paths]
        vectors = [result for result in results if isinstance(result, np.ndarray)]
        query.image_problems = [result for result in results if isinstance(result, ImageProblem)]
        query.image_vectors[encoder.name] = (
            np.stack(vectors) if vectors else np.zeros((0, encoder.dimension), np.float32)
        )
    return [query.image_vectors[encoder.name] for query in queries]
