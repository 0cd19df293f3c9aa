"""The folder of a trained baseline: what it was trained with, and whether that is what is asked for now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ameli_llm.dataset.folds import Fold
from ameli_llm.errors import AmeliError
from ameli_llm.training.folder import require_same
from eval.baselines import _lists
from eval.baselines.material import Material

if TYPE_CHECKING:
    from ameli_llm.training.loop import Epoch

CHECKPOINTS = "checkpoints"
"""Beside the weights: the state of a training under way."""


@dataclass(frozen=True)
class Trained:
    """What a training left.

    ``history`` has an object per epoch from 0, untrained: its number, the mean loss and the score on dev,
    which is ``measure``. ``best`` is the epoch that was kept. ``already`` says that the folder held the
    finished training and nothing was done. A baseline of several parts has one of these for each in
    ``parts``.
    """

    baseline: str
    title: str
    folder: str
    made_of: Mapping[str, Any]
    pairs: int = 0
    dev_reviews: int = 0
    measure: str = ""
    best: int = 0
    history: tuple[Mapping[str, Any], ...] = ()
    already: bool = False
    parts: tuple[Trained, ...] = ()


def made_of(
    material: Material,
    train: Fold,
    dev: Fold,
    settings: Mapping[str, Any],
    encoders: Mapping[str, str],
    seed: int,
    lists: bool,
) -> dict[str, Any]:
    """Everything that decides the weights, in JSON types: settings, seed, encoders, digests of the data.

    ``lists`` says whether the folds' lists of candidates are part of that.
    """
    data = {"products": material.dataset.digest, "train": train.name, "dev": dev.name}
    data |= {"train_digest": fold_digest(train), "dev_digest": fold_digest(dev)}
    if lists:
        data |= {"train_candidates": _lists.digest(train), "dev_candidates": _lists.digest(dev)}
    return {"settings": dict(settings), "seed": seed, "encoders": dict(encoders), "data": data}


def fold_digest(fold: Fold) -> str:
    """The first 16 hex digits of a SHA-256 over reviews, their images' names and gold, in order."""
    rows = [(review.id, review.images, fold.gold[review.id]) for review in fold.reviews]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def identity(parts: Mapping[str, Any]) -> str:
    """A hash of ``made_of``: checkpoints of another training are not taken up."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def record(
    baseline: str,
    made_of: Mapping[str, Any],
    pairs: int,
    dev_reviews: int,
    history: Sequence[Epoch],
    measure: str = "R@1",
) -> dict[str, Any]:
    """What is kept of a training beside its weights, in JSON types; ``measure`` names the score on dev."""
    from ameli_llm.training.loop import best_epoch

    return {
        "baseline": baseline,
        "made_of": dict(made_of),
        "pairs": pairs,
        "dev_reviews": dev_reviews,
        "measure": measure,
        "best": best_epoch(history).number,
        "history": [asdict(epoch) for epoch in history],
    }


def finished(
    title: str,
    folder: Path,
    description: str,
    load: Callable[[Path], Mapping[str, Any]],
    made_of: Mapping[str, Any],
) -> Trained | None:
    """The training that ``folder`` holds, None where its ``description`` is not written yet.

    ``load`` gives what was recorded of it. Raises AmeliError when it is another training.
    """
    if not (folder / description).is_file():
        return None
    recorded = load(folder)
    require_same(folder, recorded["made_of"], made_of)
    return summary(title, folder, recorded, already=True)


def summary(title: str, folder: Path, recorded: Mapping[str, Any], *, already: bool) -> Trained:
    """What ``train`` hands back of a training that was recorded in ``folder``."""
    return Trained(
        baseline=recorded["baseline"],
        title=title,
        folder=str(folder),
        made_of=recorded["made_of"],
        pairs=recorded["pairs"],
        dev_reviews=recorded["dev_reviews"],
        measure=recorded["measure"],
        best=recorded["best"],
        history=tuple(recorded["history"]),
        already=already,
    )


def leaks(gold_image: bool) -> list[str]:
    """What a training saw of gold that it should not have, by the names of ``eval.official.leaks``."""
    return ["image_chosen_with_gold"] if gold_image else []


def require_folder(baseline: str, folder: Path | None) -> Path:
    """The folder itself. Raises AmeliError when none was given or none is there."""
    if folder is None or not folder.is_dir():
        found = f"there is no folder {folder}" if folder else "no folder was given"
        raise AmeliError(f"{baseline} needs its trained weights, and {found}.", hint=how_to_train(baseline))
    return folder


def how_to_train(baseline: str) -> str:
    """What to type for the weights of a baseline."""
    return f"Train it on this index: ameli-llm train {baseline} DATASET --out DIR"
