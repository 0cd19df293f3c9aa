"""``ameli-llm evaluate`` and ``report``: what a run is worth. No model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ameli_llm.cli.options import SettingsOption
from ameli_llm.cli.results import (
    leave,
    print_json,
    print_scores,
    print_table,
    print_unfinished,
    unfinished,
)
from ameli_llm.cli.terminal import say
from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from ameli_llm.runs import RunFolder
    from eval.tuning.refusion import Refused

_LISTED = 10


def register(app: typer.Typer) -> None:
    """Adds both commands to the app."""
    app.command("evaluate")(evaluate)
    app.command("report")(report)


def evaluate(
    run: Path = typer.Argument(..., metavar="RUN", help="Run folder, as link writes it."),
    official: bool = typer.Option(
        False, "--official", help="Count as the official AMELI code does; prints only, writes nothing."
    ),
    batch_size: int = typer.Option(16, "--batch-size", min=1, help="Batch size of --official."),
    settings: SettingsOption = None,
    as_json: bool = typer.Option(False, "--json", help="Print the content of metrics.json."),
) -> None:
    """Score a run: metrics.json and TREC files into its folder.

    The tables go to stdout. With --set fusion.KEY=VALUE, score what another fusion would answer from the
    run's stored scores: prints only, links nothing anew. Exit code 3 when the run is unfinished.
    """
    from ameli_llm.runs import RunFolder
    from eval.evaluation import evaluate_run, plain, write_evaluation
    from eval.standing import standing

    folder = RunFolder(run)
    if settings:
        refused, done = _refuse(folder, settings)
        document = plain(refused)
    else:
        evaluation = evaluate_run(folder, official_batch=batch_size if official else None)
        document = evaluation.document() if official else write_evaluation(folder, evaluation)
        done = len(evaluation.rows)
    far = {"": standing(folder, done)}
    if as_json:
        print_json({**document, **unfinished(far)})
    else:
        print_unfinished(far)
        if settings:
            _print_refused(refused)
        else:
            print_scores(document)
    leave(far)


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Run folders; each is compared with the first."),
    ],
    dataset: Annotated[
        Path | None,
        typer.Option(
            "--dataset", metavar="DIR", help="The dataset folder that was linked, to show its photos."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: report.html in RUN.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with the file's name.")
    ] = False,
) -> None:
    """Write one self-contained HTML file of a run, or of several.

    It holds scores, error budget, curves and every review's evidence. Exit code 3 when a run is unfinished.
    """
    from ameli_llm.runs import RunFolder
    from eval.report.page import write_report

    first, *others = (RunFolder(run) for run in runs)
    page = write_report(first, out, others, dataset)
    if as_json:
        print_json({"report": str(page.path), **unfinished(page.standings)})
    else:
        typer.echo(str(page.path))
        print_unfinished(page.standings, err=True)
        if dataset:
            say(page.photos, err=True)
    leave(page.standings)


def _refuse(folder: RunFolder, settings: Sequence[str]) -> tuple[Refused, int]:
    """The scores under another fusion, and the number of predictions."""
    from ameli_llm.config import override
    from eval.evaluation import run_config
    from eval.tuning.refusion import Refusion, ScoreTable

    config = run_config(folder.require())
    changed = override(config, settings)
    if changed.model_copy(update={"fusion": config.fusion}) != config:
        raise AmeliError("evaluate --set takes settings of fusion only.", hint="For others, link again.")
    gold = {review: row.gold for review, row in folder.gold().items()}
    rows = list(folder.predictions())
    return Refusion(ScoreTable.of(rows, gold)).score(changed.fusion), len(rows)


def _print_refused(scored: Refused) -> None:
    scores = (("disambiguation F1", scored.disambiguation_f1), ("end-to-end F1", scored.end_to_end_f1))
    header = ("measure, %", "value [95 % interval]", "n")
    print_table(header, ((name, score.percent(), score.n) for name, score in scores))
    print_table(("state", "reviews"), scored.states.items())
