"""``ameli-llm evaluate``, ``compare`` and ``report``: what a run is worth. No model is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ameli_llm.cli.options import SettingsOption
from ameli_llm.cli.terminal import table
from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from ameli_llm.runs import RunFolder
    from eval.paired import Paired

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
    run's stored scores: prints only, links nothing anew.
    """
    from ameli_llm.runs import RunFolder
    from eval.evaluation import evaluate_run, write_evaluation

    folder = RunFolder(run)
    if settings:
        _refuse(folder, settings, as_json)
        return
    evaluation = evaluate_run(folder, batch_size if official else None)
    document = evaluation.document() if official else write_evaluation(folder, evaluation)
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        print_scores(document)


def compare(
    run_a: Path = typer.Argument(..., metavar="RUN_A", help="The run to compare against."),
    run_b: Path = typer.Argument(..., metavar="RUN_B", help="The run that changed something."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Compare two runs review by review: fixed, broken, exact p.

    Over the reviews of both, with the interval of the difference, tokens and the worst slices.
    """
    from ameli_llm.runs import RunFolder
    from eval.evaluation import plain, spec
    from eval.paired import changed_settings, compare_runs

    a, b = RunFolder(run_a), RunFolder(run_b)
    paired = compare_runs(a, b)
    changed = changed_settings(spec(a), spec(b))
    if as_json:
        typer.echo(json.dumps({**plain(paired), "changed": plain(changed)}, ensure_ascii=False))
    else:
        _print_paired(paired, changed)


def report(
    run: Path = typer.Argument(..., metavar="RUN", help="Run folder."),
    run_b: Path | None = typer.Argument(
        None, metavar="[RUN_B]", help="A second run, compared with the first."
    ),
    out: Path | None = typer.Option(None, "--out", help="File to write; default: report.html in RUN."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object with the file's name."),
) -> None:
    """Write one self-contained HTML file of a run, or of two.

    It holds scores, error budget, curves and every review's evidence.
    """
    from ameli_llm.runs import RunFolder
    from eval.report.page import write_report

    path = write_report(RunFolder(run), out, RunFolder(run_b) if run_b else None)
    typer.echo(json.dumps({"report": str(path)}) if as_json else str(path))


def _refuse(folder: RunFolder, settings: Sequence[str], as_json: bool) -> None:
    from ameli_llm.config import override
    from eval.evaluation import plain, run_config
    from eval.tuning.refusion import Refusion, ScoreTable

    config = run_config(folder.require())
    changed = override(config, settings)
    if changed.model_copy(update={"fusion": config.fusion}) != config:
        raise AmeliError("evaluate --set takes settings of fusion only.", hint="For others, link again.")
    gold = {review: row.gold for review, row in folder.gold().items()}
    scored = Refusion(ScoreTable.of(list(folder.predictions()), gold)).score(changed.fusion)
    if as_json:
        typer.echo(json.dumps(plain(scored)))
        return
    scores = (("disambiguation F1", scored.disambiguation_f1), ("end-to-end F1", scored.end_to_end_f1))
    _table(("measure, %", "value [95 % interval]", "n"), ((name, s.percent(), s.n) for name, s in scores))
    _table(("state", "reviews"), scored.states.items())


def print_scores(document: Mapping[str, Any]) -> None:
    """The content of ``metrics.json`` as tables on stdout; "-" is what could not be measured."""
    m = document
    typer.echo(
        f"{m['n']} reviews, {m['with_gold']} with gold, {m['in_kb']} with their product in the KB "
        f"({m['products']} products), K = {m['k']}"
    )
    protocol = m["protocol"]
    if protocol["batch_size"]:
        typer.echo(
            f"{protocol['name']} protocol: batches of {protocol['batch_size']}, "
            f"{protocol['reviews_dropped']} reviews dropped"
        )
        typer.echo(f"official: {', '.join(protocol['reproduced']) or 'only the counting'}")
        for missing in protocol["not_reproduced"]:
            typer.echo(f"not reproduced: {missing}")
    typer.echo()
    scores = {f"recall@{k}": score for k, score in m["recall"].items()} | {
        "disambiguation F1": m["disambiguation_f1"],
        "end-to-end F1": m["end_to_end_f1"],
        "precision of links": m["precision"],
        "accuracy with nil": m["accuracy"],
    }
    _table(
        ("measure, %", "value [95 % interval]", "n"),
        ((name, percent(score), score["n"] if score else "-") for name, score in scores.items()),
    )
    _table(("state", "reviews"), m["states"].items())
    _print_parts(m)
    for line in _closing_lines(m):
        typer.echo(line)


def _print_parts(m: Mapping[str, Any]) -> None:
    errors = m["error_budget"]["errors"]
    _table(
        (f"cause of {errors} errors", "reviews", "%"),
        ((c, n, f"{100 * n / errors:.1f}") for c, n in m["error_budget"]["causes"].items() if n),
    )
    for title, parts in (("category", m["by_category"]), ("slice", m["by_slice"])):
        _table(
            (title, "n", f"recall@{m['k']}", "end-to-end F1"),
            (
                (p["name"], p["n"], percent(p["recall_at_k"]), percent(p["end_to_end_f1"]))
                for p in parts[:_LISTED]
            ),
        )
    _table(
        ("attribute", "reviews", "agree", "conflict", "unknown"),
        ((a["key"], a["n"], *a["right_product"].values()) for a in m["by_attribute"][:_LISTED]),
    )


def _closing_lines(m: Mapping[str, Any]) -> Iterable[str]:
    from eval.leaks import lines

    if leaks := "; ".join(lines(m["leaks"])):
        yield f"leaks: {leaks}"
    c, flips = m["calibration"], m["flips"]
    if c["ece"] is not None:
        points = [
            f"{100 * p['coverage']:.1f} % answered at {100 * p['precision']:.0f} % precision"
            for p in c["points"]
        ]
        yield f"calibration: ECE {c['ece']:.4f}, AURC {c['aurc']:.4f}, {', '.join(points)}"
    if flips["rate"] is not None:
        yield f"order: {flips['flips']} of {flips['orders']} candidate orders flip the first choice"
    if any(m["tokens"].values()):
        yield "tokens: " + ", ".join(f"{count} {name}" for name, count in m["tokens"].items())
    yield "seconds: " + ", ".join(f"{seconds:.2f} {stage}" for stage, seconds in m["seconds"].items())


def percent(score: Mapping[str, Any] | None) -> str:
    """A score of ``metrics.json`` with its interval, in percent; "-" when it could not be measured."""
    from eval.measures.statistics import Interval

    return Interval(**score).percent() if score else "-"


def _print_paired(paired: Paired, changed: Mapping[str, tuple[Any, Any]]) -> None:
    d = paired.difference
    typer.echo(f"{paired.n} shared reviews with gold; {paired.only_a} only in A, {paired.only_b} only in B\n")
    _table(
        ("end-to-end F1, %", "value [95 % interval]"),
        (
            ("A", paired.a.percent()),
            ("B", paired.b.percent()),
            ("B - A", f"{100 * d.value:+.2f} [{100 * d.low:+.2f}, {100 * d.high:+.2f}]"),
        ),
    )
    typer.echo(f"exact p (McNemar): {paired.p:.4g}; finds differences from {100 * d.detectable:.2f} points")
    for name, ids in (("fixed", paired.fixed), ("broken", paired.broken)):
        more = f" ... and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
        typer.echo(f"{name}: {len(ids)}{': ' if ids else ''}{' '.join(map(str, ids[:_LISTED]))}{more}")
    tokens = ", ".join(f"{count:+d} {name}" for name, count in paired.tokens.items())
    typer.echo(f"tokens: {tokens}; seconds: {paired.seconds:+.2f}\n")
    _table(
        ("part", "kind", "n", "fixed", "broken", "p", "q"),
        ((w.name, w.kind, w.n, w.fixed, w.broken, f"{w.p:.3g}", f"{w.q:.3g}") for w in paired.worst),
    )
    _table(("setting", "A", "B"), ((key, old, new) for key, (old, new) in changed.items()))


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table and a blank line; nothing without rows. Long cells are cut."""
    cells = [[_short(str(cell)) for cell in row] for row in rows]
    if cells:
        table(header, cells)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
