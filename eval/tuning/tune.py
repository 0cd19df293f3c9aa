"""Chooses weights of retrieval, comparators and fusion, precision, calibration, thresholds on one split.

Each step sees what the earlier ones chose. Everything here reads gold; ``link`` reads none of it, only the
configuration that comes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.attributes.extractor import Extraction
from ameli_llm.attributes.merge import measure_precision
from ameli_llm.comparison.panel import Panel
from ameli_llm.config import FusionConfig, RunConfig
from ameli_llm.flow import Flow
from ameli_llm.fusion.calibrate import fit_logistic
from ameli_llm.fusion.combine import decide, features
from ameli_llm.fusion.missing import filled
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.types import Candidate, Link, Progress, Review
from eval.failures import FailureKind, failure_kinds
from eval.tuning.conditional_logit import Choice, fit
from eval.tuning.panel import fit_panel
from eval.tuning.refusion import PAD, ScoreTable
from retrieval.candidates import CandidateFinder
from retrieval.search import top_k

Array: TypeAlias = npt.NDArray[np.float64]
Gold: TypeAlias = Mapping[ReviewId, EntityId | None]

POOL = 100
"""Products that each retriever proposes as alternatives to the gold product."""

GRID = (0.0, *(float(10.0**exponent) for exponent in np.arange(-2.0, 2.01, 0.25)))
"""Weights tried for the text and the image score, in standard deviations of the retrieval score."""

BATCH = 32

_EVEN = 0.5
"""The KB probability from which on a product is as likely in the knowledge base as outside."""


@dataclass(frozen=True)
class Tuned:
    """The chosen configuration, and what choosing it saw: ``n`` reviews with gold, ``accuracy`` on them, and
    the ``failures`` among them.

    ``accuracy`` is measured on the split that was tuned on: it says that tuning worked, not how good the
    flow is.
    """

    config: RunConfig
    n: int
    accuracy: float
    failures: tuple[FailureKind, ...] = ()


def tune(
    finder: CandidateFinder,
    flow: Flow,
    config: RunConfig,
    panel_of: Callable[[RunConfig], Panel | None],
    reviews: Sequence[Review],
    gold: Gold,
    progress: Progress,
    precision: float | None = None,
) -> Tuned:
    """The configuration that answers ``reviews`` best.

    ``panel_of`` makes the comparators of a configuration: one may weigh values by the extractors' precision,
    which is only known half way. ``precision`` sets the abstention threshold to the
    lowest at which the links of this split are right at that rate; None withholds no link for want of
    confidence.
    """
    known = [review for review in reviews if review.id in gold]
    weights = fit_retrieval(finder, known, gold, progress)
    config = _with(config, "retrieval", weights=weights)
    flow = replace(flow, source=finder.with_weights(weights))
    found, extractions = read(flow, known, progress)
    right = [gold[review.id] for review in known]
    stated = [flow.attributes[entity] if entity is not None else {} for entity in right]
    config = _with(config, "attributes", precision=measure_precision(extractions, stated))
    flow = replace(flow, merging=config.attributes, panel=panel_of(config))

    def answers(fusion: FusionConfig) -> list[Link]:
        return replace(flow, fusion=fusion).conclude(known, found, extractions)

    progress("fitting fusion weights", 0, 1)
    retrieval_alone = FusionConfig(retrieval=1.0, text=0.0, image=0.0)
    if flow.panel is not None and len(flow.panel.comparators) > 1:
        judged = [(link, gold[link.review_id]) for link in answers(retrieval_alone)]
        config = _with(config, "comparison", weights=fit_panel(judged))
        flow = replace(flow, panel=panel_of(config))
    fusion = fit_fusion(answers(retrieval_alone), gold)
    filtered = fusion.model_copy(update={"mismatch_filter": True})
    fusion = max((fusion, filtered), key=lambda choice: _right(answers(choice), gold))
    fusion = calibrate(answers(fusion), gold, fusion, precision)
    progress("fitting fusion weights", 1, 1)
    config = config.model_copy(update={"fusion": fusion})
    links = answers(fusion)
    hits = _right(links, gold)
    accuracy = hits / len(known) if known else math.nan
    return Tuned(config, len(known), accuracy, tuple(failure_kinds(links)))


def fit_retrieval(
    finder: CandidateFinder, reviews: Sequence[Review], gold: Gold, progress: Progress
) -> dict[str, float]:
    """A weight per retriever of ``finder``, by conditional logit against each retriever's best products."""
    names = sorted(finder.retrievers)
    choices = retrieval_choices(finder, names, reviews, gold, progress)
    return {name: round(float(w), 4) for name, w in zip(names, fit(choices, len(names)), strict=True)}


