"""What the training commands share: options, the data they open, and what they print of a training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ameli_llm.cli.terminal import table
from ameli_llm.types import Progress

if TYPE_CHECKING:
    from ameli_llm.dataset.load import Dataset, Split
    from ameli_llm.images.contrastive import ImageSearch, Pairs
    from eval.baselines._folder import Trained
    from eval.baselines.baseline import Example
    from eval.baselines.material import Material
    from eval.baselines.tasks import Fold
    from retrieval.index import Index


CandidatesOption = Annotated[
    Path | None,
    typer.Option(
        "--candidates",
        metavar="DIR",
        help="Folder with a finished run of link for each split (DIR/train, DIR/dev), instead of making "
        "them in the folder of --out.",
    ),
]


@dataclass(frozen=True)
class Course:
    """The products with their vectors, the fold to train on and the fold to choose on."""

    material: Material
    train: Fold
    dev: Fold


def open_course(
    dataset: Path, split: str, config: Path | None, index: Path | None, seed: int, show: Progress
) -> Course:
    """The data of a training; the index is made when it is not there. Raises AmeliError."""
    from ameli_llm.config import load_config
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.pipeline import open_or_build_index
    from eval.baselines.material import Material
    from eval.baselines.tasks import folds

    data = load_dataset(dataset)
    train, dev = folds(data, split, seed)
    opened = open_or_build_index(data, load_config(config), index, show)
    return Course(Material.of(data, opened), train, dev)


def with_candidates(
    course: Course, config: Path | None, index: Path | None, given: Path | None, out: Path, show: Progress
) -> Course:
    """The course with its folds' lists of candidates. Raises AmeliError."""
    from eval.baselines.tasks import folded

    train, dev = course_examples(course, config, index, given, out, show)
    return replace(course, train=folded(course.train.name, train), dev=folded(course.dev.name, dev))


def course_examples(
    course: Course, config: Path | None, index: Path | None, given: Path | None, out: Path, show: Progress
) -> tuple[list[Example], list[Example]]:
    """The folds' reviews with candidates and extracted attributes, to train on and to choose on.

    They are those of the runs that are there in ``given``, or of runs that are made now below ``out``. Raises
    AmeliError when the former are missing or unfinished.
    """
    from ameli_llm.config import load_config
    from ameli_llm.runs import RunFolder
    from eval.baselines.candidates import candidate_run
    from eval.baselines.tasks import examples

    run, data = load_config(config), course.material.dataset

    def found(fold: Fold) -> list[Example]:
        if given is None:
            rows = candidate_run(data, fold.name, run, index, out / "candidates" / fold.name, show)
        else:
            rows = list(RunFolder(given / fold.name).require().predictions())
        return examples(rows, fold, run.retrieval.candidates)

    return found(course.train), found(course.dev)


def image_training_data(dataset: Dataset, split: Split, index: Index, seed: int) -> tuple[Pairs, ImageSearch]:
    """Image pairs of ``split`` and reviews for early stopping, which share no gold product.

    Raises AmeliError when none of the latter has a readable image.
    """
    from eval.baselines._images import image_pairs, image_search
    from eval.baselines.material import Material
    from eval.baselines.tasks import folds

    train, dev = folds(dataset, split.name, seed)
    material = Material(dataset, index, {})
    return image_pairs(material, train), image_search(material, dev)


def show_training(trained: Trained, as_json: bool) -> None:
    """Prints a training as one JSON object or as a table for each part."""
    if as_json:
        typer.echo(json.dumps(asdict(trained)))
        return
    for part in trained.parts or (trained,):
        history = part.history
        epochs = {
            "untrained": history[0],
            f"best, epoch {part.best}": history[part.best],
            f"last, epoch {len(history) - 1}": history[-1],
        }
        score = f"dev {part.measure}"
        table([part.title, "loss", score], [_row(name, epoch) for name, epoch in epochs.items()])
        source = part.made_of["data"]
        chosen = f"{part.dev_reviews} reviews of {source['dev']} for {score}"
        typer.echo(f"{part.pairs} pairs of {source['train']}, {chosen}")
        state = "was trained before with these settings; nothing was done" if part.already else "saved"
        typer.echo(f"{part.folder}: {state}")


def _row(name: str, epoch: Mapping[str, Any]) -> Sequence[str]:
    loss, score = epoch["loss"], epoch["score"]
    return [name, "" if loss is None else f"{loss:.4f}", "" if score is None else f"{100 * score:.2f}"]
