"""``ameli-llm show``: one review of a run, whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ameli_llm.cli.options import JsonOption
from ameli_llm.cli.results import print_json
from ameli_llm.cli.terminal import say

if TYPE_CHECKING:
    from ameli_llm.runs import AttributeRow, CandidateRow, VerdictRow
    from eval.one_review import OneReview


def register(app: typer.Typer) -> None:
    """Adds ``show`` to the app."""
    app.command("show")(show)


def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, as link writes it.")],
    review: Annotated[str, typer.Argument(metavar="REVIEW", help="Id of a review of the run.")],
    as_json: JsonOption = False,
) -> None:
    """Show one review of a run, whole.

    Its text, each prompt as it was sent and its reply, the values with the words that prove them, what they
    say of the first candidate, the candidates with their scores, and with gold what went wrong.
    """
    from ameli_llm.runs import RunFolder
    from eval.one_review import one_review

    found = one_review(RunFolder(run), review)
    if as_json:
        print_json(found.document())
        return
    for line in _lines(found):
        say(line)


def _lines(found: OneReview) -> Iterator[str]:
    from ameli_llm.prompting.exchanges import as_text

    row = found.row
    yield f"=== review {row.review_id}"
    for name in ("mention", "header", "body"):
        yield f"{name}: {found.text.get(name) or ''}"
    yield f"images: {', '.join(map(str, found.text.get('images') or ())) or 'none'}"
    if found.exchanges:
        yield f"\n{as_text(found.exchanges, found.templates)}"
    yield "\n=== values"
    yield from [_value(one) for one in row.attributes] or ["none"]
    if row.dropped:
        yield f"dropped: {', '.join(f'{reason} {count}' for reason, count in row.dropped.items())}"
    if row.evidence:
        yield "\n=== the first candidate"
        yield from (f"{one.verdict:<8}  {one.key}{_said(one)}" for one in row.evidence)
    yield "\n=== candidates: score = retrieval, text, image"
    yield from (_candidate(found, at, one) for at, one in enumerate(row.candidates[: row.compared], start=1))
    yield "\n=== answer"
    yield from _answer(found)


def _said(one: VerdictRow) -> str:
    return f': "{one.text}"' if one.text else ""  # runs of earlier versions have no words here


def _value(one: AttributeRow) -> str:
    where = f"image {one.evidence.image}" if one.evidence.image else one.evidence.field
    said = "denies" if one.negated else "states"
    return f'{one.key}: {said} {one.value}, "{one.evidence.text}" in {where} (by {one.source})'


def _candidate(found: OneReview, at: int, one: CandidateRow) -> str:
    parts = [f"{one.retrieval_score:.3f}"]
    parts += ["-" if part is None else f"{part:.3f}" for part in (one.text_score, one.image_score)]
    if len(one.text_scores) > 1:
        parts[1] += f" ({', '.join(f'{name} {part:.2f}' for name, part in sorted(one.text_scores.items()))})"
    right = "  <- right" if found.gold and found.gold.gold == one.entity_id else ""
    name = found.names.get(one.entity_id, "")
    return f"{at:>2}. {one.score:.3f} = {', '.join(parts)}  {name} ({one.entity_id}){right}"


def _answer(found: OneReview) -> Iterator[str]:
    row = found.row
    sure = "" if row.confidence is None else f", confidence {row.confidence:.2f}"
    answered = f" {found.names.get(row.entity_id, '')} ({row.entity_id})" if row.entity_id is not None else ""
    yield f"{row.state}{answered}{sure}"
    if row.error:
        yield f"error: {row.error}"
    if found.gold is None:
        return
    gold = found.gold.gold
    right = "not in the knowledge base" if gold is None else f"{found.names.get(gold, '')} ({gold})"
    yield f"right: {right}"
    if found.cause:
        from eval.measures.error_budget import CAUSES

        yield f"cause of the error: {found.cause} ({CAUSES[found.cause]})"
