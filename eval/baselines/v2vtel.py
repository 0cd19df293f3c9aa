"""V2VTEL: the five best of V2VEL, ranked anew by V2TEL (Sun et al. 2022; paper, section 5.2).

Each of the two gets a folder of its own in DIR; options hold for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ameli_llm.dataset.folds import Fold
from ameli_llm.fusion.missing import filled
from ameli_llm.ties import ranked
from ameli_llm.types import Progress
from eval.baselines import _folder, v2tel, v2vel
from eval.baselines._folder import Trained
from eval.baselines.baseline import Baseline, Floats, Preset, Scored, TableRow, Task
from eval.baselines.material import Material

NAME = "v2vtel"
PARTS = ("v2vel", "v2tel")
KEPT = 5
"""Candidates of V2VEL that V2TEL ranks anew, as in the official code."""


@dataclass(frozen=True)
class Settings:
    """How the two parts are trained."""

    v2vel: v2vel.Settings = field(default_factory=v2vel.Settings)
    v2tel: v2tel.Settings = field(default_factory=v2tel.Settings)

    @property
    def needs_candidates(self) -> bool:
        """Whether the training of one of them looks at the candidates of its reviews."""
        return self.v2vel.needs_candidates or self.v2tel.needs_candidates


@dataclass(frozen=True)
class V2VTEL:
    """V2TEL decides among the best ``KEPT`` by V2VEL, the others stay below them in V2VEL's order."""

    material: Material
    first: Baseline
    second: Baseline

    def score(self, tasks: Sequence[Task], progress: Progress | None = None) -> list[Scored]:
        """[K] for each task: V2TEL's cosines for the best, what is below all of them for the others."""
        return [
            Scored(total(task, first.total, second.total), text=second.total, image=first.total)
            for task, first, second in zip(
                tasks, self.first.score(tasks, progress), self.second.score(tasks, progress), strict=True
            )
        ]

    def describe(self) -> Mapping[str, Any]:
        """Both parts, and the leaks of either."""
        first, second = dict(self.first.describe()), dict(self.second.describe())
        return {
            "title": title(self.material),
            "kept": KEPT,
            "leaks": sorted({*first["leaks"], *second["leaks"]}),
            "v2vel": first,
            "v2tel": second,
        }

    def title(self, name: str) -> str:
        """The name with the encoders."""
        return f"{name} ({v2tel.encoders(self.material)})"


def total(task: Task, image: Floats, text: Floats) -> Floats:
    """The scores that rank, [K], from V2VEL's and V2TEL's; NaN for all where V2VEL has no opinion at all.

    A candidate without a score counts as the mean of the others: in V2VEL of all, in V2TEL of the best five.
    """
    if np.isnan(image).all():
        return image
    seen = filled(image[None, :])[0]
    order = np.array(ranked(task.review.id, task.entity_ids, seen.tolist()), dtype=np.int64)
    best, rest = order[:KEPT], order[KEPT:]
    scores: Floats = np.empty_like(seen)
    scores[best] = filled(text[best][None, :])[0]
    scores[rest] = scores[best].min() - 1 + (seen[rest] - seen[best].max())
    return scores


def title(material: Material) -> str:
    """Its name with the encoders that it is trained on."""
    return f"V2VTEL ({v2tel.encoders(material)})"


def rows() -> tuple[TableRow, ...]:
    """Its row of the paper's table."""
    return (TableRow(NAME, needs_images=True),)


def configured(preset: Preset, epochs: int | None) -> Settings:
    """The settings of the two parts."""
    return Settings(v2vel.configured(preset, epochs), v2tel.configured(preset, epochs))


def create(material: Material, folder: Path | None) -> V2VTEL:
    """The baseline of the two parts in ``folder``. Raises AmeliError as they do."""
    place = _folder.require_folder(NAME, folder)
    return V2VTEL(material, v2vel.create(material, place / "v2vel"), v2tel.create(material, place / "v2tel"))


def train(
    material: Material,
    train: Fold,
    dev: Fold,
    out: Path,
    settings: Settings | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Trained:
    """Trains both parts, each in its folder of ``out``. Raises AmeliError as they do."""
    settings = settings or Settings()
    parts = (
        v2vel.train(material, train, dev, out / "v2vel", settings.v2vel, seed=seed, progress=progress),
        v2tel.train(material, train, dev, out / "v2tel", settings.v2tel, seed=seed, progress=progress),
    )
    return Trained(
        baseline=NAME,
        title=title(material),
        folder=str(out),
        made_of={part.baseline: part.made_of for part in parts},
        already=all(part.already for part in parts),
        parts=parts,
    )
