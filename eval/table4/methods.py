"""The retrieval methods of the paper's Table 4 over one index, and those of a fine-tuned text encoder."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.config import RetrievalConfig
from ameli_llm.types import Progress
from retrieval.candidates import PRIOR, TEXT, filter_by_prior, fuse
from retrieval.encoders.encoder import TextEncoder
from retrieval.encoders.sbert import create as sbert
from retrieval.finetuning.training import is_fine_tuned
from retrieval.index import Index
from retrieval.priors import Priors, open_priors
from retrieval.retrievers import RETRIEVERS
from retrieval.retrievers.retriever import Query, Retriever, Scores, image_vectors, text_vectors
from retrieval.search import top_k

Ids: TypeAlias = npt.NDArray[np.int64]
Pair: TypeAlias = tuple[str, str]
"""A text part and an image part that are summed."""

NOBODY = -1
"""Fills up a ranking that is shorter than the others; no product has a negative row."""

IMAGE = "image"
ADAPTED = "adapted image"
TUNED_TEXT = "tuned sbert"

RATIOS = tuple(tenth / 10 for tenth in range(11))
"""Shares of the text among which the official code chooses on dev: r text + (1 - r) image."""

TEXT_STEP = 256


@dataclass(frozen=True)
class Method:
    """A row of the table; ``key`` is that of the published figures (``eval.published``).

    ``missing`` says what has to be installed or trained before it can be run.
    """

    key: str
    name: str
    modality: str
    weights: Mapping[str, float] = field(default_factory=dict)
    filtered: bool = False
    missing: str = ""

    @property
    def pair(self) -> Pair | None:
        """The text and the image part of a fused row, None for a row of one part."""
        if len(self.weights) != 2:
            return None
        text, image = self.weights
        return text, image


@dataclass(frozen=True)
class Lacking:
    """Why a part cannot be run; "" for one that can. ``tuned_text`` None leaves its rows out."""

    text: str = ""
    image: str = ""
    adapted: str = ""
    tuned_text: str | None = None


def methods(index: Index, config: RetrievalConfig, lacking: Lacking) -> list[Method]:
    """The eight rows in the paper's order, named for the encoders of ``index``; then those beyond it."""
    text = config.weights.get(TEXT, 1.0)
    image = config.weights.get(IMAGE, 1.0)
    plain, tuned = _image_rows(index)
    both, adapted = {TEXT: text, IMAGE: image}, {TEXT: text, ADAPTED: image}
    either = lacking.text or lacking.image
    trained = lacking.text or lacking.adapted
    rows = [
        Method("prior", "P(e|m)", "-", {PRIOR: 1.0}),
        Method("sbert", "Pre-trained SBERT", "T", {TEXT: 1.0}, missing=lacking.text),
        Method("clip", plain, "V", {IMAGE: 1.0}, missing=lacking.image),
        Method("clip_sbert", f"{plain}/SBERT", "T+V", both, missing=either),
        Method("clip_sbert_prior", f"{plain}/SBERT + P(e|m)", "T+V", both, filtered=True, missing=either),
        Method("tuned_clip", tuned, "V", {ADAPTED: 1.0}, missing=lacking.adapted),
        Method("tuned_clip_sbert", f"{tuned} + SBERT", "T+V", adapted, missing=trained),
        Method(
            "tuned_clip_sbert_prior",
            f"{tuned} + SBERT + P(e|m)",
            "T+V",
            adapted,
            filtered=True,
            missing=trained,
        ),
    ]
    if lacking.tuned_text is None:
        return rows
    return [
        *rows,
        Method("tuned_sbert", "Fine-tuned SBERT", "T", {TUNED_TEXT: 1.0}, missing=lacking.tuned_text),
        Method(
            "tuned_clip_tuned_sbert",
            f"{tuned} + fine-tuned SBERT",
            "T+V",
            {TUNED_TEXT: text, ADAPTED: image},
            missing=lacking.tuned_text or lacking.adapted,
        ),
    ]


