"""``ameli-llm train v2vel``, ``v2tel`` and ``v2vtel``: the baselines of image and text towers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ameli_llm.cli.interruption import GOES_ON
from ameli_llm.cli.options import ConfigOption, DatasetArgument, IndexOption, JsonOption
from ameli_llm.cli.terminal import progress
from ameli_llm.cli.training import CandidatesOption, show_training

HELP: Mapping[str, str] = {
    "v2vel": """Train V2VEL: review images against product images.

    Through an adapter. It adapts the vectors of whatever image encoder the index has. Killed and typed
    again, it goes on.
    """,
    "v2tel": """Train V2TEL: review images against product texts.

    Through two towers. With CLIP both sides are its own, each with an adapter. Other image encoders have no
    text side: then the index's text encoder makes the text vectors and both sides are projected into a
    common space.
    """,
    "v2vtel": """Train V2VTEL: V2VEL, and V2TEL over its best five.

    V2TEL ranks those anew. Each gets a folder of its own in DIR; options hold for both.
    """,
}
NOT_OF: Mapping[str, tuple[str, ...]] = {"v2vel": ("text", "loss"), "v2tel": ("negatives",), "v2vtel": ()}
"""Options that a command does not have, because nothing of its baseline has such a setting."""


def register(group: typer.Typer) -> None:
    """Adds ``v2vel``, ``v2tel`` and ``v2vtel`` to the group ``train``."""
    for name, text in HELP.items():
        group.command(name, help=text)(_command(name))


def towers(
    baseline: str,
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the weights.")],
    train_split: Annotated[str, typer.Option("--train-split", help="Split to train on.")] = "train",
    config: ConfigOption = None,
    index: IndexOption = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs at most; training stops early on dev.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and order.")] = 0,
    learning_rate: Annotated[
        float | None, typer.Option(min=0.0, help="Adam's learning rate.", show_default=False)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Pairs a batch.", show_default=False)] = None,
    temperature: Annotated[
        float | None, typer.Option(min=1e-6, help="Divides the cosines.", show_default=False)
    ] = None,
    form: Annotated[
        Literal["paper", "official"], typer.Option(help="The paper's equations, or the official code's.")
    ] = "paper",
    text: Annotated[
        Literal["description", "title", "title+description"],
        typer.Option(help="What stands for a product; officially the description."),
    ] = "title+description",
    loss: Annotated[
        Literal["batch", "batch+candidates", "candidates"],
        typer.Option(
            help="V2TEL tells a product's text from those of the batch, also from those of its reviews' "
            "candidates, or only from those of the review's own."
        ),
    ] = "batch",
    negatives: Annotated[
        Literal["batch", "candidates"],
        typer.Option(help="V2VEL's negatives: the products of the batch, or also its reviews' candidates."),
    ] = "batch",
    images: Annotated[
        Literal["all", "first", "selected"],
        typer.Option(
            help="All images by the greatest cosine; the first only, as in the paper; or one of each side "
            "that is selected by the candidates, as in the official code."
        ),
    ] = "all",
    gold_image: Annotated[
        bool,
        typer.Option(
            "--gold-image",
            help="With selected images: training and dev select them by the gold product. The official "
            "code's leak, for comparison with its figures only.",
        ),
    ] = False,
    candidates: CandidatesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trains a baseline. Options that are settings of it have the setting's name; None is its own default."""
    options = dict(locals())
    from ameli_llm.config import load_config
    from ameli_llm.dataset.load import load_dataset
    from eval.baselines.course import open_course, with_candidates

    run = load_config(config)
    settings = _settings(baseline, options)
    train = import_module(f"eval.baselines.{baseline}").train
    with progress(GOES_ON) as show:
        course = open_course(load_dataset(dataset), train_split, run, index, seed, show)
        if settings.needs_candidates:
            course = with_candidates(course, run, index, candidates, out, show)
        trained = train(course.material, course.train, course.dev, out, settings, seed=seed, progress=show)
    show_training(trained, as_json)


def _settings(baseline: str, options: Mapping[str, Any]) -> Any:
    """The baseline's settings from the options of their names; V2VTEL's are those of its two parts."""
    kind = import_module(f"eval.baselines.{baseline}").Settings
    if baseline == "v2vtel":
        return kind(_settings("v2vel", options), _settings("v2tel", options))
    given = {field.name: options.get(field.name) for field in fields(kind)}
    return kind(**{name: value for name, value in given.items() if value is not None})


def _command(baseline: str) -> Callable[..., None]:
    """``towers`` for one baseline, with the options that it has."""

    @functools.wraps(towers)
    def command(**options: Any) -> None:
        towers(baseline, **options)

    whole = inspect.signature(towers, eval_str=True)
    left_out = ("baseline", *NOT_OF[baseline])
    kept = [one for one in whole.parameters.values() if one.name not in left_out]
    command.__signature__ = whole.replace(parameters=kept)  # type: ignore[attr-defined]
    return command
