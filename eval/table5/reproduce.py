"""What ``ameli-llm reproduce table5`` does: candidates, training, a run folder for every row, the table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ameli_llm import provenance
from ameli_llm.config import RunConfig
from ameli_llm.dataset.folds import Fold
from ameli_llm.dataset.load import Dataset, Split, load_dataset
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.pipeline import open_or_build_index, open_pipeline
from ameli_llm.resolution import asks_model, model_free, resolve
from ameli_llm.runs import RunFolder
from ameli_llm.types import Progress
from eval.baselines.course import Course, candidates_of
from eval.baselines.declared import Declared
from eval.baselines.material import Material
from eval.experiment import Outcome, link_split
from eval.official.leaks import Official
from eval.published import Published, published
from eval.table5.models import Asked, Folds, Models, lacking, split_folds
from eval.table5.rows import OURS, Missing, Row, baseline_rows, measure
from eval.table5.runs import Scorer
from eval.table5.view import table
from eval.tables import Table

MODEL_ROW = "ameli-llm-model"
"""Key of our linker with the engine's model."""


def table5(dataset: Path, asked: Asked, progress: Progress) -> Table:
    """Every row over the reviews of the reported split, beside the published figures.

    What is not in ``out`` yet is made there: candidates, models, runs. Raises AmeliError when the reported
    split is one that is trained or chosen on, or when ``out`` holds work of other settings.
    """
    figures = published("table5")
    rows = chosen_rows(asked, figures)
    data = load_dataset(dataset)
    reported = data.split(asked.split)
    reviews = reported.reviews[: asked.limit]
    if not any(review.id in reported.gold for review in reviews):
        raise AmeliError(f"Split {reported.name!r} of {data.root} has no gold to measure with.")
    trains = any(row.baseline and Declared(row.baseline).trained for row in rows)
    folds = split_folds(data, reported, asked) if trains else None
    linked = _linked(rows, data, reported, asked, progress)
    start = linked[OURS].folder
    with open_or_build_index(data, model_free(asked.config), asked.index, progress) as opened:
        material = Material.of(data, opened, asked.image_encoder)
        reasons = {row.key: reason for row in rows if (reason := lacking(row, material))}
        made = [row for row in rows if row.key not in reasons]
        if not made:
            raise AmeliError(f"No row can be made of {data.root}: {rows[0].name} {reasons[rows[0].key]}")
        models = Models(_course(data, material, folds, asked, progress), made, asked, progress)
        scorer = Scorer(material, reviews, start, asked.out / "runs", asked.seed, progress)
        runs = [
            _scored(row, scorer, models) if row.baseline else (row, linked[row.key].folder) for row in made
        ]
    measured = {one.row.key: one for one in measure(runs)}
    return table(
        [measured.get(row.key) or Missing(row, reasons[row.key]) for row in rows],
        figures,
        folder=asked.out,
        dataset=data.name,
        split=reported.name,
        same_data=_is_release(data),
        remarks=_remarks(folds, asked),
        facts=_facts(data, reported, folds, asked)
        | {"error_rate": linked[MODEL_ROW].error_rate if MODEL_ROW in linked else 0.0},
    )


def _course(
    data: Dataset, material: Material, folds: Folds | None, asked: Asked, progress: Progress
) -> Course | None:
    if folds is None:
        return None
    find = candidates_of(data, asked.config, asked.index, asked.out, progress)
    return Course(material, folds.train, folds.dev, find)


def _linked(
    rows: Sequence[Row], data: Dataset, reported: Split, asked: Asked, progress: Progress
) -> dict[str, Outcome]:
    """Our own linker over the reported reviews: without a model, which all rows need, and with one."""
    place = asked.out / "candidates" / reported.name
    linked = {OURS: _link(data, reported, model_free(asked.config), place, asked, progress)}
    for row in rows:
        if row.key == MODEL_ROW:
            place = asked.out / "runs" / _folder_name(row.name)
            linked[row.key] = _link(data, reported, asked.config, place, asked, progress)
    return linked


def _link(
    data: Dataset, split: Split, config: RunConfig, place: Path, asked: Asked, progress: Progress
) -> Outcome:
    """The run of our own linker over the reported reviews.

    Under the official preset it has that code's leaks but for one: weights of a sum are not chosen on the
    reported split, since most rows have none to choose.
    """
    official = Official(weights_on_reported_split=False) if asked.preset == "official" else None
    with open_pipeline(data, config, asked.index, progress, asked.prompts) as pipeline:
        return link_split(pipeline, data, split, place, progress, asked.limit, official)


def _scored(row: Row, scorer: Scorer, models: Models) -> tuple[Row, RunFolder]:
    """A baseline's run, under the name that it gives the row."""
    declared = Declared(row.baseline)
    baseline = declared.create(scorer.material, models.folder(declared), row.variant, scorer.seed)
    return replace(row, name=baseline.title(row.name)), scorer.score(row, baseline)


def _folder_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")


def _is_release(data: Dataset) -> bool:
    """Whether the products come from a file of the AMELI release, by its name."""
    return data.layout == "release"


def _remarks(folds: Folds | None, asked: Asked) -> list[str]:
    lines = [f"Seed {asked.seed}; AMELINK after preset {asked.preset}."]
    if folds:
        lines.append(
            f"Trained on {len(folds.train.reviews)} reviews of {folds.train.name}, chosen on "
            f"{len(folds.dev.reviews)} of {folds.dev.name}; the two and the reported split share no gold "
            f"product ({folds.left_out} reviews were left out for that)."
        )
    return lines


def _facts(data: Dataset, reported: Split, folds: Folds | None, asked: Asked) -> dict[str, Any]:
    return {
        "digests": {"products": data.digest, "reviews": reported.digest},
        "trained_on": _fold_facts(folds.train) if folds else None,
        "chosen_on": _fold_facts(folds.dev) if folds else None,
        "preset": asked.preset,
        "seed": asked.seed,
        "limit": asked.limit,
        "versions": provenance.versions(),
        "git": provenance.commit(),
    }


def _fold_facts(fold: Fold) -> dict[str, Any]:
    return {"split": fold.name, "reviews": len(fold.reviews), "products": len(set(fold.gold.values()))}


def chosen_rows(asked: Asked, figures: Published) -> list[Row]:
    """The rows to make, in the table's order. Raises UnknownNameError on a name that is none."""
    ours = Row(OURS, "ameli-llm, no model", *_sources(model_free(asked.config)))
    rows = [*baseline_rows(figures, asked.wanted), ours]
    if asks_model(resolve(asked.config)):
        engine = asked.config.engine
        name = f"ameli-llm, {engine.model.rstrip('/').rpartition('/')[2] or engine.name}"
        rows.append(Row(MODEL_ROW, name, *_sources(resolve(asked.config))))
    by_key = {row.key: row for row in rows}
    for key in asked.rows:
        if key not in by_key:
            raise UnknownNameError("row", key, by_key)
    return [row for row in rows if not asked.rows or row.key in asked.rows]


def _sources(config: RunConfig) -> tuple[str, bool]:
    """Modality of our linker in the paper's letters, and whether it compares attributes."""
    images = config.retrieval.image_weights
    texts = config.retrieval.by_retriever.keys() - images.keys() - {"prior"}
    image = bool(images) or bool(config.fusion.image)
    parts = [letter for letter, has in (("T", bool(texts)), ("V", image)) if has]
    return "+".join(parts) or "-", bool(config.comparison.comparators)
