"""Retrieval by a fine-tuned text encoder that is not the index's: its vectors are kept with the index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ameli_llm.types import Progress
from retrieval.encoders.encoder import TextEncoder
from retrieval.index import Index
from retrieval.retrievers.retriever import Query, Scores

TEXT_STEP = 256


class TunedText:
    """Cosine of query and product text under a text encoder that is not the index's."""

    def __init__(self, index: Index, encoder: TextEncoder, progress: Progress | None) -> None:
        self._encoder = encoder

        def write(folder: Path) -> None:
            np.save(folder / "vectors.npy", _embedded(index, encoder, progress))

        self._vectors = np.load(index.derived(f"text-{encoder.revision}", write) / "vectors.npy")

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N] cosines. The queries keep no vector: theirs are of the index's encoder."""
        vectors = self._encoder.encode([query.text for query in queries])
        return np.asarray(vectors @ self._vectors.T, dtype=np.float32)


def _embedded(index: Index, encoder: TextEncoder, progress: Progress | None) -> Scores:
    """[N, d]: the texts of the index's products in index order."""
    texts = [entry.text for entry in index.entries]
    by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    vectors = np.zeros((len(texts), encoder.dimension), dtype=np.float32)
    for start in range(0, len(texts), TEXT_STEP):
        rows = by_length[start : start + TEXT_STEP]
        vectors[rows] = encoder.encode([texts[row] for row in rows])
        if progress:
            progress("texts, fine-tuned", min(start + TEXT_STEP, len(texts)), len(texts))
    return vectors