def retrieval_choices(
    finder: CandidateFinder, names: Sequence[str], reviews: Sequence[Review], gold: Gold, progress: Progress
) -> list[Choice]:
    """What ``fit`` learns retrieval from: each retriever's best products and the gold one of every review.

    A column for each of ``names``, retrievers of ``finder``. Reviews without a product in the KB are none.
    """
    rows = finder.index.rows
    choices: list[Choice] = []
    for start in range(0, len(reviews), BATCH):
        batch = reviews[start : start + BATCH]
        found = finder.scores(batch)
        stacked = np.stack([filled(found[name]) for name in names], axis=-1)
        best = np.concatenate([top_k(stacked[..., column], POOL) for column in range(len(names))], axis=1)
        for scores, pool, review in zip(stacked, best, batch, strict=True):
            right = gold[review.id]
            if right is None:
                continue
            members = np.union1d(pool, [rows[right]])
            choices.append((scores[members].astype(np.float64), int(np.searchsorted(members, rows[right]))))
        progress("fitting retrieval weights", min(start + BATCH, len(reviews)), len(reviews))
    return choices


def fit_fusion(rows: Sequence[Link], gold: Gold) -> FusionConfig:
    """Weights of the text and the image score next to the retrieval score, on a grid.

    Paper, section 4.4: lambda is tuned on dev. The chosen weights have the highest lower bound of their gain
    over retrieval alone: reviews fixed less reviews broken, less one standard error of that difference (the
    root of their sum), so that weights that only shuffle reviews are not chosen. Of equal ones, those under
    which the right candidates are likeliest win.
    """
    return best_fusion(ScoreTable.of(rows, gold))


def best_fusion(table: ScoreTable) -> FusionConfig:
    """As ``fit_fusion``, of scores that are a table already."""
    asked = table.right != PAD
    if not asked.any():
        return FusionConfig(retrieval=1.0, text=0.0, image=0.0)
    retrieval, text, image = table.retrieval[asked], table.text[asked], table.image[asked]
    right = table.right[asked]
    unit = _spread(retrieval) or 1.0
    scale = [unit / (_spread(part) or math.inf) for part in (text, image)]
    text, image = filled(text), filled(image)
    before, _ = _answers(retrieval, right)
    best: tuple[tuple[float, float], FusionConfig] | None = None
    for of_text, of_image in product(GRID, GRID):
        weights = (of_text * scale[0], of_image * scale[1])
        after, log_share = _answers(retrieval + weights[0] * text + weights[1] * image, right)
        gain = int(after.sum()) - int(before.sum())
        key = (gain - math.sqrt(int((after != before).sum())), log_share)
        if best is None or key > best[0]:
            chosen = FusionConfig(retrieval=1.0, text=round(weights[0], 4), image=round(weights[1], 4))
            best = (key, chosen)
    if best is None:
        raise RuntimeError("the grid of fusion weights is empty")
    return best[1]


