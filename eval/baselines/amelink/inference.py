"""AMELINK at work: text scores of pair sets, image scores through the adapter, their sum, the filter."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ameli_llm.errors import MissingPackageError
from ameli_llm.types import Progress
from eval.baselines.amelink.combination import (
    Combination,
    Parts,
    combined,
    mismatches,
    retrieval_scores,
)
from eval.baselines.amelink.encoder import TextEncoder, Unit
from eval.baselines.amelink.features import encoded
from eval.baselines.amelink.folder import NAME, tasks_digest
from eval.baselines.amelink.network import TextModel, layout, units
from eval.baselines.amelink.pairs import PairSet, Slots, pair_sets
from eval.baselines.amelink.settings import AmelinkSettings
from eval.baselines.baseline import Floats, Scored, Task
from eval.baselines.material import Material
from eval.baselines.v2vel import V2VEL

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

Vectors: TypeAlias = dict[Unit, Floats]

STEP = 64
"""Reviews that are scored at a time."""


@dataclass(frozen=True)
class TextScorer:
    """Scores the texts of candidates with one model or several that read with the same encoder.

    What several of them read is encoded once, for the first of ``models``, whose scores are therefore those
    that it gives alone. In siamese pairing the vectors of all texts are kept during a call of ``score``, in
    joint pairing those of ``STEP`` reviews: all of AMELI's test split would be 1.2 GB.
    """

    encoder: TextEncoder
    models: Mapping[str, tuple[TextModel, Slots]]
    settings: AmelinkSettings

    def score(
        self, material: Material, tasks: Sequence[Task], progress: Progress | None = None
    ) -> dict[str, list[Floats]]:
        """s^t by each model, [K] for each task.

        A candidate's score depends on the review and the candidate alone.
        """
        found: dict[str, list[Floats]] = {name: [] for name in self.models}
        kept: dict[str, Vectors] = {name: {} for name in self.models}
        for start in range(0, len(tasks), STEP):
            chunk = tasks[start : start + STEP]
            known: ChainMap[Unit, Floats] = ChainMap()
            for name, (model, slots) in self.models.items():
                # A model finds the vectors of those before it, never of those after it.
                known = ChainMap(kept[name], *known.maps)
                lists = [pair_sets(task, material, slots, self.settings) for task in chunk]
                found[name] += self._scores(model, lists, known)
            self.encoder.tokens.forget()
            if self.settings.pairing == "joint":
                kept = {name: {} for name in self.models}
            if progress:
                progress("texts", start + len(chunk), len(tasks))
        return found

    def _scores(
        self, model: TextModel, lists: Sequence[Sequence[PairSet]], known: ChainMap[Unit, Floats]
    ) -> list[Floats]:
        # Equal pair sets are scored once, in an order that the order of candidates does not decide.
        sets = sorted({one for several in lists for one in several}, key=_sortable)
        where = {one: position for position, one in enumerate(sets)}
        vectors, row = self._vectors(sets, known)
        rows = layout(sets, row, self.settings).resolved(vectors)
        device = next(model.parameters()).device
        model.eval()
        with torch.inference_mode():
            given = torch.from_numpy(vectors).to(device)
            scores: Floats = model(given, torch.from_numpy(rows).long().to(device)).float().cpu().numpy()
        return [scores[[where[one] for one in several]] for several in lists]

    def _vectors(
        self, sets: Sequence[PairSet], known: ChainMap[Unit, Floats]
    ) -> tuple[Floats, dict[Unit, int]]:
        wanted = units(sets, self.settings)
        new = [unit for unit in wanted if unit not in known]
        known.update(zip(new, encoded(self.encoder, new).astype(np.float32), strict=True))
        rows = [known[unit] for unit in wanted]
        dimension = self.encoder.stamp.dimension
        stacked = np.stack(rows) if rows else np.zeros((0, dimension), np.float32)
        return stacked, {unit: position for position, unit in enumerate(wanted)}


@dataclass(frozen=True)
class TextPart:
    """The text scores of a variant: those of the model ``name``.

    Variants of one folder share them. ``key`` says what decides the scores beside the tasks.
    """

    scorer: TextScorer
    name: str
    key: Hashable

    def score(
        self, material: Material, tasks: Sequence[Task], progress: Progress | None = None
    ) -> list[Floats]:
        """s^t, [K] for each task; made once for all variants of a table."""
        key = (NAME, self.key, tasks_digest(tasks))
        return material.once(key, lambda: self.scorer.score(material, tasks, progress))[self.name]


@dataclass
class Amelink:
    """One variant of AMELINK. A part that the variant or the training lacks is None.

    ``encoders`` is what readers see of the encoders.
    """

    material: Material
    settings: AmelinkSettings
    text: TextPart | None
    image: V2VEL | None
    combination: Combination
    filtered: bool
    described: Mapping[str, Any]
    encoders: str = ""

    def score(self, tasks: Sequence[Task], progress: Progress | None = None) -> list[Scored]:
        """[K] for each task: the sum, below it the candidates that contradict the review, and its parts."""
        texts = self.text.score(self.material, tasks, progress) if self.text else None
        images = [one.total for one in self.image.score(tasks, progress)] if self.image else None
        parts = parts_of(self.material, tasks, texts, images, self.filtered, self.settings)
        return [
            Scored(combined(one, self.combination, self.settings).astype(np.float32), one.text, one.image)
            for one in parts
        ]

    def describe(self) -> Mapping[str, Any]:
        """Settings, encoders, weights of the sum and digests of the networks' weights."""
        return self.described

    def title(self, name: str) -> str:
        """The name with the text encoder or, in a variant that reads no text, the image encoder."""
        return f"{name} ({self.encoders})"


def parts_of(
    material: Material,
    tasks: Sequence[Task],
    texts: Sequence[Floats] | None,
    images: Sequence[Floats] | None,
    filtered: bool,
    settings: AmelinkSettings,
) -> list[Parts]:
    """What is summed for each task: its text and image scores, and retrieval's where the settings sum it.

    Without one of the two modalities the other one's own retrieval score is summed (official).
    """
    only = "text" if images is None else "image" if texts is None else ""
    summed = settings.combination == "three_way"
    return [
        Parts(
            text=texts[i] if texts is not None else None,
            image=images[i] if images is not None else None,
            retrieval=retrieval_scores(task, only) if summed else None,
            wrong=mismatches(task, material, settings)
            if filtered
            else np.zeros(len(task.candidates), np.bool_),
        )
        for i, task in enumerate(tasks)
    ]


def _sortable(one: PairSet) -> tuple[tuple[str, ...], ...]:
    return tuple(pair or () for pair in one)
