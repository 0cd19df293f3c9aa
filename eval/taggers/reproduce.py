"""What ``ameli-llm reproduce mepave`` and ``mae`` do: train what is missing, tag the test split, measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ameli_llm.attributes.tagging.examples import Corpus
from ameli_llm.attributes.tagging.folder import Description
from ameli_llm.attributes.tagging.reading import read_corpus
from ameli_llm.attributes.tagging.settings import NO_IMAGE, made_of
from ameli_llm.errors import AmeliError
from ameli_llm.types import Progress
from eval.published import published
from eval.tables import Table
from eval.taggers.rows import ROWS, Row, chosen
from eval.taggers.scores import Scores, scores
from eval.taggers.view import table
from retrieval.regions import load_regions

SPLIT = "test"
"""The split that is reported; train and dev make the weights."""


@dataclass(frozen=True)
class Asked:
    """Which rows are trained and how; ``settings`` go over those of the rows, whose encoders they name."""

    out: Path
    rows: Sequence[str] = ()
    settings: Mapping[str, Any] | None = None
    seed: int = 0


@dataclass(frozen=True)
class Measured:
    """A row that was trained, with its scores on the reported split."""

    key: str
    description: Description
    scores: Scores


def reproduce(name: Literal["mepave", "mae"], data: Path, asked: Asked, progress: Progress) -> Table:
    """The published table with ours beside it. What is in ``out``/models already is not trained again.

    Rows that look at pictures are left out, by name, where no text of the corpus has one. Raises AmeliError
    when nothing is left, or ``out`` holds models of other settings.
    """
    corpus = read_corpus(data, asked.seed)
    names, unseen = _possible(chosen(asked.rows), corpus, asked.settings or {})
    measured = [_measured(key, corpus, asked, progress) for key in names]
    return table(published(name), measured, corpus, SPLIT, data.name, unseen)


def _possible(
    names: Sequence[str], corpus: Corpus, settings: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """The rows that can be trained on the corpus, and those that cannot for want of pictures."""
    pictures = any(text.image for text in corpus.split("train"))
    unseen = [name for name in names if ROWS[name].has_image and not pictures]
    left = [name for name in names if name not in unseen]
    if not left:
        raise AmeliError(
            f"No row can be trained: {', '.join(unseen)} look at pictures, and no training text has one.",
            hint="Put them into images/ beside the texts, named by the product's id, or name rows without: "
            "--rows jave",
        )
    return left, unseen


def _measured(key: str, corpus: Corpus, asked: Asked, progress: Progress) -> Measured:
    from ameli_llm.attributes.tagging.trained import load_trained
    from ameli_llm.attributes.tagging.training import train

    row = ROWS[key]
    folder = asked.out / "models" / key
    settings = made_of(row.kind.settings, _merged(row, asked.settings or {}))

    def shown(stage: str, done: int, total: int) -> None:
        progress(f"{key}: {stage}", done, total)

    train(row.kind, corpus, folder, settings, load_regions, seed=asked.seed, progress=shown)
    trained = load_trained(row.kind, folder, load_regions)
    texts = corpus.split(SPLIT)
    return Measured(key, trained.description, scores(texts, trained.found(texts), asked.seed))


def _merged(row: Row, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of all rows, and what makes this one; one that only other extractors have is left out."""
    fields = row.kind.settings.model_fields
    others = {name for other in ROWS.values() for name in other.kind.settings.model_fields}
    known = {key: value for key, value in settings.items() if key in fields or key not in others}
    if row.changes.get("image_encoder") == NO_IMAGE:
        known.pop("image_encoder", None)
    return {**known, **row.changes}