def calibrate(
    rows: Sequence[Link], gold: Gold, fusion: FusionConfig, precision: float | None
) -> FusionConfig:
    """The logistic models behind confidence and KB probability, and the thresholds on them.

    The KB model and its threshold need reviews whose product is outside the KB; without any, no answer is
    ever nil.
    """
    asked = [row for row in rows if row.candidates and row.error is None]
    if not asked:
        return fusion
    seen = [features(_compared_scores(row), row.none_score) for row in asked]
    names = list(seen[0])
    table = np.array([[one[name] for name in names] for one in seen])
    hit = np.array([row.candidates[0].entity_id == gold[row.review_id] for row in asked])
    inside = np.array([gold[row.review_id] is not None for row in asked])
    models = {"link": fit_logistic(table, hit, names)}
    if not inside.all():
        models["nil"] = fit_logistic(table, inside, names)
    fusion = fusion.model_copy(update={"calibration": models, "nil_threshold": 0.0, "abstain_threshold": 0.0})
    decided = [
        decide(_compared_scores(row), row.candidates[0].entity_id, row.none_score, fusion) for row in asked
    ]
    probabilities = np.array([one.kb_probability for one in decided])
    nil = _nil_threshold(probabilities, hit, int(inside.sum())) if not inside.all() else 0.0
    linked = probabilities >= nil
    confidences = np.array([one.confidence for one in decided])[linked]
    abstain = _precision_threshold(confidences, hit[linked], precision) if precision is not None else 0.0
    return fusion.model_copy(update={"nil_threshold": nil, "abstain_threshold": abstain})


def read(
    flow: Flow, reviews: Sequence[Review], progress: Progress
) -> tuple[list[list[Candidate]], list[dict[str, Extraction]]]:
    """The candidates of each review, and what each extractor finds in it."""
    found: list[list[Candidate]] = []
    extractions: list[dict[str, Extraction]] = []
    for start in range(0, len(reviews), BATCH):
        batch = reviews[start : start + BATCH]
        candidates = flow.retrieve(batch)
        found += candidates
        extractions += flow.extract(batch, candidates)
        progress("retrieving and extracting", len(found), len(reviews))
    return found, extractions


def _right(rows: Sequence[Link], gold: Gold) -> int:
    """Reviews whose best candidate is the gold product, whatever their state."""
    return sum(bool(row.candidates) and row.candidates[0].entity_id == gold[row.review_id] for row in rows)


def _spread(matrix: Array) -> float:
    """Standard deviation of the scores that are there, 0 without any."""
    known = matrix[~np.isnan(matrix)]
    return float(known.std()) if len(known) else 0.0


def _answers(scores: Array, right: npt.NDArray[np.int_]) -> tuple[npt.NDArray[np.bool_], float]:
    """Rows whose right column is highest, ties counting against it, and the mean log share of that column."""
    rows = np.arange(len(scores))
    chosen = scores[rows, right]
    others = np.where(np.isnan(scores), -np.inf, scores)
    log_share = chosen - np.logaddexp.reduce(others, axis=1)
    others[rows, right] = -np.inf
    return chosen > others.max(axis=1), float(log_share.mean())


def _compared_scores(row: Link) -> list[float]:
    return [candidate.score for candidate in row.candidates[: row.compared]]


def _nil_threshold(probabilities: Array, hit: npt.NDArray[np.bool_], in_kb: int) -> float:
    """The KB probability, at most even, below which nil gives the highest end-to-end F1; lowest of equals.

    A higher one may suit dev better, by withholding links that are doubtful for other reasons, and does not
    last: nil says that the product is not there.
    """
    best, best_f1 = 0.0, -1.0
    for threshold in (0.0, *np.unique(probabilities[probabilities < _EVEN]), _EVEN):
        linked = probabilities >= threshold
        f1 = 2 * float((hit & linked).sum()) / max(float(linked.sum()) + in_kb, 1.0)
        if f1 > best_f1:
            best, best_f1 = float(threshold), f1
    return best


def _precision_threshold(confidences: Array, hit: npt.NDArray[np.bool_], precision: float) -> float:
    """The lowest confidence from which up ``precision`` of the links are right; 1 if there is none."""
    for threshold in np.unique(confidences):
        if hit[confidences >= threshold].mean() >= precision:
            return float(threshold)
    return 1.0


def _with(config: RunConfig, section: str, **values: object) -> RunConfig:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})
