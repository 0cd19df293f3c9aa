"""``ameli-llm index`` and ``retrieve``: the knowledge base made searchable, and candidates from it."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ameli_llm.cli.options import ConfigOption, DatasetArgument, IndexOption, JsonOption
from ameli_llm.cli.terminal import progress, table

if TYPE_CHECKING:
    from retrieval.index import Index


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

    The vectors are kept in Chroma.

    Run again, it embeds only what changed. An index that is damaged or of another encoder is replaced.
    """
    from ameli_llm.config import load_config
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.paths import index_dir
    from retrieval.building import build_index
    from retrieval.candidates import CandidateFinder
    from retrieval.priors import open_priors

    started = time.perf_counter()
    chosen = load_config(config).retrieval
    data = load_dataset(dataset)
    with progress() as show:
        built = build_index(data, out or index_dir(data.key, chosen), chosen, show)
        CandidateFinder(built, data, chosen)
        open_priors(built)
    summary = {**_summary(built), "seconds": round(time.perf_counter() - started, 1)}
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
    from ameli_llm.pipeline import open_or_build_index
    from ameli_llm.runs import write_json
    from eval.table4.retrieve import find_candidates, recall_rows, write_qrels
    from retrieval.candidates import CandidateFinder

    settings = load_config(config)
    data = load_dataset(dataset)
    chosen = data.split(split)
    with progress() as show:
        opened = open_or_build_index(data, settings, index, show)
        finder = CandidateFinder(opened, data, settings.retrieval)
        found = find_candidates(finder, chosen.reviews, out, show)
    write_qrels(out, chosen.gold)
    rows = recall_rows(found, chosen.gold)
    report = {
        "dataset": data.digest,
        "split": {"name": chosen.name, "digest": chosen.digest, "reviews": len(chosen.reviews)},
        "config": settings.retrieval.model_dump(mode="json"),
        "index": _summary(opened),
        "rows": [asdict(row) for row in rows],
    }
    write_json(out / "retrieval.json", report)
    if as_json:
        typer.echo(json.dumps(report))
        return
    n = max((row.n for row in rows), default=0)
    typer.echo(f"{chosen.name}: {len(chosen.reviews)} reviews, {n} with their product among {len(opened)}")
    header = ["method", "modality", *(f"R@{k}" for k in found.cutoffs)]
    table(header, [row.cells(found.cutoffs) for row in rows])
    for row in rows:
        if row.missing:
            typer.echo(f"{row.method}: {row.missing}")
    typer.echo(f"Candidates: {out / 'candidates.jsonl'}")


def _summary(opened: Index) -> dict[str, Any]:
    manifest = opened.manifest
    problems = Counter(i.problem for entry in opened.entries for i in entry.images if i.problem)
    return {
        "folder": str(opened.folder),
        "products": manifest.products,
        "images": manifest.images,
        "unusable_images": dict(sorted(problems.items())),
        "text_encoder": str(manifest.text),
        "image_encoder": str(manifest.image) if manifest.image else "none",
        "kb_version": manifest.kb_version[:16],
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {reason}" for reason, count in value.items()) or "0"
    return str(value)
