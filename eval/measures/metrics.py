"""Scores of a run: a pure function of its predictions and the gold.

All shares carry a 95 % interval by bootstrap over gold products (``eval.measures.statistics``). Definitions:

- recall@k: of the reviews whose product is in the KB, those with it among the first k candidates by
  ``retrieval_score`` (ties: by chance). A review without candidates counts as a miss.
- end-to-end F1: all reviews with gold. Micro-F1 over links: precision is right links by links, recall is
  right links by reviews whose product is in the KB. It equals accuracy when every review is linked and every
  product is in the KB. A link for a review whose product is not in the KB costs precision; abstained, nil and
  failed reviews are misses.
- disambiguation F1: the same, over the reviews whose product is among the first K candidates (AMELI v1,
  section 6).
- accuracy: all reviews with gold; ``nil`` is right when the product is not in the KB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.runs import GoldRow, PredictionRow
from ameli_llm.types import State
from eval.measures.judged import Judged, in_order, judge, product_bootstrap
from eval.measures.statistics import SAMPLES, ClusteredBootstrap, Interval

CUTOFFS = (1, 10, 20, 50, 100)
"""The k of recall@k, as in AMELI v1, Table 4."""

Parts = tuple[list[int], list[int]]
"""Numerators and denominators of a score, an element per review."""


@dataclass(frozen=True)
class Protocol:
    """How the scores were counted.

    ``official`` counts as the official AMELI code does: the last incomplete batch (in order of review id) is
    dropped, the best candidate is the answer whatever the state, and F1 is accuracy over candidate positions.
    ``reproduced`` names the leaks of that code that the scores have (``eval.official.leaks``),
    ``not_reproduced`` the others with the reason; both are empty for the honest protocol, which has none.
    """

    name: str = "honest"
    batch_size: int | None = None
    reviews_dropped: int = 0
    reproduced: tuple[str, ...] = ()
    not_reproduced: tuple[str, ...] = ()

    @classmethod
    def shared(cls, protocols: Sequence[Protocol]) -> Protocol:
        """What several runs of one protocol have in common: leaks of training are those of single runs."""
        first, *others = protocols
        reproduced = [one for one in first.reproduced if all(one in p.reproduced for p in others)]
        missing = [one for one in first.not_reproduced if all(one in p.not_reproduced for p in others)]
        return replace(first, reproduced=tuple(reproduced), not_reproduced=tuple(missing))


@dataclass(frozen=True)
class Metrics:
    """The scores of a run. ``n`` counts predictions, and the five states add up to it.

    ``with_gold`` of them can be scored, ``in_kb`` have their product in the KB, ``products`` different ones.
    """

    n: int
    with_gold: EntityId
    in_kb: int
    products: int
    k: int
    recall: Mapping[str, Interval | None]
    disambiguation_f1: Interval
    end_to_end_f1: Interval
    precision: Interval
    accuracy: Interval
    states: Mapping[str, int]
    tokens: Mapping[str, int]
    flips: Mapping[str, float | int | None]
    extraction: Mapping[str, Any]
    protocol: Protocol
    seconds: Mapping[str, float]


def metrics(
    rows: Iterable[PredictionRow],
    gold: Mapping[ReviewId, GoldRow],
    k: int,
    *,
    depth: int = max(CUTOFFS),
    official_batch: int | None = None,
    reproduced: Sequence[str] = (),
    not_reproduced: Sequence[str] = (),
    samples: int = SAMPLES,
    seed: int = 0,
) -> Metrics:
    """The scores of ``rows``, in whatever order they come.

    ``k`` candidates were compared and ``depth`` kept: recall beyond ``depth`` is unknown and None.
    ``official_batch`` counts as the official code does with that batch size (``Protocol``), which is told
    what else was ``reproduced`` of it and what was not.
    Raises AmeliError on a review predicted twice.
    """
    ordered = in_order(rows)
    judged = judge(ordered, gold)
    protocol, score = Protocol(), f1
    if official_batch:
        dropped = len(judged) % official_batch
        judged = [_answered(one) for one in judged[: len(judged) - dropped]]
        protocol = Protocol("official", official_batch, dropped, tuple(reproduced), tuple(not_reproduced))
        score = _accuracy
    bootstrap = product_bootstrap(judged, samples, seed)
    known = [one.in_kb for one in judged]
    return Metrics(
        n=len(ordered),
        with_gold=len(judged),
        in_kb=sum(known),
        products=len({one.gold.gold for one in judged if one.in_kb}),
        k=k,
        recall={
            str(cut): bootstrap.ratio([one.within(cut) for one in judged], known) if cut <= depth else None
            for cut in CUTOFFS
        },
        disambiguation_f1=score(bootstrap, judged, [one.within(k) for one in judged]),
        end_to_end_f1=score(bootstrap, judged),
        precision=bootstrap.ratio([one.hit for one in judged], [one.linked for one in judged]),
        accuracy=bootstrap.ratio([one.right for one in judged]),
        states={state.value: sum(row.state is state for row in ordered) for state in State},
        tokens=_tokens(ordered),
        flips=_flips(ordered),
        extraction=_extraction(ordered),
        protocol=protocol,
        seconds=_seconds(ordered),
    )


def f1_parts(judged: Sequence[Judged], measured: Sequence[bool] | None = None) -> Parts:
    """Micro-F1 as a ratio of sums: 2 x right links over links plus reviews whose product is in the KB.

    ``measured`` picks the reviews that count; the others get 0 and 0.
    """
    chosen = [True] * len(judged) if measured is None else measured
    top = [2 * one.hit if use else 0 for one, use in zip(judged, chosen, strict=True)]
    bottom = [one.linked + one.in_kb if use else 0 for one, use in zip(judged, chosen, strict=True)]
    return top, bottom


def f1(
    bootstrap: ClusteredBootstrap, judged: Sequence[Judged], measured: Sequence[bool] | None = None
) -> Interval:
    """Micro-F1 of the ``measured`` reviews; ``n`` counts all of them."""
    score = bootstrap.ratio(*f1_parts(judged, measured))
    return replace(score, n=len(judged) if measured is None else sum(measured)) if score.n else score


def _accuracy(
    bootstrap: ClusteredBootstrap, judged: Sequence[Judged], measured: Sequence[bool] | None = None
) -> Interval:
    chosen = [True] * len(judged) if measured is None else measured
    return bootstrap.ratio([one.hit and use for one, use in zip(judged, chosen, strict=True)], chosen)


def _answered(one: Judged) -> Judged:
    """The review with its best candidate as the answer, whatever its state."""
    if not one.row.candidates:
        return one
    best = one.row.candidates[0].entity_id
    return Judged(one.row.model_copy(update={"state": State.LINKED, "entity_id": best}), one.gold)


def _tokens(rows: Sequence[PredictionRow]) -> dict[str, int]:
    return {
        "prompt": sum(row.tokens.prompt for row in rows),
        "completion": sum(row.tokens.completion for row in rows),
        "cached": sum(row.tokens.cached for row in rows),
    }


def _flips(rows: Sequence[PredictionRow]) -> dict[str, float | int | None]:
    """``rate``: share of candidate orders whose first choice is not the averaged one; None if one order."""
    permuted = [row for row in rows if row.orders > 1]
    orders = sum(row.orders for row in permuted)
    flips = sum(row.flips for row in permuted)
    reviews = sum(row.flips > 0 for row in permuted)
    return {"orders": orders, "flips": flips, "reviews": reviews, "rate": flips / orders if orders else None}


def _extraction(rows: Sequence[PredictionRow]) -> dict[str, Any]:
    sources = Counter(value.source for row in rows for value in row.attributes)
    dropped: Counter[str] = Counter()
    for row in rows:
        dropped.update(row.dropped)
    return {
        "values": sources.total(),
        "reviews_with_values": sum(bool(row.attributes) for row in rows),
        "by_source": dict(sorted(sources.items())),
        "dropped": dict(sorted(dropped.items())),
    }


def _seconds(rows: Sequence[PredictionRow]) -> dict[str, float]:
    """Seconds of all reviews by stage, and ``total``. The only part that differs between identical runs."""
    stages: Counter[str] = Counter()
    for row in rows:
        stages.update(row.stage_seconds)
    return {**dict(sorted(stages.items())), "total": sum(row.seconds for row in rows)}
