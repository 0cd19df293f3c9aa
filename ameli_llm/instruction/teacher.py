"""A finished run of a larger model as a teacher: what it extracted and chose, among the candidates it had."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from ameli_llm.instruction.told import Fact, Told
from ameli_llm.runs import PredictionRow, RunFolder
from ameli_llm.types import State

LLM = "llm"
"""The extractor whose values are learned."""

_ANSWERED = (State.LINKED, State.NIL)


class Teacher:
    """The reviews that a run answered, with the values that its model found and the product that it chose.

    Gold is not read. Raises AmeliError when the run is not of ``dataset`` or answered nothing with a model.
    """

    def __init__(self, run: Path, dataset: Dataset, seed: int) -> None:
        folder = RunFolder(run).require()
        made_on = folder.manifest().get("spec", {}).get("dataset", {})
        if made_on.get("products") != dataset.digest:
            raise AmeliError(
                f"{run} is no run on the products of {dataset.root}.",
                hint="Give the dataset that it was made on, as it was then.",
            )
        self._reviews = {review.id: review for review in dataset.split(made_on["split"]).reviews}
        self._rows = [row for row in folder.predictions() if row.state in _ANSWERED and row.tokens.prompt]
        self._rows = [row for row in self._rows if row.review_id in self._reviews and row.compared]
        if not self._rows:
            raise AmeliError(f"{run} has no review that a model answered.")
        self._dataset, self._seed = dataset, seed
        digest = hashlib.sha256("".join(row.model_dump_json() for row in self._rows).encode()).hexdigest()
        self.identity = f"run {digest[:12]} {seed}"

    def told(self, row: int) -> tuple[Told, ...]:
        """A review with its candidates in an order that tells nothing."""
        rng = np.random.default_rng((self._seed, 4, row))
        found = self._rows[int(rng.integers(len(self._rows)))]
        shown = found.candidates[: found.compared]
        ids = [shown[int(at)].entity_id for at in rng.permutation(len(shown))]
        products = tuple(self._dataset.products[one] for one in ids)
        told = Told(
            self._reviews[found.review_id],
            facts_of(found),
            products,
            tuple(attribute_dictionary(product) for product in products),
            chosen=ids.index(found.entity_id) if found.entity_id in ids else None,
            answered=True,
        )
        return (told,)


def facts_of(row: PredictionRow) -> tuple[Fact, ...]:
    """What the model read in the review, by its own quotations."""
    return tuple(
        Fact(value.key, value.value, value.evidence.text, value.negated)
        for value in row.attributes
        if value.source == LLM
    )
