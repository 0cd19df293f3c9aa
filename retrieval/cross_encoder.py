"""A cross-encoder over the best products of the text retriever (paper, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.models.quiet import quiet_loading
from retrieval.index import Index
from retrieval.retrievers.retriever import Query, Scores
from retrieval.search import top_k

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

NAME = "cross_encoder"
HINT = "Give a folder with config.json and model.safetensors, or leave retrieval.cross_encoder empty."


class CrossEncoderReranker:
    """Scores query and product text together. ``pool`` is how many products of each review it reads."""

    def __init__(self, index: Index, model: str, pool: int) -> None:
        self._index = index
        self._model = load_cross_encoder(model)
        self._pool = pool

    def score(self, queries: Sequence[Query], text: Scores) -> Scores:
        """[n, N], 0 to 1: of the ``pool`` best products by ``text`` [n, N]; elsewhere the least of these."""
        import torch

        pools = top_k(text, self._pool)
        pairs = [
            (query.text, self._index.entries[row].text)
            for query, pool in zip(queries, pools, strict=True)
            for row in pool
        ]
        # Once each: in batches of other lengths the scores of equal pairs would differ by a hair.
        single = list(dict.fromkeys(pairs))
        found = self._model.predict(single, activation_fn=torch.nn.Sigmoid(), show_progress_bar=False)
        score = dict(zip(single, np.asarray(found, dtype=np.float32), strict=True))
        by_query = np.array([score[pair] for pair in pairs], dtype=np.float32).reshape(pools.shape)
        scores = np.repeat(by_query.min(axis=1, keepdims=True), text.shape[1], axis=1)
        np.put_along_axis(scores, pools, by_query, axis=1)
        return scores


def load_cross_encoder(model: str) -> CrossEncoder:
    """The cross-encoder of a name or a folder. Raises AmeliError when it is missing or of another kind."""
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise MissingPackageError("sentence-transformers", "retrieval") from error
    try:
        with quiet_loading():
            encoder: CrossEncoder = CrossEncoder(
                model, model_kwargs={"use_safetensors": True}, local_files_only=Path(model).is_dir()
            )
    except (OSError, ValueError, KeyError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise AmeliError(f"Cannot load the cross-encoder {model!r}: {first}", hint=HINT) from error
    if encoder.num_labels != 1:
        raise AmeliError(f"The cross-encoder {model!r} has {encoder.num_labels} outputs, not 1.", hint=HINT)
    return encoder