def _image_rows(index: Index) -> tuple[str, str]:
    """Names of the image rows without and with a trained adapter; only CLIP is called CLIP."""
    stamp = index.manifest.image
    if stamp is None or stamp.name == "clip":
        return "Pre-trained CLIP", "Fine-tuned CLIP"
    return f"Image {stamp.name}", f"Adapted image {stamp.name}"


class Table4:
    """Ranks the products of one index by every method whose parts are at hand.

    ``tuned_text`` is the folder of a fine-tuned text encoder: the products are embedded under it on first
    use and the vectors kept with the index. Where the index itself is of a fine-tuned encoder, that is the
    fine-tuned one and the pre-trained rows are missing. ``seconds`` sums up what each method's rankings took,
    the encoding of reviews included; what several methods need counts for each of them.
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
        self._retrievers: dict[str, Retriever] = {
            name: RETRIEVERS.load(name)(index, plain) for name in (PRIOR, TEXT, IMAGE)
        }
        if config.image_adapter:
            self._retrievers[ADAPTED] = RETRIEVERS.load(IMAGE)(index, exact)
        if is_fine_tuned(index.manifest.text.model):
            self._retrievers[TUNED_TEXT] = self._retrievers.pop(TEXT)
        elif tuned_text:
            self._retrievers[TUNED_TEXT] = _TunedText(index, sbert(tuned_text), progress)
        self.methods = methods(index, config, self._lacking(untrained or {}))

    def rankings(
        self, queries: Sequence[Query], depth: int, ratios: Mapping[Pair, float] | None = None
    ) -> dict[str, Ids]:
        """Product ids [n, depth] by method, best first; ``NOBODY`` where a ranking has ended.

        ``ratios`` gives the share of the text by pair; a pair that is not in it has the configured weights.
        """
        scores, seconds = self._scores(queries)
        result: dict[str, Ids] = {}
        for method in self.methods:
            if method.missing:
                continue
            started = time.perf_counter()
            weights = _weights(method, ratios or {})
            fused = fuse({name: scores[name] for name in weights}, weights, self._pool)
            if method.filtered:
                filter_by_prior(fused, self._priors, [query.review.mention for query in queries])
            result[method.name] = self._ids(fused, depth)
            self.seconds[method.name] += time.perf_counter() - started + sum(seconds[n] for n in weights)
        return result

    def mixtures(self, queries: Sequence[Query], depth: int) -> dict[Pair, list[Ids]]:
        """Product ids [n, depth] by pair, one ranking for each of ``RATIOS``, without the prior's filter."""
        scores, _ = self._scores(queries)
        pairs = dict.fromkeys(method.pair for method in self.methods if method.pair and not method.missing)
        return {
            pair: [
                self._ids(
                    fuse({name: scores[name] for name in pair}, _shares(pair, ratio), self._pool), depth
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
                lambda: self.index.image_encoder and image_vectors(queries, self.index.image_encoder)
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

    def _ids(self, fused: Scores, depth: int) -> Ids:
        rows = top_k(fused, depth)
        ids = np.array(self.index.product_ids)[rows]
        ids[np.isneginf(np.take_along_axis(fused, rows, axis=1))] = NOBODY
        padded = np.full((len(ids), depth), NOBODY, dtype=np.int64)
        padded[:, : ids.shape[1]] = ids
        return padded

    def _lacking(self, untrained: Mapping[str, str]) -> Lacking:
        image, adapted = _image_lacks(self.index)
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


def _image_lacks(index: Index) -> tuple[str, str]:
    """What the image rows lack apart from an adapter; "" for nothing."""
    if index.manifest.image is None:
        need = "needs CLIP weights: set retrieval.image_encoder to clip and retrieval.image_model"
        return need, need
    if not index.manifest.images:
        return "needs product images", "needs product images"
    return "", ""


class _TunedText:
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


def _weights(method: Method, ratios: Mapping[Pair, float]) -> Mapping[str, float]:
    pair = method.pair
    return _shares(pair, ratios[pair]) if pair and pair in ratios else method.weights


def _shares(pair: Pair, ratio: float) -> dict[str, float]:
    return {pair[0]: ratio, pair[1]: 1 - ratio}


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
