"""A review of a dataset or a run with candidates, for looking at prompts without index and without model."""

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
from ameli_llm.ids import EntityId, id_key
from ameli_llm.prompting.example import vocabulary_of
from ameli_llm.runs import RunFolder
from ameli_llm.ties import chance, ranked
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


def task_of_run(dataset: Dataset, run: RunFolder, review: str | None) -> ComparisonTask:
    """What the run compared a review by (None: its first): its candidates in their order, and its values.

    ``dataset`` is the one that was linked. Raises AmeliError when it is another one or has changed, when the
    run has no such review, and when it found no candidates for it.
    """
    spec = run.require().manifest().get("spec") or {}
    of = spec.get("dataset") or {}
    split = dataset.split(str(of.get("split")))
    if (of.get("products"), of.get("reviews")) != (dataset.digest, split.digest):
        raise AmeliError(
            f"{run.path} is of another state of the dataset than {dataset.root}, or of another one.",
            hint="Name the dataset that was linked, as it was.",
        )
    rows = (row for row in run.predictions() if review in (None, str(row.review_id), id_key(row.review_id)))
    row = next(rows, None)
    if row is None:
        raise AmeliError(f"{run.path} has no review{'' if review is None else f' {review!r}'}.")
    compared = [candidate for candidate in row.candidates if candidate.text_score is not None]
    compared = compared or list(row.candidates[: row.compared])
    if not compared:
        raise AmeliError(f"{run.path} compared review {row.review_id!r} with no product.")
    order = ranked(row.review_id, [c.entity_id for c in compared], [c.retrieval_score for c in compared])
    products = tuple(dataset.products[compared[at].entity_id] for at in order)
    chosen = next(one for one in split.reviews if one.id == row.review_id)
    values = tuple(one.load() for one in row.attributes)
    return ComparisonTask(chosen, products, tuple(map(attribute_dictionary, products)), values)


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
