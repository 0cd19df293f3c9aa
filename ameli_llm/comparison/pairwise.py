"""Each candidate against the best one by retrieval, two at a time (pairwise ranking prompting)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ameli_llm.comparison._model import (
    Answer,
    ask_and_read,
    average,
    described,
    ordered_keys,
    read_choice,
    shared_values,
)
from ameli_llm.comparison.comparator import Comparison, ComparisonTask
from ameli_llm.engines.engine import ChatRequest, Engine
from ameli_llm.ids import id_number
from ameli_llm.templates.budget import largest_fitting
from ameli_llm.templates.front import Limits
from ameli_llm.templates.load import Template, load_template, require_method
from ameli_llm.templates.render import prompt_estimate, request


def create(
    engine: Engine,
    template: str = "",
    orders: int = 1,
    seed: int = 0,
    prompts: Path | None = None,
) -> PairwiseComparator:
    """The comparator; ``template`` "" is compare/pairwise, ``prompts`` a folder of further templates."""
    loaded = require_method(load_template(template or "compare/pairwise", prompts), "pairwise")
    return PairwiseComparator(engine, loaded, orders, seed)


@dataclass(frozen=True)
class PairwiseAsk:
    """The candidate at position ``rival`` beside the one at position 0."""

    order: int
    rival: int
    rival_first: bool
    request: ChatRequest

    @property
    def meaning(self) -> dict[str, int | None]:
        """The position of the candidate that each choice stands for."""
        pair = (self.rival, 0) if self.rival_first else (0, self.rival)
        return dict(zip(self.request.choices, pair, strict=True))


@dataclass(frozen=True)
class PairwiseComparator:
    """Scores are log-odds of a candidate over the retrieval-best one, whose own score is 0.

    Which of the two stands first is drawn by seed, review and candidate, and alternates over ``orders``:
    with an even number each stands first as often as the other.
    """

    engine: Engine
    template: Template
    orders: int
    seed: int

    @property
    def name(self) -> str:
        """The file name of the module."""
        return "pairwise"

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        """One comparison per task; one request per order and candidate after the first."""
        limits = self.template.front.limits
        return ask_and_read(self.name, self.engine, tasks, limits, self.asks, read_choice, self._read)

    def asks(self, task: ComparisonTask, limits: Limits | None = None) -> list[PairwiseAsk]:
        """What is asked about one task: each candidate after the first, once for each order.

        ``limits`` None: those of the template.
        """
        limits = limits or self.template.front.limits
        asks = []
        for rival in range(1, len(task.candidates)):
            drawn_by = id_number(task.review.id), id_number(task.candidates[rival].id)
            generator = np.random.default_rng((self.seed % 2**32, *drawn_by))
            starts_first = bool(generator.integers(2))
            for order in range(self.orders):
                rival_first = starts_first == (order % 2 == 0)
                pair = (rival, 0) if rival_first else (0, rival)
                asks.append(PairwiseAsk(order, rival, rival_first, self._request(task, pair, limits)))
        return asks

    def _request(self, task: ComparisonTask, pair: tuple[int, int], limits: Limits) -> ChatRequest:
        keys = ordered_keys(task, pair, limits)
        choices = tuple(self.template.front.choices)
        shared = shared_values(task, limits)

        def values(count: int) -> dict[str, Any]:
            first, second = (
                described(task, at, label, keys[:count], limits)
                for at, label in zip(pair, choices, strict=True)
            )
            return {**shared, "keys": list(keys[:count]), "first": first, "second": second}

        count = largest_fitting(
            len(keys), lambda n: prompt_estimate(self.template, values(n)) <= limits.prompt
        )
        return request(self.template, values(count), choices=choices)

    def _read(self, task: ComparisonTask, answers: Sequence[Answer[PairwiseAsk]]) -> Comparison:
        rows = [[0.0] * len(task.candidates) for _ in range(self.orders)]
        for ask, choices in answers:
            first, second = ask.request.choices
            odds = choices[first] - choices[second]
            rows[ask.order][ask.rival] = odds if ask.rival_first else -odds
        scores, flips = average(rows, task.review.id, [product.id for product in task.candidates])
        return Comparison(scores, orders=self.orders, flips=flips)
