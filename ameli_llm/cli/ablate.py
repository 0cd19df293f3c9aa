"""``ameli-llm ablate``: what each source of evidence is worth."""

from __future__ import annotations

import json
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
    PromptsOption,
    SettingsOption,
    SplitOption,
)
from ameli_llm.cli.results import failures_json, print_failures
from ameli_llm.cli.terminal import progress, table
from ameli_llm.interruption import GOES_ON

if TYPE_CHECKING:
    from eval.ablations import AblationRow

SCORES = ("recall_10", "disambiguation_f1", "end_to_end_f1")


def register(app: typer.Typer) -> None:
    """Adds ``ablate`` to the app."""
    app.command("ablate")(ablate)


def ablate(
    dataset: DatasetArgument,
    split: SplitOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for a run folder per row.")],
    config: ConfigOption = None,
    engine: EngineOption = "",
    model: ModelOption = "",
    limit: LimitOption = None,
    index: IndexOption = None,
    prompts: PromptsOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Link a split without each source of evidence: a row each.

    The whole pipeline, then without attributes, text, image and priors.
    Differences are paired with the whole pipeline, with 95 % intervals over gold products. Sources that the
    configuration does not use have no row.
    """
    from ameli_llm.dataset.load import load_dataset
    from eval.ablations import ablate as linked_without

    resolved = resolve_config(config, engine, model, settings or ())
    with progress(GOES_ON) as show:
        data = load_dataset(dataset)
        made = linked_without(data, split, resolved, out, show, limit, index, prompts)
    if as_json:
        rows = [{"row": row.name, "run": str(row.run.path), **_scores(row)} for row in made]
        typer.echo(json.dumps({"dataset": str(dataset), "split": data.split(split).name, "rows": rows}))
        return
    header = ["", "recall@10", "disambiguation F1", "end-to-end F1", "difference"]
    table(header, [_cells(row) for row in made])
    for one in made:
        print_failures(one.failures, (one.name,))


def _cells(row: AblationRow) -> list[str]:
    from eval.measures.showing import percent

    scores = _scores(row)
    difference = row.difference.percent() if row.difference else "-"
    return [row.name, *(percent(scores[name]) for name in SCORES), difference]


def _scores(row: AblationRow) -> dict[str, Any]:
    from eval.evaluation import plain

    return {
        "recall_10": row.metrics["recall"]["10"],
        "disambiguation_f1": row.metrics["disambiguation_f1"],
        "end_to_end_f1": row.metrics["end_to_end_f1"],
        "difference": plain(row.difference),
        "failures": failures_json(row.failures),
    }
