"""What a baseline is trained on: products with their vectors, reviews to train and to choose on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
    """The products with their vectors, the fold to train on and the fold to choose on.

    ``find`` gives a fold's reviews with their candidates; it is asked once for each fold, and only by a
    training that looks at them.
    """

    material: Material
    train: Fold
    dev: Fold
    find: Callable[[Fold], list[Example]]
    _found: dict[str, list[Example]] = field(default_factory=dict, repr=False)

    def examples(self, fold: Fold) -> list[Example]:
        """The reviews of one of the two folds, with candidates and extracted attributes."""
        if fold.name not in self._found:
            self._found[fold.name] = self.find(fold)
        return self._found[fold.name]

    def with_candidates(self) -> Course:
        """The course with its folds' lists of candidates. Raises AmeliError."""
        train, dev = (folded(fold.name, self.examples(fold)) for fold in (self.train, self.dev))
        return replace(self, train=train, dev=dev)


@contextmanager
def open_course(
    dataset: Dataset,
    split: str,
    config: RunConfig,
    index: Path | None,
    seed: int,
    out: Path,
    progress: Progress,
    given: Path | None = None,
    images: str = "",
) -> Iterator[Course]:
    """The course of a training into ``out``; its index is made when it is not there, and closed at the end.

    Candidates are those of the runs in ``given``, images those of the image encoder ``images`` ("": the
    first of the index). Raises AmeliError.
    """
    train, dev = folds(dataset, split, seed)
    find = candidates_of(dataset, config, index, out, progress, given)
    with open_or_build_index(dataset, config, index, progress) as opened:
        yield Course(Material.of(dataset, opened, images), train, dev, find)


def candidates_of(
    dataset: Dataset,
    config: RunConfig,
    index: Path | None,
    out: Path,
    progress: Progress,
    given: Path | None = None,
) -> Callable[[Fold], list[Example]]:
    """Finds candidates and extracted attributes of a fold's reviews, by our linker without a model.

    They are those of the run that is there in ``given`` under the fold's name, or of one that is made now, or
    was before, below ``out``. Raises AmeliError when the former is missing or unfinished.
    """

    def find(fold: Fold) -> list[Example]:
        if given is None:
            rows = candidate_run(dataset, fold.name, config, index, out / "candidates" / fold.name, progress)
        else:
            rows = list(RunFolder(given / fold.name).require().predictions())
        return examples(rows, fold, config.retrieval.candidates)

    return find
