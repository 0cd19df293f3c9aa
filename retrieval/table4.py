"""The retrieval methods of the paper's Table 4, over one index, and the configured one as a further row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ameli_llm.config import RetrievalConfig
from retrieval.candidates import PRIOR, TEXT, CandidateFinder, filter_by_prior, fuse
from retrieval.index import Index
from retrieval.priors import Priors, open_priors
from retrieval.retrievers import RETRIEVERS
from retrieval.retrievers.retriever import Query, Retriever, Scores
from retrieval.search import top_k

Ids = npt.NDArray[np.int64]
NOBODY = -1
"""Fills up a ranking that is shorter than the others; no product has a negative row."""

IMAGE = "image"
ADAPTED = "adapted image"


@dataclass(frozen=True)
class Method:
    """A row of the table. ``missing`` says what has to be installed or trained before it can be run."""

    name: str
    modality: str
    weights: Mapping[str, float] = field(default_factory=dict)
    filtered: bool = False
    missing: str = ""


def methods(index: Index, config: RetrievalConfig) -> list[Method]:
    """The eight rows in the paper's order, named for the encoders that ``index`` has."""
    text = config.weights.get(TEXT, 1.0)
    image = config.weights.get(IMAGE, 1.0)
    plain, tuned = _image_rows(index)
    lacking, untrained = _lacking(index, config)
    both, adapted = {TEXT: text, IMAGE: image}, {TEXT: text, ADAPTED: image}
    return [
        Method("P(e|m)", "-", {PRIOR: 1.0}),
        Method("Pre-trained SBERT", "T", {TEXT: 1.0}),
        Method(plain, "V", {IMAGE: 1.0}, missing=lacking),
        Method(f"{plain}/SBERT", "T+V", both, missing=lacking),
        Method(f"{plain}/SBERT + P(e|m)", "T+V", both, filtered=True, missing=lacking),
        Method(tuned, "V", {ADAPTED: 1.0}, missing=untrained),
        Method(f"{tuned} + SBERT", "T+V", adapted, missing=untrained),
        Method(f"{tuned} + SBERT + P(e|m)", "T+V", adapted, filtered=True, missing=untrained),
    ]


def _image_rows(index: Index) -> tuple[str, str]:
    """Names of the image rows without and with a trained adapter; only CLIP is called CLIP."""
    stamp = index.manifest.image
    if stamp is None or stamp.name == "clip":
        return "Pre-trained CLIP", "Fine-tuned CLIP"
    return f"Image {stamp.name}", f"Adapted image {stamp.name}"


def _lacking(index: Index, config: RetrievalConfig) -> tuple[str, str]:
    """What the image rows without and with a trained adapter lack; "" for nothing."""
    if index.manifest.image is None:
        need = "needs CLIP weights: set retrieval.image_encoder to clip and retrieval.image_model"
        return need, need
    if not index.manifest.images:
        return "needs product images", "needs product images"
    if not config.image_adapter:
        return "", "needs an adapter: ameli-llm train clip-adapter, then set retrieval.image_adapter"
    return "", ""


class Table4:
    """Ranks the products of one index by every method whose parts are at hand."""

    def __init__(self, finder: CandidateFinder) -> None:
        self._finder = finder
        index, config = finder.index, finder.config
        self.methods = methods(index, config)
        self._priors: Priors = open_priors(index)
        plain = config.model_copy(update={"image_adapter": "", "search": "exact"})
        adapted = config.model_copy(update={"search": "exact"})
        self._retrievers: dict[str, Retriever] = {
            name: RETRIEVERS.load(name)(index, plain) for name in (PRIOR, TEXT, IMAGE)
        }
        if config.image_adapter:
            self._retrievers[ADAPTED] = RETRIEVERS.load(IMAGE)(index, adapted)

    def rankings(self, queries: Sequence[Query], depth: int) -> dict[str, Ids]:
        """Product ids [n, depth] by method, best first; ``NOBODY`` where a ranking has ended."""
        scores = {name: retriever.score(queries) for name, retriever in self._retrievers.items()}
        pool = self._finder.config.pool
        result: dict[str, Ids] = {}
        for method in self.methods:
            if method.missing:
                continue
            fused = fuse({name: scores[name] for name in method.weights}, method.weights, pool)
            if method.filtered:
                filter_by_prior(fused, self._priors, [query.review.mention for query in queries])
            result[method.name] = self._ids(fused, depth)
        return result

    def _ids(self, fused: Scores, depth: int) -> Ids:
        rows = top_k(fused, depth)
        ids = self._finder.index.product_ids[rows]
        ids[np.isneginf(np.take_along_axis(fused, rows, axis=1))] = NOBODY
        padded = np.full((len(ids), depth), NOBODY, dtype=np.int64)
        padded[:, : ids.shape[1]] = ids
        return padded
