"""``ameli-llm ablate``: what each source of evidence is worth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ameli_llm.cli.link import resolve_config
from ameli_llm.cli.options import (
    ConfigOption,
    DatasetArgument,
    EngineOption,
    IndexOption,
    JsonOption,
    LimitOption,
    ModelOption,
    SettingsOption,
    SplitOption,
)
from ameli_llm.cli.terminal import progress, table
from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from ameli_llm.config import RunConfig

FULL = "full"


def register(app: typer.Typer) -> None:
    """Adds ``ablate`` to the app."""
    app.command("ablate")(ablate)


def ablations(config: RunConfig) -> Iterator[tuple[str, RunConfig]]:
    """The configuration as it is and without each source of evidence that it uses.

    Without attributes nothing is extracted or compared. Without text the text retrievers and the prior go;
    attributes stay, as in the paper's Table 5. Without image the image retriever, the image score and OCR go.
    """
    yield FULL, config
    extractors = config.attributes.extractors or ()
    if extractors and config.comparison.comparator != "none":
        yield (
            "without attributes",
            _changed(
                config, attributes={"extractors": ()}, comparison={"comparator": "none"}, fusion={"text": 0.0}
            ),
        )
    weights = config.retrieval.weights
    if "image" in weights:
        only_image = {"image": weights["image"] or 1.0}
        yield "without text", _changed(config, retrieval={"weights": only_image, "prior": "off"})
        without = {name: weight for name, weight in weights.items() if name != "image"}
        yield (
            "without image",
            _changed(
                config,
                retrieval={"weights": without},
                attributes={"extractors": tuple(name for name in extractors if name != "ocr")},
                fusion={"image": 0.0},
            ),
        )
    if config.retrieval.prior != "off" or "prior" in weights:
        without = {name: weight for name, weight in weights.items() if name != "prior"}
        yield "without priors", _changed(config, retrieval={"weights": without, "prior": "off"})


def ablate(
    dataset: DatasetArgument,
    split: SplitOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for a run folder per row.")],
    config: ConfigOption = None,
    engine: EngineOption = "",
    model: ModelOption = "",
    limit: LimitOption = None,
    index: IndexOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Link a split with the whole pipeline and without attributes, text, image and priors: a row each.

    Differences are paired with the whole pipeline, with 95 % intervals over gold products. Sources that the
    configuration does not use have no row.
    """
    from ameli_llm.cli.evaluate import percent
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.pipeline import open_pipeline, resolve
    from ameli_llm.runs import RunFolder
    from eval.experiment import link_split
    from eval.paired import compare_runs

    resolved = resolve(resolve_config(config, engine, model, settings or ()))
    rows: list[dict[str, Any]] = []
    with progress() as show:
        data = load_dataset(dataset)
        chosen = data.split(split)
        if not any(review.id in chosen.gold for review in chosen.reviews[:limit]):
            raise AmeliError(f"Split {split!r} of {dataset} has no gold to measure with.")
        for name, variant in ablations(resolved):
            folder = out / name.replace(" ", "-")
            with open_pipeline(data, variant, index, show) as pipeline:
                outcome = link_split(pipeline, data, chosen, folder, show, limit)
            difference = None if name == FULL else compare_runs(RunFolder(out / FULL), RunFolder(folder))
            rows.append({"row": name, "run": str(folder), **_scores(outcome.metrics, difference)})
    if as_json:
        typer.echo(json.dumps({"dataset": str(dataset), "split": chosen.name, "rows": rows}))
        return
    header = ["", "recall@10", "disambiguation F1", "end-to-end F1", "difference"]
    table(
        header,
        [[row["row"], *(percent(row[name]) for name in SHOWN[:-1]), _signed(row[SHOWN[-1]])] for row in rows],
    )


SHOWN = ("recall_10", "disambiguation_f1", "end_to_end_f1", "difference")


def _scores(metrics: Any, difference: Any) -> dict[str, Any]:
    from eval.evaluation import plain

    return {
        "recall_10": metrics["recall"]["10"],
        "disambiguation_f1": metrics["disambiguation_f1"],
        "end_to_end_f1": metrics["end_to_end_f1"],
        "difference": plain(difference.difference) if difference else None,
    }


def _signed(difference: dict[str, Any] | None) -> str:
    if difference is None:
        return "-"
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * difference[name] for name in ("value", "low", "high")))


def _changed(config: RunConfig, **sections: dict[str, Any]) -> RunConfig:
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=values) for name, values in sections.items()}
    )
