"""``ameli-llm index`` and ``retrieve``: the knowledge base made searchable, and candidates from it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import typer

from ameli_llm.cli.options import ConfigOption, DatasetArgument, IndexOption, JsonOption
from ameli_llm.cli.terminal import progress, table


def register(app: typer.Typer) -> None:
    """Adds the commands ``index`` and ``retrieve`` to the app."""
    app.command("index")(index)
    app.command("retrieve")(retrieve)


def index(
    dataset: DatasetArgument,
    out: Path | None = typer.Option(None, "--out", metavar="DIR", help="Index folder; default: the cache."),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the products searchable: text and image vectors, priors.

    The vectors are kept in Chroma. Run again, it embeds only what changed. An index that is damaged or of
    another encoder is replaced.
    """
    from ameli_llm.config import load_config
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.paths import index_dir
    from retrieval.ready import make_ready

    started = time.perf_counter()
    chosen = load_config(config).retrieval
    data = load_dataset(dataset)
    with progress() as show:
        made = make_ready(data, out or index_dir(data.key, chosen), chosen, show)
    summary = {**made, "seconds": round(time.perf_counter() - started, 1)}
    if as_json:
        typer.echo(json.dumps(summary))
        return
    table(["", "index"], [[key.replace("_", " "), _text(value)] for key, value in summary.items()])


def retrieve(
    dataset: DatasetArgument,
    split: str = typer.Option(..., "--split", metavar="S", help="train, dev (also val) or test."),
    out: Path = typer.Option(..., "--out", metavar="RUN", help="Folder for the candidates."),
    config: ConfigOption = None,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find candidates only, and print the rows of Table 4.

    Writes candidates.jsonl, run.trec, qrels.trec and retrieval.json. Recall counts reviews whose product is
    in the knowledge base; the interval is a bootstrap over products.
    """
    from ameli_llm.config import load_config
    from ameli_llm.dataset.load import load_dataset
    from eval.table4.retrieve import retrieve as retrieved

    data = load_dataset(dataset)
    with progress() as show:
        done = retrieved(data, data.split(split), load_config(config), index, out, show)
    if as_json:
        typer.echo(json.dumps(done.report))
        return
    n = max((row.n for row in done.rows), default=0)
    typer.echo(f"{done.split}: {done.reviews} reviews, {n} with their product among {done.products}")
    header = ["method", "modality", *(f"R@{k}" for k in done.cutoffs)]
    table(header, [row.cells(done.cutoffs) for row in done.rows])
    for row in done.rows:
        if row.missing:
            typer.echo(f"{row.method}: {row.missing}")
    typer.echo(f"Candidates: {out / 'candidates.jsonl'}")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {reason}" for reason, count in value.items()) or "0"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return str(value)
