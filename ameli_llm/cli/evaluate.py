"""``ameli-llm evaluate``, ``compare`` and ``report``: what a run is worth. No model is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ameli_llm.cli.options import SettingsOption
from ameli_llm.cli.results import (
    leave,
    print_failures,
    print_json,
    print_scores,
    print_table,
    print_unfinished,
    unfinished,
)
from ameli_llm.cli.terminal import printable
from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from ameli_llm.ids import ReviewId
    from ameli_llm.runs import RunFolder
    from eval.measures.statistics import Difference
    from eval.paired import Contrast, RunComparison
    from eval.tuning.refusion import Refused

_LISTED = 10


def register(app: typer.Typer) -> None:
    """Adds the three commands to the app."""
    app.command("evaluate")(evaluate)
    app.command("compare")(compare)
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
        evaluation = evaluate_run(folder, batch_size if official else None)
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


def compare(
    run_a: Path = typer.Argument(..., metavar="RUN_A", help="The run to compare against."),
    run_b: Path = typer.Argument(..., metavar="RUN_B", help="The run that changed something."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Compare two runs review by review: failures, fixed, broken.

    With the interval of the difference, exact p, tokens and the worst slices. Fixed, broken and p are over
    the reviews that both runs answered; the count with failures as wrong answers is given too. Exit code 3
    when a run is unfinished.
    """
    from ameli_llm.runs import RunFolder
    from eval.paired import compare_runs

    compared = compare_runs(RunFolder(run_a), RunFolder(run_b))
    far = {"A": compared.a, "B": compared.b}
    if as_json:
        print_json({**compared.document(), **unfinished(far)})
    else:
        print_unfinished(far)
        _print_compared(compared)
    leave(far)


def report(
    run: Path = typer.Argument(..., metavar="RUN", help="Run folder."),
    run_b: Path | None = typer.Argument(
        None, metavar="[RUN_B]", help="A second run, compared with the first."
    ),
    out: Path | None = typer.Option(None, "--out", help="File to write; default: report.html in RUN."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object with the file's name."),
) -> None:
    """Write one self-contained HTML file of a run, or of two.

    It holds scores, error budget, curves and every review's evidence. Exit code 3 when a run is unfinished.
    """
    from ameli_llm.runs import RunFolder
    from eval.report.page import write_report

    page = write_report(RunFolder(run), out, RunFolder(run_b) if run_b else None)
    if as_json:
        print_json({"report": str(page.path), **unfinished(page.standings)})
    else:
        typer.echo(str(page.path))
        print_unfinished(page.standings, err=True)
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


def _print_compared(compared: RunComparison) -> None:
    paired = compared.paired
    typer.echo(
        f"{paired.shared} shared reviews with gold; {paired.only_a} only in A, {paired.only_b} only in B"
    )
    if paired.failures:
        typer.echo(f"failed: {paired.failed_a} in A, {paired.failed_b} in B\n")
        print_failures(paired.failures, ("in A", "in B"))
        typer.echo(f"The {paired.answered.n} reviews that both answered:\n")
    else:
        typer.echo()
    _print_contrast(paired.answered)
    if paired.failures:
        typer.echo()
        typer.echo(f"All {paired.shared} shared reviews, failures as wrong answers:\n")
        _print_contrast(paired.failures_as_wrong)
    tokens = ", ".join(f"{count:+d} {name}" for name, count in paired.tokens.items())
    typer.echo(f"tokens: {tokens}")
    typer.echo(f"{'; '.join(_paces(compared))}\n")
    print_table(
        ("part", "kind", "n", "fixed", "broken", "p", "q"),
        ((w.name, w.kind, w.n, w.fixed, w.broken, f"{w.p:.3g}", f"{w.q:.3g}") for w in paired.worst),
    )
    print_table(("setting", "A", "B"), ((key, old, new) for key, (old, new) in compared.changed.items()))


def _print_contrast(contrast: Contrast) -> None:
    print_table(
        ("end-to-end F1, %", "value [95 % interval]"),
        (
            ("A", contrast.a.percent()),
            ("B", contrast.b.percent()),
            ("B - A", _signed(contrast.difference)),
        ),
    )
    found = contrast.difference.detectable
    typer.echo(
        f"exact p (McNemar): {contrast.p:.4g}"
        + (f"; finds differences from {100 * found:.2f} points" if not math.isnan(found) else "")
    )
    for name, ids in (("fixed", contrast.fixed), ("broken", contrast.broken)):
        typer.echo(f"{name}: {len(ids)}{': ' if ids else ''}{_listed(ids)}")


def _signed(difference: Difference) -> str:
    shares = (difference.value, difference.low, difference.high)
    if any(map(math.isnan, shares)):
        return "-"
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * share for share in shares))


def _listed(ids: Sequence[ReviewId]) -> str:
    more = f" ... and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
    return " ".join(printable(str(id_)) for id_ in ids[:_LISTED]) + more


def _paces(compared: RunComparison) -> Iterator[str]:
    """Wall time of the runs: linking works at several reviews at a time."""
    for name, run in (("A", compared.a), ("B", compared.b)):
        if run.seconds is None:
            yield f"wall time of {name}: unknown"
            continue
        paces = {"reviews": run.reviews_per_second, "requests": run.requests_per_second}
        shown = (f"{pace:.2f} {what}/s" for what, pace in paces.items() if pace)
        yield ", ".join([f"wall time of {name}: {run.seconds:.1f} s", *shown])
