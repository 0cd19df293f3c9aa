"""``ameli-llm prompts``: list, show, render, lint and diff templates, without torch and without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ameli_llm.cli.options import JsonOption, PromptsOption, complete_split, complete_template
from ameli_llm.cli.terminal import printable, printable_lines
from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from ameli_llm.comparison.comparator import ComparisonTask

_TEMPLATE = typer.Argument(
    ...,
    metavar="TEMPLATE",
    help="Name (extract/json) or path of a .j2 file.",
    autocompletion=complete_template,
)
_DATASET = typer.Option(None, "--dataset", help="Dataset folder; without it an invented review is shown.")
_SPLIT = typer.Option("dev", "--split", help="Split of the dataset.", autocompletion=complete_split)
_REVIEW = typer.Option(None, "--review", help="Id of the review; the split's first without it.")
_CANDIDATES = typer.Option("", "--candidates", help="Product ids, as 1,2,3; else those with close titles.")
_RUN = typer.Option(
    None, "--run", metavar="RUN", help="As this run of the dataset saw the review: its candidates and values."
)
_COUNT = typer.Option(10, "-k", min=1, max=52, help="Candidates to take by title.")


def register(app: typer.Typer) -> None:
    """Adds the group ``prompts`` to the app."""
    group = typer.Typer(help="List, show, render, lint and diff templates.", no_args_is_help=True)
    group.command("list")(list_templates)
    group.command("show")(show)
    group.command("render")(render)
    group.command("lint")(lint)
    group.command("diff")(diff)
    app.add_typer(group, name="prompts")


def list_templates(prompts: PromptsOption = None, as_json: JsonOption = False) -> None:
    """List the templates: name, task, method, identity, description."""
    from ameli_llm.templates import load_template, template_names

    rows: list[dict[str, str]] = []
    for name in template_names(prompts):
        try:
            template = load_template(name, prompts)
        except AmeliError as error:
            rows.append({"name": name, "task": "!", "method": "!", "identity": "", "description": str(error)})
            continue
        front = template.front
        rows.append(
            {
                "name": name,
                "task": front.task,
                "method": front.method,
                "identity": template.identity if as_json else template.short_identity,
                "description": front.description,
            }
        )
    if as_json:
        typer.echo(json.dumps({"templates": rows}))
        return
    columns = ("name", "task", "method", "identity", "description")
    lines = [columns, *(tuple(printable(row[column]) for column in columns) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def show(template: str = _TEMPLATE, prompts: PromptsOption = None, as_json: JsonOption = False) -> None:
    """Print a template's identity, what it includes, and its source."""
    from ameli_llm.templates import load_template

    loaded = load_template(template, prompts)
    if as_json:
        front = loaded.front.model_dump(mode="json", by_alias=True)
        record = {"name": loaded.name, "identity": loaded.identity, "includes": list(loaded.included)}
        typer.echo(json.dumps({**record, "front_matter": front, "source": loaded.source}))
        return
    typer.echo(printable(f"# {loaded.name}  identity {loaded.identity}"))
    typer.echo(printable(f"# includes {', '.join(loaded.included) or 'nothing'}"))
    typer.echo(printable_lines(loaded.source), nl=False)


def render(
    template: str = _TEMPLATE,
    dataset: Path | None = _DATASET,
    split: str = _SPLIT,
    review: str | None = _REVIEW,
    candidates: str = _CANDIDATES,
    count: int = _COUNT,
    run: Path | None = _RUN,
    prompts: PromptsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the requests that a template makes for one review.

    With --run, exactly what that run saw. Otherwise, without an index, candidates are the products whose
    titles are closest to the review's words (rapidfuzz), not those that retrieval would find, and what the
    review states comes from the rules extractor.
    """
    from ameli_llm.prompting.preview import as_json as requests_as_json
    from ameli_llm.prompting.preview import as_text, preview

    task = _task(dataset, split, review, candidates, count, run)
    requests = preview(template, task, prompts)
    if as_json:
        ids = [product.id for product in task.candidates]
        record = {"template": template, "review_id": task.review.id, "candidates": ids}
        typer.echo(json.dumps({**record, "requests": requests_as_json(requests)}))
        return
    if dataset is not None and run is None and not candidates:
        typer.echo("candidates: closest titles, not retrieval (--candidates 1,2,3 names others)", err=True)
    if not requests:
        typer.echo(
            "no request: the review has no text, or no attribute differs among the candidates", err=True
        )
    typer.echo(printable_lines(as_text(requests)), nl=False)


def lint(
    templates: list[str] = typer.Argument(
        None, metavar="[TEMPLATE]...", help="All without a name.", autocompletion=complete_template
    ),
    prompts: PromptsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check templates; exit code 1 when there is something to mend."""
    from ameli_llm.prompting.lint import lint as findings_of
    from ameli_llm.templates import template_names

    names = templates or template_names(prompts)
    findings = [finding for name in names for finding in findings_of(name, prompts)]
    if as_json:
        rows = [{"template": f.template, "code": f.code, "message": f.message} for f in findings]
        typer.echo(json.dumps({"checked": names, "findings": rows}))
    else:
        for finding in findings:
            typer.echo(printable(f"{finding.template}: {finding.code}: {finding.message}"))
        typer.echo(f"{len(names)} checked, {len(findings)} to mend")
    if findings:
        raise typer.Exit(1)


def diff(
    left: str = typer.Argument(
        ..., metavar="A", help="Name or path of a .j2 file.", autocompletion=complete_template
    ),
    right: str = typer.Argument(
        ..., metavar="B", help="Name or path of a .j2 file.", autocompletion=complete_template
    ),
    dataset: Path | None = _DATASET,
    split: str = _SPLIT,
    review: str | None = _REVIEW,
    candidates: str = _CANDIDATES,
    count: int = _COUNT,
    run: Path | None = _RUN,
    prompts: PromptsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print how two templates differ, in source and in what is sent."""
    from ameli_llm.prompting.diff import diff as diff_of
    from ameli_llm.templates import load_template

    text = diff_of(left, right, prompts, _task(dataset, split, review, candidates, count, run))
    if as_json:
        sides = {"a": left, "b": right}
        identities = {
            f"identity_{side}": load_template(name, prompts).identity for side, name in sides.items()
        }
        typer.echo(json.dumps({**sides, **identities, "diff": text}))
    else:
        typer.echo(printable_lines(text) or "no difference\n", nl=False)


def _task(
    dataset: Path | None, split: str, review: str | None, candidates: str, count: int, run: Path | None
) -> ComparisonTask:
    from ameli_llm.prompting.example import example
    from ameli_llm.prompting.task import task_of, task_of_run

    if dataset is None:
        if review is not None or candidates or run is not None:
            raise AmeliError(
                "--review, --candidates and --run name parts of a dataset.", hint="Add --dataset DIR."
            )
        return example()
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.runs import RunFolder

    if run is not None:
        if candidates:
            raise AmeliError("A run has its own candidates.", hint="Leave --candidates or --run out.")
        return task_of_run(load_dataset(dataset), RunFolder(run), review)
    named = [part.strip() for part in candidates.split(",")] if candidates else []
    return task_of(load_dataset(dataset), split, review, named, count)
