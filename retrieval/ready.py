"""An index made ready for work: built, with all that retrieval derives from it, and what it holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.types import Progress
from retrieval.building import build_index
from retrieval.candidates import CandidateFinder
from retrieval.index import Index
from retrieval.priors import open_priors
from retrieval.shared.state import marker_name


def make_ready(
    dataset: Dataset, folder: Path, config: RetrievalConfig, progress: Progress | None = None
) -> dict[str, Any]:
    """The ``summary`` of the index in ``folder``, brought up to date with its retrievers' tables and priors.

    Raises AmeliError as ``build_index`` does.
    """
    with build_index(dataset, folder, config, progress) as index:
        CandidateFinder(index, dataset, config)
        open_priors(index)
        return summary(index)


def summary(index: Index) -> dict[str, Any]:
    """What an index holds, in JSON types: products, images, those that cannot be used by reason, encoders."""
    manifest = index.manifest
    problems = Counter(image.problem for entry in index.entries for image in entry.images if image.problem)
    return {
        "folder": str(index.folder),
        **({"shared": f"{index.shared.url} {marker_name(index.shared.state.key)}"} if index.shared else {}),
        "products": manifest.products,
        "images": manifest.images,
        "unusable_images": dict(sorted(problems.items())),
        "text_encoder": str(manifest.text),
        "image_encoders": [str(stamp) for stamp in manifest.image_encoders],
        "kb_version": manifest.kb_version[:16],
    }
