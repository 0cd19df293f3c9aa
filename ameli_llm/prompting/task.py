"""A review of a dataset with candidates, for looking at prompts without an index and without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from rapidfuzz import fuzz, process, utils

from ameli_llm.attributes import rules
from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId
from ameli_llm.prompting.example import vocabulary_of
from ameli_llm.ties import chance
from ameli_llm.types import Product, Review

Named = TypeVar("Named", Product, Review)


def task_of(
    dataset: Dataset, split: str, review: str | None, candidates: Sequence[str], count: int
) -> ComparisonTask:
    """The review with that id (None: the split's first), compared with the products of these ids.

    Without ``candidates``, with the ``count`` products whose titles are closest to its words. What the review
    states is found by the rules extractor. Raises AmeliError on an id that is not there.
    """
    reviews = {one.id: one for one in dataset.split(split).reviews}
    where = f"in split {split!r} of {dataset.root}"
    if review is None and not reviews:
        raise AmeliError(f"No review {where}.")
    chosen = next(iter(reviews.values())) if review is None else _named(reviews, "review", review, where)
    if candidates:
        products = tuple(_named(dataset.products, "product", one, "in the dataset") for one in candidates)
    else:
        products = closest_titles(chosen, list(dataset.products.values()), count)
    attributes = tuple(attribute_dictionary(product) for product in products)
    task = ComparisonTask(chosen, products, attributes)
    found = rules.create().extract([ExtractionTask(chosen, vocabulary_of(task))])[0].values
    return ComparisonTask(chosen, products, attributes, found)


def _named(known: Mapping[EntityId, Named], kind: str, written: str, where: str) -> Named:
    """The product or review whose id is written so; no two of a dataset have ids of one text."""
    for id_, one in known.items():
        if str(id_) == written:
            return one
    raise AmeliError(f"No {kind} {written!r} {where}.", hint=f"It has {len(known)}; write ids as they are.")


def closest_titles(review: Review, products: list[Product], count: int) -> tuple[Product, ...]:
    """The products whose titles share most words with the review; ties by ``ties.chance``."""
    query = utils.default_process(f"{review.mention} {review.text}"[:2000])
    titles = [utils.default_process(product.name) for product in products]
    scores = {at: score for _, score, at in process.extract_iter(query, titles, scorer=fuzz.token_set_ratio)}
    best = sorted(range(len(products)), key=lambda at: (-scores.get(at, 0.0), chance(products[at].id)))
    return tuple(products[at] for at in best[:count])
