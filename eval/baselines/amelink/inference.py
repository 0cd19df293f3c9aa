"""AMELINK at work: text scores of pair sets, image scores through the adapter, their sum, the filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ameli_llm.errors import MissingDependencyError
from eval.baselines.amelink.combination import (
    Combination,
    Parts,
    combined,
    mismatches,
    retrieval_scores,
)
from eval.baselines.amelink.encoder import TextEncoder, Unit
from eval.baselines.amelink.features import encoded
from eval.baselines.amelink.network import TextModel, layout, units
from eval.baselines.amelink.pairs import PairSet, Slots, pair_sets
from eval.baselines.amelink.settings import AmelinkSettings
from eval.baselines.baseline import Floats, Progress, Scored, Task
from eval.baselines.material import Material
from eval.baselines.v2vel import V2VEL
from retrieval.encoders.sbert import INSTALL

try:
    import torch
except ImportError as error:
    raise MissingDependencyError("torch is not installed.", hint=INSTALL) from error

STEP = 64
"""Reviews that are scored at a time."""


@dataclass
class TextScorer:
    """Scores the texts of candidates. In siamese pairing the vectors of all texts are kept."""

    encoder: TextEncoder
    model: TextModel
    slots: Slots
    settings: AmelinkSettings
    _kept: dict[Unit, Floats] = field(default_factory=dict, repr=False)

    def score(
        self, material: Material, tasks: Sequence[Task], progress: Progress | None = None
    ) -> list[Floats]:
        """s^t, [K] for each task. A candidate's score depends on the review and the candidate alone."""
        found: list[Floats] = []
        for start in range(0, len(tasks), STEP):
            chunk = [
                pair_sets(task, material, self.slots, self.settings) for task in tasks[start : start + STEP]
            ]
            found += self._scores(chunk)
            if progress:
                progress("texts", len(found), len(tasks))
        return found

    def _scores(self, lists: Sequence[Sequence[PairSet]]) -> list[Floats]:
        # Equal pair sets are scored once, in an order that the order of candidates does not decide.
        sets = sorted({one for several in lists for one in several}, key=_sortable)
        where = {one: position for position, one in enumerate(sets)}
        vectors, row = self._vectors(sets)
        rows = layout(sets, row, self.settings).resolved(vectors)
        device = next(self.model.parameters()).device
        self.model.eval()
        with torch.inference_mode():
            given = torch.from_numpy(vectors).to(device)
            scores: Floats = self.model(given, torch.from_numpy(rows).long().to(device)).float().cpu().numpy()
        return [scores[[where[one] for one in several]] for several in lists]

    def _vectors(self, sets: Sequence[PairSet]) -> tuple[Floats, dict[Unit, int]]:
        wanted = units(sets, self.settings)
        new = [unit for unit in wanted if unit not in self._kept]
        fresh = dict(zip(new, encoded(self.encoder, new).astype(np.float32), strict=True))
        if self.settings.pairing == "siamese":
            self._kept |= fresh
        else:
            self.encoder.tokens.forget()
        known = self._kept | fresh
        rows = [known[unit] for unit in wanted]
        dimension = self.encoder.stamp.dimension
        stacked = np.stack(rows) if rows else np.zeros((0, dimension), np.float32)
        return stacked, {unit: position for position, unit in enumerate(wanted)}


@dataclass
class Amelink:
    """One variant of AMELINK. A part that the variant or the training lacks is None."""

    material: Material
    settings: AmelinkSettings
    text: TextScorer | None
    image: V2VEL | None
    combination: Combination
    filtered: bool
    described: Mapping[str, Any]

    def score(self, tasks: Sequence[Task], progress: Progress | None = None) -> list[Scored]:
        """[K] for each task: the sum, below it the candidates that contradict the review, and its parts."""
        texts = self.text.score(self.material, tasks, progress) if self.text else None
        images = image_scores(self.image, tasks, progress) if self.image else None
        parts = parts_of(self.material, tasks, texts, images, self.filtered, self.settings)
        return [
            Scored(combined(one, self.combination, self.settings).astype(np.float32), one.text, one.image)
            for one in parts
        ]

    def describe(self) -> Mapping[str, Any]:
        """Settings, encoders, weights of the sum and digests of the networks' weights."""
        return self.described


def image_scores(image: V2VEL, tasks: Sequence[Task], progress: Progress | None = None) -> list[Floats]:
    """s^v, the cosine through the adapter, [K] for each task; NaN without an image."""
    return [one.total for one in image.score(tasks, progress)]


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
