"""Ranks the products of an index by every method of Table 4, and by mixtures of text and image."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.config import RetrievalConfig
from ameli_llm.ids import EntityId
from ameli_llm.types import Progress
from eval.table4.methods import (
    ADAPTED,
    IMAGE,
    TUNED_TEXT,
    Lacking,
    Pair,
    image_lacks,
    methods,
    shares,
    weights_of,
)
from eval.table4.tuned_text import TunedText
from retrieval.candidates import PRIOR, TEXT, filter_by_prior, fuse
from retrieval.encoders.sbert import create as sbert
from retrieval.finetuning.description import is_fine_tuned
from retrieval.index import Index
from retrieval.priors import Priors, open_priors
from retrieval.retrievers import RETRIEVERS
from retrieval.retrievers.image import adapter_of
from retrieval.retrievers.image import create as image_retriever
from retrieval.retrievers.retriever import Query, Retriever, Scores, image_vectors, text_vectors
from retrieval.search import top_k

Rows: TypeAlias = npt.NDArray[np.int64]

NOBODY = -1
"""Fills up a ranking that is shorter than the others; no product has a negative row."""

RATIOS = tuple(tenth / 10 for tenth in range(11))
"""Shares of the text among which the official code chooses on dev: r text + (1 - r) image."""

BATCH = 64


def batches(queries: Sequence[Query]) -> Iterator[tuple[int, Sequence[Query]]]:
    """Parts to rank at a time, each with the position after its last query."""
    for start in range(0, len(queries), BATCH):
        part = queries[start : start + BATCH]
        yield start + len(part), part


class Table4:
    """Ranks the products of one index by every method whose parts are at hand.

    ``tuned_text`` is the folder of a fine-tuned text encoder: the products are embedded under it on first
    use and the vectors kept with the index. Where the index itself is of a fine-tuned encoder, that is the
    fine-tuned one and the pre-trained rows are missing. Of several image encoders the rows are about the one
    that the configured adapter was trained on, else about the first. ``seconds`` sums up what each method's
    rankings took, the encoding of reviews included; what several methods need counts for each of them.
    """

    def __init__(
        self,
        index: Index,
        config: RetrievalConfig,
        tuned_text: str = "",
        progress: Progress | None = None,
        untrained: Mapping[str, str] | None = None,
    ) -> None:
        """``untrained`` says, by part, why ADAPTED or TUNED_TEXT could not be trained."""
        self.index = index
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._pool = config.pool
        self._priors: Priors = open_priors(index)
        plain = config.model_copy(update={"image_adapter": "", "search": "exact"})
        exact = config.model_copy(update={"search": "exact"})
        stamp = adapter_of(index, config)[0] or index.manifest.image()
        self._image = stamp.name if stamp else ""
        self._retrievers: dict[str, Retriever] = {
            PRIOR: RETRIEVERS.load(PRIOR)(index, plain),
            TEXT: RETRIEVERS.load(TEXT)(index, plain),
            IMAGE: image_retriever(index, plain, self._image),
        }
        if config.image_adapter:
            self._retrievers[ADAPTED] = image_retriever(index, exact, self._image)
        if is_fine_tuned(index.manifest.text.model):
            self._retrievers[TUNED_TEXT] = self._retrievers.pop(TEXT)
        elif tuned_text:
            self._retrievers[TUNED_TEXT] = TunedText(index, sbert(tuned_text), progress)
        self.methods = methods(config, stamp, self._lacking(untrained or {}))

    def rankings(
        self, queries: Sequence[Query], depth: int, ratios: Mapping[Pair, float] | None = None
    ) -> dict[str, Rows]:
        """Rows of the index [n, depth] by method, best first; ``NOBODY`` where a ranking has ended.

        ``ratios`` gives the share of the text by pair; a pair that is not in it has the configured weights.
        """
        scores, seconds = self._scores(queries)
        result: dict[str, Rows] = {}
        for method in self.methods:
            if method.missing:
                continue
            started = time.perf_counter()
            weights = weights_of(method, ratios or {})
            fused = fuse({name: scores[name] for name in weights}, weights, self._pool)
            if method.filtered:
                filter_by_prior(fused, self._priors, [query.review.mention for query in queries])
            result[method.name] = self._ranked(fused, depth)
            self.seconds[method.name] += time.perf_counter() - started + sum(seconds[n] for n in weights)
        return result

    def mixtures(self, queries: Sequence[Query], depth: int) -> dict[Pair, list[Rows]]:
        """Rows of the index [n, depth] by pair, a ranking for each of ``RATIOS``; the prior filters none."""
        scores, _ = self._scores(queries)
        pairs = dict.fromkeys(method.pair for method in self.methods if method.pair and not method.missing)
        return {
            pair: [
                self._ranked(
                    fuse({name: scores[name] for name in pair}, shares(pair, ratio), self._pool), depth
                )
                for ratio in RATIOS
            ]
            for pair in pairs
            if pair
        }

    def _scores(self, queries: Sequence[Query]) -> tuple[dict[str, Scores], dict[str, float]]:
        """Scores by part, and the seconds that each part took with the encoding that it needs."""
        encoding = {
            TEXT: _timed(lambda: TEXT in self._retrievers and text_vectors(queries, self.index.text_encoder)),
            IMAGE: _timed(
                lambda: (encoder := self.index.image_encoder(self._image)) and image_vectors(queries, encoder)
            ),
        }
        encoding[ADAPTED] = encoding[IMAGE]
        scores: dict[str, Scores] = {}
        seconds: dict[str, float] = {}
        for name, retriever in self._retrievers.items():
            started = time.perf_counter()
            scores[name] = retriever.score(queries)
            seconds[name] = time.perf_counter() - started + encoding.get(name, 0.0)
        return scores, seconds

    def rows_of(self, products: Sequence[EntityId]) -> Rows:
        """[n, 1]: the row of each product, to be found in rankings."""
        return np.array([[self.index.rows[product]] for product in products], dtype=np.int64).reshape(-1, 1)

    def _ranked(self, fused: Scores, depth: int) -> Rows:
        rows = top_k(fused, depth)
        rows[np.isneginf(np.take_along_axis(fused, rows, axis=1))] = NOBODY
        padded = np.full((len(rows), depth), NOBODY, dtype=np.int64)
        padded[:, : rows.shape[1]] = rows
        return padded

    def _lacking(self, untrained: Mapping[str, str]) -> Lacking:
        image, adapted = image_lacks(self.index)
        if not adapted and ADAPTED not in self._retrievers:
            adapted = untrained.get(ADAPTED) or (
                "needs an adapter: ameli-llm train clip-adapter, then set retrieval.image_adapter"
            )
        return Lacking(
            text="" if TEXT in self._retrievers else "the index has a fine-tuned text encoder",
            image=image,
            adapted=adapted,
            tuned_text="" if TUNED_TEXT in self._retrievers else untrained.get(TUNED_TEXT),
        )


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
