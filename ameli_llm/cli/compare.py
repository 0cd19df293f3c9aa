"""``ameli-llm compare``: what runs fix and break of the first one. No model is loaded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ameli_llm.cli.results import (
    leave,
    print_failures,
    print_json,
    print_table,
    print_unfinished,
    unfinished,
)
from ameli_llm.cli.terminal import printable, say
from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from ameli_llm.ids import ReviewId
    from eval.conditions import Condition
    from eval.paired import Contrast, RunComparison
    from eval.standing import Standing

_LISTED = 10
"""Ids that are printed without --all."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def register(app: typer.Typer) -> None:
    """Adds ``compare`` to the app."""
    app.command("compare")(compare)


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN_A RUN_B...", help="Each run is compared with the first.")
    ],
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="CONDITION",
            help="Exit code 1 when it holds for any run: e2e<-1.0 (points), broken>5; or fixed, p, errors, "
            "tokens. Repeatable.",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Name all reviews that were fixed or broken.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a table in Markdown, for a pull request.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare runs, review by review: failures, fixed, broken.

    With the interval of the difference, exact p, tokens, the worst slices, and how prompts and settings
    differ. Fixed, broken and p are over the reviews that both runs answered; the count with failures as wrong
    answers is given too. Exit code 1 when a condition of --fail-on holds, 3 when a run is unfinished.
    """
    from ameli_llm.runs import RunFolder
    from eval.conditions import read_condition
    from eval.measures.statistics import false_discovery
    from eval.paired import compare_all

    if not 2 <= len(runs) <= len(_LETTERS):
        raise AmeliError(f"{len(runs)} runs: compare takes 2 to {len(_LETTERS)}.", hint="compare RUN_A RUN_B")
    conditions = [read_condition(text) for text in fail_on or ()]
    first, *others = (RunFolder(run) for run in runs)
    compared = dict(zip(_LETTERS[1:], compare_all(first, others), strict=False))
    corrected = false_discovery([one.paired.answered.p for one in compared.values()])
    far = {"A": next(iter(compared.values())).a, **{name: one.b for name, one in compared.items()}}
    held = list(_held(conditions, compared))
    if as_json:
        _print_json(compared, corrected, runs, far, held)
    else:
        print_unfinished(far, err=markdown)
        _print_text(compared, corrected, runs, every, markdown)
    for line in held:
        say(line, err=True)
    if held:
        raise typer.Exit(1)
    leave(far)


def _held(conditions: Sequence[Condition], compared: Mapping[str, RunComparison]) -> Iterator[str]:
    for name, one in compared.items():
        for condition in conditions:
            if condition.holds(one.paired):
                value = condition.value(one.paired)
                yield f"{name}: {condition} holds: {condition.measure} is {value:.4g}"


def _print_json(
    compared: Mapping[str, RunComparison],
    corrected: Sequence[float],
    runs: Sequence[Path],
    far: Mapping[str, Standing],
    held: Sequence[str],
) -> None:
    """The comparison itself where there is one, else a list of them under ``compared``."""
    documents = [{**one.document(), "q": q} for one, q in zip(compared.values(), corrected, strict=True)]
    if len(documents) == 1:
        print_json({**documents[0], "failed_on": list(held), **unfinished(far)})
        return
    named = [{"run": str(run), **document} for run, document in zip(runs[1:], documents, strict=True)]
    print_json({"first": str(runs[0]), "compared": named, "failed_on": list(held), **unfinished(far)})


def _print_text(
    compared: Mapping[str, RunComparison],
    corrected: Sequence[float],
    runs: Sequence[Path],
    every: bool,
    markdown: bool,
) -> None:
    if markdown or len(compared) > 1:
        header, rows = _overview(compared, corrected, runs)
        if markdown:
            for line in _markdown(header, rows, compared):
                say(line)
            return
        print_table(header, rows)
    for name, one in compared.items():
        if len(compared) > 1:
            say(f"=== {name} against A\n")
        _print_compared(one, name, every)


def _overview(
    compared: Mapping[str, RunComparison], corrected: Sequence[float], runs: Sequence[Path]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A row for each run; ``q`` is p corrected for the number of comparisons (Benjamini and Hochberg)."""
    header = ("run", "n", "end-to-end F1, %", "minus A", "fixed", "broken", "p", "q", "failed", "tokens")
    first = next(iter(compared.values())).paired
    rows: list[tuple[str, ...]] = [
        (f"A {runs[0]}", str(first.shared), first.failures_as_wrong.a.percent(), *("",) * 7)
    ]
    for (name, one), q, run in zip(compared.items(), corrected, runs[1:], strict=True):
        answered = one.paired.answered
        tokens = one.paired.tokens["prompt"] + one.paired.tokens["completion"]
        rows.append(
            (
                f"{name} {run}",
                str(answered.n),
                answered.b.percent(),
                answered.difference.percent(),
                str(len(answered.fixed)),
                str(len(answered.broken)),
                f"{answered.p:.3g}",
                f"{q:.3g}",
                str(one.paired.failed_b),
                f"{tokens:+d}",
            )
        )
    return header, rows


