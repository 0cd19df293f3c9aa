"""``ameli-llm reproduce``: tables of papers, ours beside the published figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ameli_llm.cli.link import resolve_config
from ameli_llm.cli.options import (
    ConfigOption,
    DatasetArgument,
    EngineOption,
    ImageEncoderOption,
    IndexOption,
    JsonOption,
    LimitOption,
    ModelOption,
    PromptsOption,
    SettingsOption,
    complete_split,
)
from ameli_llm.cli.terminal import printable, progress, table
from ameli_llm.interruption import GOES_ON

if TYPE_CHECKING:
    from eval.tables import Table

ReportedOption = Annotated[
    str, typer.Option("--split", help="Split that is reported.", autocompletion=complete_split)
]
TrainSplitOption = Annotated[
    str, typer.Option("--train-split", help="Split to train on.", autocompletion=complete_split)
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for models, runs and the table; default: TABLE-DATASET in the current folder.",
    ),
]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, help="Epochs at most; default: each model's own.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything that is trained.")]


def register(app: typer.Typer) -> None:
    """Adds the group ``reproduce`` to the app."""
    group = typer.Typer(help="Tables of papers, ours beside the published.", no_args_is_help=True)
    group.callback()(_reproduce)
    group.command("table4")(table4)
    group.command("table5")(table5)
    group.command("mepave")(mepave)
    group.command("mae")(mae)
    app.add_typer(group, name="reproduce")


def _reproduce() -> None:
    """Tables of papers, ours beside the published."""


def table4(
    dataset: DatasetArgument,
    split: ReportedOption = "test",
    train_split: TrainSplitOption = "train",
    out: OutOption = None,
    config: ConfigOption = None,
    index: IndexOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    limit: LimitOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Table 4, candidate retrieval: a row a method.

    Trains what is missing, ranks by every method, prints and writes the table. The same command again trains
    nothing anew.
    """
    from eval.table4 import reproduce as reproducing_table4

    resolved = resolve_config(config, "", "", settings or ())
    folder = out or _default("table4", dataset)
    with progress(GOES_ON) as show:
        made = reproducing_table4.table4(
            dataset, split, train_split, folder, resolved, index, epochs, seed, limit, show
        )
    _finish(made, folder, "table4", as_json)


def table5(
    dataset: DatasetArgument,
    split: ReportedOption = "test",
    train_split: TrainSplitOption = "train",
    out: OutOption = None,
    config: ConfigOption = None,
    index: IndexOption = None,
    engine: EngineOption = "",
    model: ModelOption = "",
    prompts: PromptsOption = None,
    preset: Annotated[
        Literal["paper", "official"],
        typer.Option("--preset", help="AMELINK after the paper, or as the official code trains and counts."),
    ] = "paper",
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            metavar="NAME_OR_PATH",
            help="Text encoder of AMELINK: minilm needs no download, the paper's is "
            "microsoft/deberta-v3-base.",
        ),
    ] = "minilm",
    image_encoder: ImageEncoderOption = "",
    rows: Annotated[
        list[str] | None, typer.Option("--rows", metavar="NAME", help="Only these rows; repeatable.")
    ] = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    limit: LimitOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Table 5, disambiguation: a row a model.

    Trains what is missing, scores every row, prints and writes the table. All rows have the same candidates,
    found by the pipeline without a model, which is a row itself; an engine adds a row of the pipeline with
    its model. The same command again trains and scores nothing anew. Exit code 1 when the model failed on
    more reviews than the configuration allows.
    """
    from eval.table5.models import Asked
    from eval.table5.reproduce import table5 as reproduced

    resolved = resolve_config(config, engine, model, settings or ())
    folder = out or _default("table5", dataset)
    asked = Asked(
        split=split,
        train_split=train_split,
        out=folder,
        config=resolved,
        index=index,
        preset=preset,
        encoder=encoder,
        rows=tuple(rows or ()),
        epochs=epochs,
        seed=seed,
        limit=limit,
        prompts=prompts,
        image_encoder=image_encoder,
    )
    with progress(GOES_ON) as show:
        made = reproduced(dataset, asked, show)
    _finish(made, folder, "table5", as_json)
    if made.data["error_rate"] > resolved.engine.max_error_rate:
        raise typer.Exit(1)


CorpusArgument = Annotated[
    Path, typer.Argument(metavar="DATA", help="Labelled texts: a corpus in its own format, or a dataset.")
]
RowsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rows",
        metavar="NAME",
        help="Train and measure these rows, or all; repeatable. Default: the main ones.",
    ),
]
TextEncoderOption = Annotated[
    str,
    typer.Option(
        "--encoder", metavar="NAME_OR_PATH", help="Text encoder; minilm is packaged. The papers': a BERT."
    ),
]
RegionsOption = Annotated[
    str,
    typer.Option(
        "--image-encoder", metavar="NAME", help="efficientnet-lite2 is packaged. The papers': a ResNet."
    ),
]


def mepave(
    data: CorpusArgument,
    out: OutOption = None,
    rows: RowsOption = None,
    encoder: TextEncoderOption = "minilm",
    image_encoder: RegionsOption = "efficientnet-lite2",
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """M-JAVE and ULS-DRAM on MEPAVE: CLS-F1 and TAG-F1, a row a method.

    Trains what is missing on the split train, chooses epochs on dev, tags test, prints and writes the table.
    MEPAVE is handed out by its makers; DATA is the folder of its three files, with the pictures in images/.
    The same command again trains nothing anew.
    """
    _taggers("mepave", data, out, rows, encoder, image_encoder, epochs, seed, settings, as_json)


def mae(
    data: CorpusArgument,
    out: OutOption = None,
    rows: RowsOption = None,
    encoder: TextEncoderOption = "minilm",
    image_encoder: RegionsOption = "efficientnet-lite2",
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """M-JAVE and ULS-DRAM on MAE: accuracy, a row a method.

    Accuracy is over the attribute-value pairs that a text states. DATA is the folder of its JSON files (text
    or tokens, specs, images), with the pictures in images/. As mepave otherwise.
    """
    _taggers("mae", data, out, rows, encoder, image_encoder, epochs, seed, settings, as_json)


def _taggers(
    name: Literal["mepave", "mae"],
    data: Path,
    out: Path | None,
    rows: list[str] | None,
    encoder: str,
    image_encoder: str,
    epochs: int | None,
    seed: int,
    settings: list[str] | None,
    as_json: bool,
) -> None:
    from ameli_llm.config import parse_settings
    from eval.taggers.reproduce import Asked, reproduce

    given = {"encoder": encoder, "image_encoder": image_encoder, **({"epochs": epochs} if epochs else {})}
    folder = out or _default(name, data)
    asked = Asked(folder, tuple(rows or ()), {**given, **parse_settings(settings or ())}, seed)
    with progress(GOES_ON) as show:
        made = reproduce(name, data, asked, show)
    _finish(made, folder, name, as_json)


def _default(name: str, dataset: Path) -> Path:
    return Path(f"{name}-{dataset.resolve().name}")


def _finish(made: Table, folder: Path, stem: str, as_json: bool) -> None:
    """Writes the table into ``folder`` and prints it."""
    from eval.tables import json_object, write_tables

    paths = write_tables(made, folder, stem)
    if as_json:
        typer.echo(json.dumps({**json_object(made), "files": list(map(str, paths))}, ensure_ascii=False))
        return
    typer.echo(printable(made.title))
    typer.echo(f"{printable(made.caption)}\n")
    table(made.columns, made.rows)
    for note in made.notes:
        typer.echo(printable(note))
    typer.echo(f"written: {', '.join(map(str, paths))}")
