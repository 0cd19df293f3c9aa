"""The weighted sum of retrieval, text and image scores, and what is answered on the strength of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from ameli_llm.config import FusionConfig
from ameli_llm.fusion.calibrate import apply_logistic
from ameli_llm.fusion.missing import filled_row
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.ties import ranked
from ameli_llm.types import State


@dataclass(frozen=True, slots=True)
class Parts:
    """The scores of one candidate; None where a stage gave none (no comparison, no image)."""

    entity_id: EntityId
    retrieval: float
    text: float | None = None
    image: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is answered: ``confidence`` and ``kb_probability`` are probabilities, 0 to 1."""

    state: State
    entity_id: EntityId | None
    confidence: float
    kb_probability: float


def fuse(review_id: ReviewId, parts: Sequence[Parts], weights: FusionConfig) -> list[tuple[float, Parts]]:
    """Candidates of a review with their fused score, best first, equal scores by ``ties.chance``.

    s = retrieval * s_r + text * s_t + image * s_v: with retrieval = 0 it is the paper's
    lambda * s_t + (1 - lambda) * s_v (section 4.4). A missing score counts as the mean of the others'
    scores of that kind, so that it neither promotes nor demotes its candidate.
    """
    text = filled_row([part.text for part in parts])
    image = filled_row([part.image for part in parts])
    scores = [
        weights.retrieval * part.retrieval + weights.text * t + weights.image * v
        for part, t, v in zip(parts, text, image, strict=True)
    ]
    order = ranked(review_id, [part.entity_id for part in parts], scores)
    return [(scores[position], parts[position]) for position in order]


def demote(ranking: Sequence[tuple[float, Parts]], wrong: Set[EntityId]) -> list[tuple[float, Parts]]:
    """The ranking with the ``wrong`` candidates below all others, unless all are wrong.

    They keep their order among themselves; their scores fall by the ranking's whole range plus one.
    """
    if not ranking or all(part.entity_id in wrong for _, part in ranking):
        return list(ranking)
    fall = ranking[0][0] - ranking[-1][0] + 1.0
    moved = [(score - fall if part.entity_id in wrong else score, part) for score, part in ranking]
    return sorted(moved, key=lambda pair: -pair[0])


def features(scores: Sequence[float], none_score: float | None) -> dict[str, float]:
    """What the calibration sees of a ranking of fused ``scores``, best first; at least one score.

    ``share`` is the softmax share of the first, ``margin`` its lead over the second, ``top`` its score,
    ``none`` the share of "none of these" against the candidates, 0 when it was not asked for.
    """
    first = scores[0]
    weights = [math.exp(max(score - first, -700.0)) for score in scores]
    return {
        "share": 1.0 / sum(weights),
        "margin": first - scores[1] if len(scores) > 1 else 0.0,
        "top": first,
        "none": 0.0 if none_score is None else math.exp(min(none_score, 0.0)),
    }


def decide(
    scores: Sequence[float], entity_id: EntityId, none_score: float | None, config: FusionConfig
) -> Decision:
    """The state for a ranking of fused ``scores``, best first, whose answer would be ``entity_id``.

    Without calibration the confidence is the softmax share of the first candidate and the probability of
    being in the KB is what "none of these" leaves over. Nil goes before abstention.
    """
    seen = features(scores, none_score)
    confidence = _probability(config.calibration.get("link"), seen, seen["share"])
    kb_probability = _probability(config.calibration.get("nil"), seen, 1.0 - seen["none"])
    if kb_probability < config.nil_threshold:
        return Decision(State.NIL, None, confidence, kb_probability)
    if confidence < config.abstain_threshold:
        return Decision(State.ABSTAINED, None, confidence, kb_probability)
    return Decision(State.LINKED, entity_id, confidence, kb_probability)


def _probability(
    coefficients: Mapping[str, float] | None, seen: Mapping[str, float], otherwise: float
) -> float:
    return apply_logistic(coefficients, seen) if coefficients else otherwise
