"""What linking saw of leaks, as a run's ``leaks.json``: the audit counts it (``eval.measures.leaks``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from ameli_llm.dataset.leaks import quotes
from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error
from ameli_llm.ids import EntityId, ReviewId, id_key, id_order
from ameli_llm.runs import PredictionRow, RunFolder
from ameli_llm.types import Attributes, Review

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


def _foreign_keys(row: PredictionRow, attributes: Mapping[EntityId, Attributes]) -> tuple[str, ...]:
    held = {key for one in row.candidates[: row.compared] for key in attributes[one.entity_id]}
    return tuple(sorted({value.key for value in row.attributes} - held))
