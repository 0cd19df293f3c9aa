"""``ameli-llm train mjave`` and ``uls-dram``: extractors that tag the attribute values of a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ameli_llm.cli.options import JsonOption, SettingsOption
from ameli_llm.cli.terminal import progress, say, table
from ameli_llm.interruption import GOES_ON

if TYPE_CHECKING:
    from ameli_llm.attributes.tagging.kind import Kind
    from ameli_llm.attributes.tagging.training import Training

DataArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Labelled texts: MEPAVE's or MAE's folder, JSON lines, or a dataset folder, whose products "
        "label their own texts.",
    ),
]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the weights.")]
EncoderOption = Annotated[
    str | None,
    typer.Option("--encoder", metavar="NAME_OR_PATH", help="Text encoder; default: minilm, packaged."),
]
ImageOption = Annotated[
    str | None,
    typer.Option(
        "--image-encoder", metavar="NAME", help="Image encoder, or none; default: efficientnet-lite2."
    ),
]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, help="Epochs at most; training stops early on dev.")
]
RateOption = Annotated[float | None, typer.Option("--learning-rate", min=0.0, help="Adam's learning rate.")]
BatchOption = Annotated[int | None, typer.Option("--batch-size", min=1, help="Texts a step.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of weights, order and division.")]


def register(group: typer.Typer) -> None:
    """Adds ``mjave`` and ``uls-dram`` to the group ``train``."""
    group.command("mjave")(mjave)
    group.command("uls-dram")(uls_dram)


def mjave(
    data: DataArgument,
    out: OutOption,
    encoder: EncoderOption = None,
    image_encoder: ImageOption = None,
    epochs: EpochsOption = None,
    learning_rate: RateOption = None,
    batch_size: BatchOption = None,
    seed: SeedOption = 0,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train M-JAVE: attributes and values tagged jointly (Zhu et al. 2020).

    The defaults are the paper's, on packaged encoders; its own are --encoder bert-base-chinese and
    --image-encoder resnet101. --image-encoder none is JAVE; --set without=[kl] and the like are its
    ablations. Texts without splits of their own are divided by the seed. Typed again after a kill, it goes on
    where it was.
    """
    from ameli_llm.attributes.mjave import KIND

    given = _given(encoder, image_encoder, epochs, learning_rate, batch_size)
    _train(KIND, data, out, given, settings or [], seed, as_json)


def uls_dram(
    data: DataArgument,
    out: OutOption,
    encoder: EncoderOption = None,
    image_encoder: ImageOption = None,
    epochs: EpochsOption = None,
    learning_rate: RateOption = None,
    batch_size: BatchOption = None,
    seed: SeedOption = 0,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train ULS-DRAM: encoders fine-tuned together, decoding only likely attributes (Liu et al. 2022).

    The defaults are the paper's, on packaged encoders; its own are a Chinese RoBERTa (MEPAVE) or
    bert-base-uncased (MAE, with --set threshold=0.4) and --image-encoder resnet152. --image-encoder none is
    ULS-L; --set fusion=vanilla and --set attributes=all are its other ablations. Otherwise as mjave.
    """
    from ameli_llm.attributes.uls_dram import KIND

    given = _given(encoder, image_encoder, epochs, learning_rate, batch_size)
    _train(KIND, data, out, given, settings or [], seed, as_json)


def _given(
    encoder: str | None,
    image_encoder: str | None,
    epochs: int | None,
    learning_rate: float | None,
    batch_size: int | None,
) -> dict[str, object]:
    named: dict[str, object] = {"encoder": encoder, "image_encoder": image_encoder, "epochs": epochs}
    named |= {"learning_rate": learning_rate, "batch_size": batch_size}
    return {name: value for name, value in named.items() if value is not None}


def _train(
    kind: Kind,
    data: Path,
    out: Path,
    given: Mapping[str, object],
    settings: list[str],
    seed: int,
    as_json: bool,
) -> None:
    from ameli_llm.attributes.tagging.reading import read_corpus
    from ameli_llm.attributes.tagging.settings import made_of
    from ameli_llm.attributes.tagging.training import train
    from ameli_llm.config import parse_settings
    from retrieval.regions import load_regions

    chosen = made_of(kind.settings, {**given, **parse_settings(settings)})
    corpus = read_corpus(data, seed)
    with progress(GOES_ON) as show:
        done = train(kind, corpus, out, chosen, load_regions, seed=seed, progress=show)
    _show(done, corpus.left_out, as_json)


def _show(done: Training, left_out: object, as_json: bool) -> None:
    described = done.description
    if as_json:
        content = {"folder": str(done.folder), "already": done.already, "left_out": left_out}
        typer.echo(json.dumps({**content, **described.model_dump(mode="json")}, ensure_ascii=False))
        return
    rows = [
        [
            "untrained" if row.number == 0 else f"epoch {row.number}",
            "-" if row.loss is None else f"{row.loss:.4f}",
            "-" if row.score is None else f"{100 * row.score:.2f}",
        ]
        for row in described.history
    ]
    table([described.title, "loss", "TAG-F1 on dev"], rows)
    image = f" and {described.image_encoder}" if described.image_encoder else ""
    say(f"{len(described.labels)} attributes; {described.encoder}{image}; epoch {described.best} is kept")
    say(", ".join(f"{count} {what}" for what, count in described.counts.items() if count))
    state = "was trained before with these settings; nothing was done" if done.already else "saved"
    say(f"{done.folder}: {state}")
    say(f"attributes.trained: {{{described.kind}: {done.folder}}}")
