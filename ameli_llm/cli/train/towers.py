"""``ameli-llm train v2vel``, ``v2tel`` and ``v2vtel``: the baselines of image and text towers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from ameli_llm.cli.options import ConfigOption, DatasetArgument, IndexOption, JsonOption
from ameli_llm.cli.terminal import progress

OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the weights.")]
SplitOption = Annotated[str, typer.Option("--train-split", help="Split to train on.")]
EpochsOption = Annotated[
    int | None, typer.Option(min=1, help="Epochs at most; training stops early on dev.", show_default=False)
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of weights and order.")]
RateOption = Annotated[float | None, typer.Option(min=0.0, help="Adam's learning rate.", show_default=False)]
BatchOption = Annotated[
    int | None, typer.Option(min=2, help="Pairs a batch: each other's negatives.", show_default=False)
]
TemperatureOption = Annotated[
    float | None, typer.Option(min=1e-6, help="Divides the cosines.", show_default=False)
]
Form: TypeAlias = Literal["paper", "official"]
FormOption = Annotated[Form, typer.Option(help="The paper's equations, or the official code's.")]
Images: TypeAlias = Literal["all", "first"]
ImagesOption = Annotated[
    Images, typer.Option(help="All images by the greatest cosine, or the first only, as in the paper.")
]
Text: TypeAlias = Literal["description", "title", "title+description"]
TextOption = Annotated[Text, typer.Option(help="What stands for a product; officially the description.")]


def register(group: typer.Typer) -> None:
    """Adds ``v2vel``, ``v2tel`` and ``v2vtel`` to the group ``train``."""
    group.command("v2vel")(v2vel)
    group.command("v2tel")(v2tel)
    group.command("v2vtel")(v2vtel)


def v2vel(
    dataset: DatasetArgument,
    out: OutOption,
    train_split: SplitOption = "train",
    config: ConfigOption = None,
    index: IndexOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    learning_rate: RateOption = None,
    batch_size: BatchOption = None,
    temperature: TemperatureOption = None,
    form: FormOption = "paper",
    images: ImagesOption = "all",
    as_json: JsonOption = False,
) -> None:
    """Train V2VEL: review images against product images through an adapter.

    It adapts the vectors of whatever image encoder the index has. Killed and typed again, it goes on.
    """
    from ameli_llm.cli.training import open_course, show_training
    from eval.baselines import v2vel as baseline

    given = _given(epochs, learning_rate, batch_size, temperature, form, images)
    settings = replace(baseline.Settings(), **given)
    with progress() as show:
        course = open_course(dataset, train_split, config, index, seed, show)
        trained = baseline.train(
            course.material, course.train, course.dev, out, settings, seed=seed, progress=show
        )
    show_training(trained, as_json)


def v2tel(
    dataset: DatasetArgument,
    out: OutOption,
    train_split: SplitOption = "train",
    config: ConfigOption = None,
    index: IndexOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    learning_rate: RateOption = None,
    batch_size: BatchOption = None,
    temperature: TemperatureOption = None,
    form: FormOption = "paper",
    images: ImagesOption = "all",
    text: TextOption = "title+description",
    as_json: JsonOption = False,
) -> None:
    """Train V2TEL: review images against product texts through two towers.

    With CLIP both sides are its own, each with an adapter. Other image encoders have no text side: then the
    index's text encoder makes the text vectors and both sides are projected into a common space.
    """
    from ameli_llm.cli.training import open_course, show_training
    from eval.baselines import v2tel as baseline

    given = _given(epochs, learning_rate, batch_size, temperature, form, images)
    settings = replace(baseline.Settings(), text=text, **given)
    with progress() as show:
        course = open_course(dataset, train_split, config, index, seed, show)
        trained = baseline.train(
            course.material, course.train, course.dev, out, settings, seed=seed, progress=show
        )
    show_training(trained, as_json)


def v2vtel(
    dataset: DatasetArgument,
    out: OutOption,
    train_split: SplitOption = "train",
    config: ConfigOption = None,
    index: IndexOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    learning_rate: RateOption = None,
    batch_size: BatchOption = None,
    temperature: TemperatureOption = None,
    form: FormOption = "paper",
    images: ImagesOption = "all",
    text: TextOption = "title+description",
    as_json: JsonOption = False,
) -> None:
    """Train V2VTEL: V2VEL and V2TEL, which ranks the best five of the first anew.

    Each gets a folder of its own in DIR; options hold for both.
    """
    from ameli_llm.cli.training import open_course, show_training
    from eval.baselines import v2vtel as baseline

    given = _given(epochs, learning_rate, batch_size, temperature, form, images)
    default = baseline.Settings()
    settings = baseline.Settings(replace(default.v2vel, **given), replace(default.v2tel, text=text, **given))
    with progress() as show:
        course = open_course(dataset, train_split, config, index, seed, show)
        trained = baseline.train(
            course.material, course.train, course.dev, out, settings, seed=seed, progress=show
        )
    show_training(trained, as_json)


def _given(
    epochs: int | None,
    learning_rate: float | None,
    batch_size: int | None,
    temperature: float | None,
    form: Form,
    images: Images,
) -> dict[str, Any]:
    """The settings that were given, by name; each baseline has its own defaults for the others."""
    numbers = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "temperature": temperature,
    }
    return {name: value for name, value in numbers.items() if value is not None} | {
        "form": form,
        "images": images,
    }
