"""``ameli-llm link-one``: one review, or JSON lines from stdin to JSON lines on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ameli_llm.cli.options import (
    ConfigOption,
    EngineOption,
    IndexOption,
    ModelOption,
    PromptsOption,
    SettingsOption,
)
from ameli_llm.cli.terminal import printable, progress
from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from ameli_llm.linker import Linker
    from ameli_llm.types import Evidence, Link, RankedCandidate, Verdict

_STATES = {
    "linked": "linked to",
    "nil": "nil: not in the knowledge base; nearest",
    "abstained": "abstained: too unsure; nearest",
    "invalid_output": "invalid_output; nearest by retrieval",
    "engine_error": "engine_error; nearest by retrieval",
}


def register(app: typer.Typer) -> None:
    """Adds ``link-one`` to the app."""
    app.command("link-one")(link_one)


def link_one(
    knowledge_base: Annotated[
        Path, typer.Argument(metavar="KB", help="Dataset folder, or a products.json alone.")
    ],
    body: Annotated[str | None, typer.Option("--body", metavar="TEXT", help="Text of the review.")] = None,
    header: Annotated[str | None, typer.Option("--header", metavar="TEXT", help="Its title.")] = None,
    mention: Annotated[
        str | None, typer.Option("--mention", metavar="TEXT", help="What it calls the product.")
    ] = None,
    image: Annotated[
        list[Path] | None, typer.Option("--image", metavar="FILE", help="A photo of it; repeatable.")
    ] = None,
    config: ConfigOption = None,
    engine: EngineOption = "",
    model: ModelOption = "",
    index: IndexOption = None,
    prompts: PromptsOption = None,
    settings: SettingsOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the review's line of predictions.jsonl.")
    ] = False,
) -> None:
    """Link one review, or JSON lines from stdin.

    Lines are read when no option gives a review. A line has id, header, body, mention and images (paths),
    each optional, or is an AMELI record. Its answer has the keys of predictions.jsonl and is written before
    the next line has to come; a wrong line gives {"line": N, "error": "..."}, and the rest goes on. Exit
    code 1 when a line was wrong or a model failed.
    """
    from ameli_llm.linker import Linker

    given = {"body": body, "header": header, "mention": mention, "images": image}
    review = {name: value for name, value in given.items() if value}
    alone = any(value is not None for value in given.values())
    with progress() as show:
        linker = Linker.open(
            knowledge_base,
            config=config,
            engine=engine,
            model=model,
            settings=settings or (),
            index=index,
            prompts=prompts,
            progress=show,
        )
    with linker:
        failed = _answer_one(linker, review, as_json) if alone else _answer_lines(linker)
    if failed:
        raise typer.Exit(1)


def _answer_one(linker: Linker, review: dict[str, Any], as_json: bool) -> bool:
    """Whether a model failed on it."""
    from ameli_llm.runs import PredictionRow

    link = linker.link(review)
    if as_json:
        _write(PredictionRow.of(link).model_dump_json())
    else:
        for line in _shown(link, linker):
            _write(printable(line))
    return link.error is not None and link.confidence is None


def _answer_lines(linker: Linker) -> bool:
    """Whether some lines were wrong, or a model failed on them."""
    from ameli_llm.json_lines import answer_lines

    if sys.stdin is None:
        raise AmeliError("There is no review: stdin is closed.", hint="Give --body, or JSON lines on stdin.")
    if sys.stdin.isatty():
        typer.echo("Type one JSON object a line; Ctrl-D ends.", err=True)
    linker.check()
    tally = answer_lines(
        sys.stdin.fileno(), linker.link_batch, _write, batch_size=linker.batch_size, workers=linker.workers
    )
    if tally.failed:
        typer.echo(f"{tally.failed} of {tally.lines} lines were wrong or failed.", err=True)
    return tally.failed > 0


def _shown(link: Link, linker: Linker) -> Iterator[str]:
    if link.best is None:
        yield f"{link.state}: {link.error or 'no candidates'}"
        return
    sure = "" if link.confidence is None else f", confidence {link.confidence:.2f}"
    yield f"{_STATES[link.state]}: {_named(link.best, linker)}{sure}"
    if link.error:
        yield f"error: {link.error}"
    if link.runner_up is not None:
        yield f"runner-up: {_named(link.runner_up, linker)}"
    attributes = linker.attributes(link.best.entity_id)
    for verdict in sorted(link.verdicts, key=lambda one: ("agree", "conflict", "unknown").index(one.verdict)):
        yield _attribute(verdict, attributes.get(verdict.key, ()))


def _named(candidate: RankedCandidate, linker: Linker) -> str:
    name = linker.products[candidate.entity_id].name
    return f"{name} ({candidate.entity_id}), score {candidate.score:.2f}"


def _attribute(verdict: Verdict, values: tuple[str, ...]) -> str:
    has = f"; the product: {', '.join(values)}" if values else ""
    return f"{verdict.verdict:<8}  {verdict.key}: {_place(verdict.evidence)}{has}"


def _place(evidence: Evidence) -> str:
    where = f"image {Path(evidence.image).name}" if evidence.image else evidence.field
    return f'"{evidence.text}" in {where}'


def _write(line: str) -> None:
    # As UTF-8 whatever the locale, and at once: the reader may be waiting for this line.
    sys.stdout.buffer.write(line.encode("utf-8", "replace") + b"\n")
    sys.stdout.buffer.flush()