def _markdown(
    header: Sequence[str], rows: Iterable[Sequence[str]], compared: Mapping[str, RunComparison]
) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|---|{'---:|' * (len(header) - 1)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    for name, one in compared.items():
        changes = [f"`{key}`: `{old}` to `{new}`" for key, old, new in _settings(one)]
        if changes:
            yield f"\n{name} differs from A in {'; '.join(changes)}."
        for part, text in one.prompts.items():
            fence = "~" * (3 + max((len(run) for run in re.findall("~+", text)), default=0))
            yield f"\nPrompt of {name}, {part}:\n\n{fence}diff\n{text}{fence}"


def _print_compared(compared: RunComparison, name: str, every: bool) -> None:
    paired = compared.paired
    say(
        f"{paired.shared} shared reviews with gold; {paired.only_a} only in A, {paired.only_b} only in {name}"
    )
    if paired.failures:
        say(f"failed: {paired.failed_a} in A, {paired.failed_b} in {name}\n")
        print_failures(paired.failures, ("in A", f"in {name}"))
        say(f"The {paired.answered.n} reviews that both answered:\n")
    else:
        say("")
    _print_contrast(paired.answered, name, every)
    if paired.failures:
        say("")
        say(f"All {paired.shared} shared reviews, failures as wrong answers:\n")
        _print_contrast(paired.failures_as_wrong, name, every)
    tokens = ", ".join(f"{count:+d} {kind}" for kind, count in paired.tokens.items())
    say(f"tokens: {tokens}")
    say(f"{'; '.join(_paces(compared, name))}\n")
    print_table(
        ("part", "kind", "n", "fixed", "broken", "p", "q"),
        ((w.name, w.kind, w.n, w.fixed, w.broken, f"{w.p:.3g}", f"{w.q:.3g}") for w in paired.worst),
    )
    _print_changed(compared, name)


def _print_changed(compared: RunComparison, name: str) -> None:
    """Settings and prompts that differ; of settings that decide no answer, the names."""
    print_table(("setting", "A", name), _settings(compared))
    if compared.aside:
        say(f"also different, but decides no answer: {', '.join(compared.aside)}\n")
    for part, text in compared.prompts.items():
        say(f"prompt, {part}:\n{text}")


def _settings(compared: RunComparison) -> list[tuple[str, Any, Any]]:
    """Without the identities of templates whose text is shown."""
    return [
        (key, old, new)
        for key, (old, new) in compared.changed.items()
        if not (compared.prompts and key.startswith("templates."))
    ]


def _print_contrast(contrast: Contrast, name: str, every: bool) -> None:
    print_table(
        ("end-to-end F1, %", "value [95 % interval]"),
        (
            ("A", contrast.a.percent()),
            (name, contrast.b.percent()),
            (f"{name} - A", contrast.difference.percent()),
        ),
    )
    found = contrast.difference.detectable
    say(
        f"exact p (McNemar): {contrast.p:.4g}"
        + (f"; finds differences from {100 * found:.2f} points" if not math.isnan(found) else "")
    )
    for what, ids in (("fixed", contrast.fixed), ("broken", contrast.broken)):
        say(f"{what}: {len(ids)}{': ' if ids else ''}{_listed(ids, every)}")


def _listed(ids: Sequence[ReviewId], every: bool) -> str:
    cut = len(ids) > _LISTED and not every
    more = f" ... and {len(ids) - _LISTED} more" if cut else ""
    return " ".join(printable(str(id_)) for id_ in (ids[:_LISTED] if cut else ids)) + more


def _paces(compared: RunComparison, name: str) -> Iterator[str]:
    """Wall time of the runs: linking works at several reviews at a time."""
    for letter, run in (("A", compared.a), (name, compared.b)):
        if run.seconds is None:
            yield f"wall time of {letter}: unknown"
            continue
        paces = {"reviews": run.reviews_per_second, "requests": run.requests_per_second}
        shown = (f"{pace:.2f} {what}/s" for what, pace in paces.items() if pace)
        yield ", ".join([f"wall time of {letter}: {run.seconds:.1f} s", *shown])
