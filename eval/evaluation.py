"""Everything that is measured of one run, as one object and as the content of ``metrics.json``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ameli_llm.config import RunConfig
from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error, write_json, write_text
from ameli_llm.ids import ReviewId
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval import trec
from eval.leaks import RunLeaks, Traces, read_traces, run_leaks
from eval.measures.agreement import AttributeScore, by_attribute
from eval.measures.calibration import Calibration, calibration
from eval.measures.error_budget import ErrorBudget, error_budget
from eval.measures.judged import Judged, judge, product_bootstrap
from eval.measures.metrics import Metrics, metrics
from eval.measures.slices import SliceScore, by_category, by_slice
from eval.measures.statistics import LEVEL, SAMPLES
from eval.official.leaks import BATCH_SIZE, OFFICIAL, Official, Trained
from eval.official.scores import OfficialRows

SEED = 0
"""Seed of the bootstrap."""


@dataclass(frozen=True)
class Evaluation:
    """The measures of a run: ``rows`` all its predictions, ``judged`` the scored ones by review id."""

    rows: tuple[PredictionRow, ...]
    judged: tuple[Judged, ...]
    config: RunConfig
    metrics: Metrics
    error_budget: ErrorBudget
    calibration: Calibration
    categories: tuple[SliceScore, ...]
    slices: tuple[SliceScore, ...]
    attributes: tuple[AttributeScore, ...]
    leaks: RunLeaks

    def document(self) -> dict[str, Any]:
        """The content of ``metrics.json``: shares from 0 to 1, 6 decimals, null for what cannot be measured.

        The risk-coverage curve, a point a review, is left to the report. Two runs of the same configuration
        differ in ``seconds`` only, which comes last.
        """
        scores = plain(self.metrics)
        seconds = scores.pop("seconds")
        confidence = plain(self.calibration)
        del confidence["curve"]
        return {
            **scores,
            "error_budget": plain(self.error_budget),
            "calibration": confidence,
            "by_category": plain(self.categories),
            "by_slice": plain(self.slices),
            "by_attribute": plain(self.attributes),
            "leaks": plain(self.leaks),
            "intervals": {
                "method": "percentile bootstrap over gold products",
                "level": LEVEL,
                "samples": SAMPLES,
                "seed": SEED,
            },
            "seconds": seconds,
        }


def evaluate(
    rows: Sequence[PredictionRow],
    gold: Mapping[ReviewId, GoldRow],
    config: RunConfig,
    official_batch: int | None = None,
    official: Official | None = None,
    traces: Traces | None = None,
    trained: Trained | None = None,
) -> Evaluation:
    """Measures ``rows``; ``config`` is the run's resolved configuration, as in ``run.json``.

    ``official_batch`` counts the scores of ``metrics`` as the official code does. ``official`` are the leaks
    that a run of ``link --official`` was made with, ``trained`` those of its training (None: not trained),
    ``traces`` what linking saw of leaks (``eval.leaks``).
    """
    k, depth = config.retrieval.candidates, config.retrieval.depth
    judged = judge(rows, gold)
    bootstrap = product_bootstrap(judged, SAMPLES, SEED)
    scored = OfficialRows(rows)
    if official_batch:
        scored = OfficialRows.of(rows, gold, config.fusion, official, trained or Trained())
    return Evaluation(
        rows=tuple(rows),
        judged=tuple(judged),
        config=config,
        metrics=metrics(
            scored.rows,
            gold,
            k,
            depth=depth,
            official_batch=official_batch,
            reproduced=scored.reproduced,
            not_reproduced=scored.not_reproduced,
            seed=SEED,
        ),
        error_budget=error_budget(judged, k, config.fusion),
        calibration=calibration(judged),
        categories=tuple(by_category(judged, k, bootstrap)),
        slices=tuple(by_slice(judged, k, bootstrap)),
        attributes=tuple(by_attribute(judged)),
        leaks=run_leaks(judged, k, traces, official),
    )


def evaluate_run(run: RunFolder, official_batch: int | None = None) -> Evaluation:
    """Measures a run folder; one made by ``link --official`` is always counted that way.

    Raises AmeliError when it is none, or empty, or broken.
    """
    rows = list(run.require().predictions())
    if not rows:
        raise AmeliError(f"{run.path} has no predictions yet.", hint="Type its link command again.")
    made = spec(run)
    official = Official.of(made.get("official", ())) if made.get("protocol") == OFFICIAL else None
    batch = official_batch or (BATCH_SIZE if official else None)
    traces, trained = read_traces(run), Trained.of(made)
    return evaluate(rows, run.gold(), run_config(run), batch, official, traces, trained)


def spec(run: RunFolder) -> Mapping[str, Any]:
    """What decided the run's result: the part ``spec`` of ``run.json``."""
    content: Mapping[str, Any] = run.manifest().get("spec", {})
    return content


def run_config(run: RunFolder) -> RunConfig:
    """The resolved configuration in ``run.json``. Raises AmeliError when this version cannot read it."""
    try:
        return RunConfig.model_validate(spec(run).get("config", {}))
    except ValidationError as error:
        raise AmeliError(f"{run.path / 'run.json'}: config.{first_error(error)}.") from error


def write_evaluation(run: RunFolder, evaluation: Evaluation) -> dict[str, Any]:
    """Writes ``metrics.json`` and the TREC files into the run folder; the content of the former."""
    document = evaluation.document()
    write_json(run.path / "metrics.json", document)
    write_text(run.path / "run.trec", trec.run_lines(evaluation.rows))
    write_text(run.path / "retrieval.trec", trec.retrieval_lines(evaluation.rows))
    write_text(run.path / "qrels.trec", trec.qrels_lines(run.gold()))
    return document


def plain(value: Any) -> Any:
    """JSON types only: dataclasses become objects, floats have 6 decimals, NaN becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value
