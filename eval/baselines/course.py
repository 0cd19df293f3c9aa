"""What a baseline is trained on: products with their vectors, reviews to train and to choose on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ameli_llm.config import RunConfig
from ameli_llm.dataset.folds import Fold, folds
from ameli_llm.dataset.load import Dataset
from ameli_llm.pipeline import open_or_build_index
from ameli_llm.runs import RunFolder
from ameli_llm.types import Progress
from eval.baselines.baseline import Example
from eval.baselines.material import Material
from eval.baselines.tasks import examples, folded
from eval.experiment import candidate_run


@dataclass(frozen=True)
class Course:
    """The products with their vectors, the fold to train on and the fold to choose on."""

    material: Material
    train: Fold
    dev: Fold


def open_course(
    dataset: Dataset, split: str, config: RunConfig, index: Path | None, seed: int, progress: Progress
) -> Course:
    """The data of a training; the index is made when it is not there. Raises AmeliError."""
    train, dev = folds(dataset, split, seed)
    opened = open_or_build_index(dataset, config, index, progress)
    return Course(Material.of(dataset, opened), train, dev)


def with_candidates(
    course: Course, config: RunConfig, index: Path | None, given: Path | None, out: Path, progress: Progress
) -> Course:
    """The course with its folds' lists of candidates. Raises AmeliError."""
    train, dev = course_examples(course, config, index, given, out, progress)
    return replace(course, train=folded(course.train.name, train), dev=folded(course.dev.name, dev))


def course_examples(
    course: Course, config: RunConfig, index: Path | None, given: Path | None, out: Path, progress: Progress
) -> tuple[list[Example], list[Example]]:
    """The folds' reviews with candidates and extracted attributes, to train on and to choose on.

    They are those of the runs that are there in ``given``, or of runs that are made now below ``out``. Raises
    AmeliError when the former are missing or unfinished.
    """
    data = course.material.dataset

    def found(fold: Fold) -> list[Example]:
        if given is None:
            rows = candidate_run(data, fold.name, config, index, out / "candidates" / fold.name, progress)
        else:
            rows = list(RunFolder(given / fold.name).require().predictions())
        return examples(rows, fold, config.retrieval.candidates)

    return found(course.train), found(course.dev)
