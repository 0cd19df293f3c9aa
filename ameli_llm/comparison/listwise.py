"""All candidates in one question: the model answers with the letter of one of them, or with none of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.comparison._model import (
    Answer,
    ask_and_read,
    average,
    described,
    ordered_keys,
    orders_of,
    read_choice,
    shared_values,
)
from ameli_llm.comparison.comparator import Comparison, ComparisonTask
from ameli_llm.engines.choices import LETTERS, labels
from ameli_llm.engines.engine import ChatRequest, Engine
from ameli_llm.templates.budget import largest_fitting
from ameli_llm.templates.front import LABELS, Limits
from ameli_llm.templates.load import Template, load_template, require_method
from ameli_llm.templates.render import prompt_estimate, request

MOST_CANDIDATES = len(LETTERS)
"""Each candidate needs a letter of its own."""


def create(
    engine: Engine,
    template: str = "",
    orders: int = 1,
    seed: int = 0,
    prompts: Path | None = None,
) -> ListwiseComparator:
    """The comparator; ``template`` "" is compare/listwise, ``prompts`` a folder of further templates."""
    loaded = require_method(load_template(template or "compare/listwise", prompts), "listwise")
    return ListwiseComparator(engine, loaded, orders, seed)


@dataclass(frozen=True)
class ListwiseAsk:
    """The candidates in one order. ``order`` holds their positions in the task, in the order shown."""

    order: list[int]
    request: ChatRequest
    none: str | None

    @property
    def meaning(self) -> dict[str, int | None]:
        """The position of the candidate that each choice stands for, None for "none of these"."""
        shown: dict[str, int | None] = dict(zip(labels(len(self.order)), self.order, strict=True))
        return shown if self.none is None else {**shown, self.none: None}


@dataclass(frozen=True)
class ListwiseComparator:
    """One request per review and candidate order; scores are mean log-probabilities of the letters."""

    engine: Engine
    template: Template
    orders: int
    seed: int

    @property
    def name(self) -> str:
        """The file name of the module."""
        return "listwise"

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        """One comparison per task. Raises AmeliError above 52 candidates."""
        limits = self.template.front.limits
        return ask_and_read(self.name, self.engine, tasks, limits, self.asks, read_choice, self._read)

    def asks(self, task: ComparisonTask, limits: Limits | None = None) -> list[ListwiseAsk]:
        """What is asked about one task: all candidates, once for each order.

        ``limits`` None: those of the template.
        """
        limits = limits or self.template.front.limits
        keys = ordered_keys(task, range(len(task.candidates)), limits)
        orders = orders_of(task, self.orders, self.seed)
        # The prompt is as long in every order, so that the first one decides how many keys fit.
        fitting = largest_fitting(
            len(keys),
            lambda n: (
                prompt_estimate(self.template, self._values(task, keys[:n], orders[0], limits))
                <= limits.prompt
            ),
        )
        return [
            ListwiseAsk(
                order,
                request(
                    self.template,
                    self._values(task, keys[:fitting], order, limits),
                    choices=self._choices(len(order)),
                ),
                self.template.front.none,
            )
            for order in orders
        ]

    def _choices(self, count: int) -> tuple[str, ...]:
        choices: list[str] = []
        for choice in self.template.front.choices:
            choices.extend(labels(count) if choice == LABELS else (choice,))
        return tuple(choices)

    def _values(
        self, task: ComparisonTask, keys: Sequence[str], order: Sequence[int], limits: Limits
    ) -> dict[str, Any]:
        candidates = [
            described(task, at, label, keys, limits)
            for label, at in zip(labels(len(order)), order, strict=True)
        ]
        values = {"keys": list(keys), "candidates": candidates, "none_label": self.template.front.none}
        return {**shared_values(task, limits), **values}

    def _read(self, task: ComparisonTask, answers: Sequence[Answer[ListwiseAsk]]) -> Comparison:
        rows: list[list[float]] = []
        none = self.template.front.none
        for ask, choices in answers:
            row = [0.0] * len(ask.order)
            for label, at in zip(labels(len(ask.order)), ask.order, strict=True):
                row[at] = choices[label]
            rows.append(row + ([choices[none]] if none is not None else []))
        scores, flips = average(rows, task.review.id, [product.id for product in task.candidates])
        count = len(task.candidates)
        none_score = scores[count] if none is not None else None
        return Comparison(scores[:count], none_score, orders=len(rows), flips=flips)
