"""The leak audit of a run: what its reviews give away, and where its scores could come from gold or chance.

Everything here is counted, nothing is left out of a score for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ameli_llm.ids import EntityId, id_key
from eval.leaks import TITLE_KEYS, ReviewTrace, Traces
from eval.measures.judged import Judged
from eval.measures.showing import Shown
from eval.official.leaks import Official

PLACE = 82


@dataclass(frozen=True)
class RunLeaks:
    """Reviews with gold by what is wrong with them; None where the run folder does not tell.

    ``gold_in_other_splits`` is by split: what is trained or tuned there has seen the product.
    ``title_keys`` have an attribute value that is a title or a part of it. ``short_lists`` had fewer than K
    candidates from retrieval. ``chance_links`` answer one of several
    candidates with the same best score, ``chance_links_with_gold`` of them where gold is one of these.
    """

    gold_in_other_splits: Mapping[str, int] | None
    quotes_title: int | None
    foreign_keys: int | None
    title_keys: int
    short_lists: int
    gold_inserted: int
    chance_links: int
    chance_links_with_gold: int


def measure(
    judged: Sequence[Judged], k: int, traces: Traces | None, official: Official | None
) -> dict[str, Any]:
    """``leaks`` of the reviews with gold."""
    return {"leaks": run_leaks(judged, k, traces, official)}


def show(leaks: Mapping[str, Any]) -> Shown:
    """A line, where there is a leak."""
    found = "; ".join(lines(leaks))
    return Shown(lines=(f"leaks: {found}",) if found else ())


def run_leaks(
    judged: Sequence[Judged], k: int, traces: Traces | None = None, official: Official | None = None
) -> RunLeaks:
    """The audit of the reviews with gold; ``official`` are the leaks that the run was made with, ``traces``
    what linking saw (``eval.leaks``).
    """
    inserted = [official is not None and _inserted(one) for one in judged]
    tied = [_tied(one) for one in judged]
    known = [traces.reviews.get(id_key(one.review_id), ReviewTrace()) for one in judged] if traces else None
    homes = Counter(name for trace in known or () for name in trace.gold_in)
    return RunLeaks(
        gold_in_other_splits={name: homes[name] for name in traces.splits if name not in traces.unread}
        if traces
        else None,
        quotes_title=None if known is None else sum(trace.quotes_title for trace in known),
        foreign_keys=None if known is None else sum(bool(trace.foreign_keys) for trace in known),
        title_keys=sum(any(v.key in TITLE_KEYS for v in one.row.attributes) for one in judged),
        short_lists=sum(len(one.row.candidates) - i < k for one, i in zip(judged, inserted, strict=True)),
        gold_inserted=sum(inserted),
        chance_links=sum(len(ids) > 1 for ids in tied),
        chance_links_with_gold=sum(
            len(ids) > 1 and one.gold.gold in ids for one, ids in zip(judged, tied, strict=True)
        ),
    )


def lines(leaks: Mapping[str, Any]) -> Iterator[str]:
    """A phrase for each count of ``metrics.json``'s ``leaks`` that is not 0."""
    for name, count in (leaks["gold_in_other_splits"] or {}).items():
        if count:
            yield f"{count} reviews whose product is gold in {name} too"
    says = {
        "quotes_title": "reviews quote the title of their product",
        "foreign_keys": "reviews have attribute keys that no candidate has",
        "title_keys": "reviews have a title as an attribute",
        "short_lists": "reviews have fewer than K candidates",
        "gold_inserted": "gold products were inserted",
        "chance_links": "links were decided by chance among equal scores",
    }
    for name, phrase in says.items():
        if leaks[name]:
            yield f"{leaks[name]} {phrase}"


def _inserted(one: Judged) -> bool:
    """Whether the gold product is a candidate that no retriever scored."""
    return any(c.entity_id == one.gold.gold and not c.scores for c in one.row.candidates)


def _tied(one: Judged) -> list[EntityId]:
    """The candidates that share the best score; none for a review that was not linked."""
    if not one.linked or not one.row.candidates:
        return []
    best = one.row.candidates[0].score
    return [candidate.entity_id for candidate in one.row.candidates if candidate.score == best]
