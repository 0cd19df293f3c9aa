"""Everything that is measured of one run, as one object and as the content of ``metrics.json``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ameli_llm.config import RunConfig
from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error, write_json, write_text
from ameli_llm.ids import ReviewId
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval import trec
from eval.leaks import Traces, read_traces
from eval.measures import measured
from eval.measures.counting import Counted
from eval.measures.judged import Judged, in_order, judge, product_bootstrap
from eval.measures.statistics import SAMPLES
from eval.official.leaks import BATCH_SIZE, OFFICIAL, Official, Trained
from eval.official.scores import OfficialRows

Model = TypeVar("Model", bound=BaseModel)

SEED = 0
"""Seed of the bootstrap."""

MADE = ("metrics.json", "run.trec", "retrieval.trec", "qrels.trec")
"""What ``write_evaluation`` leaves in a run folder."""


class _Described(BaseModel):
    leaks: tuple[str, ...] | None = None


class _Baseline(BaseModel):
    described: _Described


class _Spec(BaseModel):
    """What evaluation itself reads of ``spec``."""

    config: dict[str, Any] = {}
    protocol: str = ""
    official: tuple[str, ...] = ()
    baseline: _Baseline | None = None


@dataclass(frozen=True)
class Evaluation:
    """The measures of a run: ``rows`` all its predictions, ``judged`` the scored ones, both by review id.

    ``metrics`` has the keys of ``metrics.json``; its values are the measures' own (``Interval``, ...).
    """

    rows: tuple[PredictionRow, ...]
    judged: tuple[Judged, ...]
    config: RunConfig
    metrics: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """The content of ``metrics.json``: shares from 0 to 1, 6 decimals, null for what cannot be measured.

        Two runs of the same configuration differ in ``seconds`` only, which comes last.
        """
        content: dict[str, Any] = plain(self.metrics)
        return content


def evaluate(
    rows: Sequence[PredictionRow],
    gold: Mapping[ReviewId, GoldRow],
    config: RunConfig,
    official_batch: int | None = None,
    official: Official | None = None,
    traces: Traces | None = None,
    trained: Trained | None = None,
) -> Evaluation:
    """Measures ``rows``, in whatever order; ``config`` is the run's resolved configuration (``run.json``).

    ``official_batch`` counts the scores as the official code does. ``official`` are the leaks that a run of
    ``link --official`` was made with, ``trained`` those of its training (None: not trained), ``traces`` what
    linking saw of leaks (``eval.leaks``). Raises AmeliError on a review predicted twice.
    """
    ordered = in_order(rows)
    judged = judge(ordered, gold)
    bootstrap = product_bootstrap(judged, SAMPLES, SEED)
    counted = Counted(judged, bootstrap)
    if official_batch:
        scored = OfficialRows.of(ordered, gold, config.fusion, official, trained or Trained())
        again = judge(scored.rows, gold)
        counted = Counted.official(again, official_batch, scored.reproduced, scored.not_reproduced)
    sample = {
        "rows": ordered,
        "judged": judged,
        "bootstrap": bootstrap,
        "counted": counted,
        "config": config,
        "k": config.retrieval.candidates,
        "depth": config.retrieval.depth,
        "traces": traces,
        "official": official,
    }
    return Evaluation(tuple(ordered), tuple(judged), config, measured(sample))


def evaluate_run(
    run: RunFolder, rows: Sequence[PredictionRow] | None = None, official_batch: int | None = None
) -> Evaluation:
    """Measures a run folder; one made by ``link --official`` is always counted that way.

    ``rows`` are its predictions where they have been read already. Raises AmeliError when it is none, or
    empty, or broken.
    """
    made, config = spec(run.require()), run_config(run)
    rows = list(run.predictions()) if rows is None else rows
    if not rows:
        raise AmeliError(f"{run.path} has no predictions yet.", hint="Type its link command again.")
    official = Official.of(made.get("official", ())) if made.get("protocol") == OFFICIAL else None
    batch = official_batch or (BATCH_SIZE if official else None)
    traces, trained = read_traces(run), Trained.of(made)
    return evaluate(rows, run.gold(), config, batch, official, traces, trained)


def spec(run: RunFolder) -> Mapping[str, Any]:
    """The part ``spec`` of ``run.json``: what decided the result. Raises AmeliError when it is broken."""
    content: Mapping[str, Any] = run.manifest().get("spec", {})
    _checked(run, "spec", _Spec, content)
    return content


def run_config(run: RunFolder) -> RunConfig:
    """The resolved configuration in ``run.json``. Raises AmeliError when this version cannot read it."""
    return _checked(run, "config", RunConfig, spec(run).get("config", {}))


def _checked(run: RunFolder, part: str, model: type[Model], content: Any) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        dot = "." if error.errors()[0]["loc"] else ": "
        raise AmeliError(f"{run.path / 'run.json'}: {part}{dot}{first_error(error)}.") from error


def write_evaluation(run: RunFolder, evaluation: Evaluation) -> dict[str, Any]:
    """Writes ``metrics.json`` and the TREC files into the run folder; the content of the former."""
    document = evaluation.document()
    write_json(run.path / "metrics.json", document)
    write_text(run.path / "run.trec", trec.run_lines(evaluation.rows))
    write_text(run.path / "retrieval.trec", trec.retrieval_lines(evaluation.rows))
    write_text(run.path / "qrels.trec", trec.qrels_lines(run.gold()))
    return document


def plain(value: Any) -> Any:
    """JSON types only: dataclasses become objects, floats have 6 decimals, NaN and infinity become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
