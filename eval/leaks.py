"""The leak audit of a run: what its reviews give away, and where its scores could come from gold or chance.

Linking writes what only it can see into ``leaks.json`` (``traces``); evaluation counts that and what the
predictions show (``run_leaks``). Everything here is counted, nothing is left out of a score for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ameli_llm.dataset.leaks import quotes
from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error
from ameli_llm.ids import EntityId, ReviewId, id_key, id_order
from ameli_llm.runs import PredictionRow, RunFolder
from ameli_llm.types import Attributes, Review
from eval.measures.judged import Judged
from eval.official.leaks import Official

FILE = "leaks.json"
"""Of a run folder; absent from runs that were not linked by ``link``."""

TITLE_KEYS = frozenset({"Product Title", "Product Name"})
"""Attribute keys whose value is a title, or the part of it that names the product."""


class ReviewTrace(BaseModel):
    """What linking saw of one review."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gold_in: tuple[str, ...] = ()
    """Other splits in which the review's gold product is gold too."""
    quotes_title: bool = False
    """The review has the title of its gold product, word for word."""
    foreign_keys: tuple[str, ...] = ()
    """Attribute keys that were found in the review although no compared candidate has them."""


class Traces(BaseModel):
    """The content of ``leaks.json``: by ``ids.id_key``, those reviews of which there is something to say.

    ``splits`` are the dataset's other splits; those in ``unread`` could not be read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    splits: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    reviews: dict[str, ReviewTrace] = {}


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
    chance_links_with_gold: EntityId


def traces(
    reviews: Sequence[Review],
    rows: Sequence[PredictionRow],
    titles: Mapping[ReviewId, str],
    attributes: Mapping[EntityId, Attributes],
    gold: Mapping[ReviewId, EntityId | None],
    other_gold: Mapping[str, frozenset[EntityId] | None],
) -> Traces:
    """What ``leaks.json`` holds, for ``reviews`` in any order.

    ``titles`` are the gold products' by review, ``attributes`` all products', and ``other_gold`` the gold
    products of the dataset's other splits, None where a split cannot be read.
    """
    by_review = {row.review_id: row for row in rows}
    seen: dict[str, ReviewTrace] = {}
    for review in sorted(reviews, key=lambda one: id_order(one.id)):
        row, right = by_review.get(review.id), gold.get(review.id)
        trace = ReviewTrace(
            gold_in=tuple(name for name, products in other_gold.items() if right in (products or ())),
            quotes_title=quotes(review.text, titles.get(review.id, "")),
            foreign_keys=_foreign_keys(row, attributes) if row else (),
        )
        if trace != ReviewTrace():
            seen[id_key(review.id)] = trace
    unread = tuple(name for name, products in other_gold.items() if products is None)
    return Traces(splits=tuple(other_gold), unread=unread, reviews=seen)


def read_traces(run: RunFolder) -> Traces | None:
    """The run's ``leaks.json``; None when it has none. Raises AmeliError when it is broken."""
    path = run.path / FILE
    if not path.is_file():
        return None
    try:
        return Traces.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from error
    except ValidationError as error:
        raise AmeliError(
            f"{path}: {first_error(error)}.", hint="Type the run's link command again."
        ) from error


def run_leaks(
    judged: Sequence[Judged], k: int, traces: Traces | None = None, official: Official | None = None
) -> RunLeaks:
    """The audit of the reviews with gold; ``official`` are the leaks that the run was made with."""
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


def _foreign_keys(row: PredictionRow, attributes: Mapping[EntityId, Attributes]) -> tuple[str, ...]:
    held = {key for one in row.candidates[: row.compared] for key in attributes[one.entity_id]}
    return tuple(sorted({value.key for value in row.attributes} - held))


def _inserted(one: Judged) -> bool:
    """Whether the gold product is a candidate that no retriever scored."""
    return any(c.entity_id == one.gold.gold and not c.scores for c in one.row.candidates)


def _tied(one: Judged) -> list[EntityId]:
    """The candidates that share the best score; none for a review that was not linked."""
    if not one.linked or not one.row.candidates:
        return []
    best = one.row.candidates[0].score
    return [candidate.entity_id for candidate in one.row.candidates if candidate.score == best]
