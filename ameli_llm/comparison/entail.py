"""Does the review entail "the {key} of {mention} is {value}"? One question for each differing statement."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ameli_llm.comparison._model import (
    Answer,
    ask_and_read,
    ordered_keys,
    read_choice,
    shared_values,
    value_text,
)
from ameli_llm.comparison.comparator import Comparison, ComparisonTask
from ameli_llm.comparison.differences import value_groups
from ameli_llm.engines.engine import ChatRequest, Engine
from ameli_llm.ids import id_order
from ameli_llm.templates.budget import cut_words
from ameli_llm.templates.front import Limits
from ameli_llm.templates.load import Template, load_template, require_method
from ameli_llm.templates.render import request


def create(
    engine: Engine,
    template: str = "",
    orders: int = 1,
    seed: int = 0,
    prompts: Path | None = None,
) -> EntailComparator:
    """The comparator; ``template`` "" is compare/entail, ``prompts`` a folder of further templates.

    Statements are asked one by one, so ``orders`` and ``seed`` change nothing.
    """
    loaded = require_method(load_template(template or "compare/entail", prompts), "entail")
    return EntailComparator(engine, loaded)


@dataclass(frozen=True)
class EntailAsk:
    """A statement: the values of a key that the candidates at the positions ``holders`` share."""

    holders: tuple[int, ...]
    key: str
    values: tuple[str, ...]
    request: ChatRequest


@dataclass(frozen=True)
class EntailComparator:
    """A candidate's score is the sum of log P(yes) - log P(no) over its differing statements.

    After the paper's section 4.4 (text branch), with an instruction model in the place of its NLI encoder. A
    statement that several candidates share is asked once; an attribute that a candidate lacks adds 0.
    """

    engine: Engine
    template: Template

    @property
    def name(self) -> str:
        """The file name of the module."""
        return "entail"

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        """One comparison per task; all scores are 0, without a request, when no attribute differs."""
        limits = self.template.front.limits
        return ask_and_read(self.name, self.engine, tasks, limits, self.asks, read_choice, self._read)

    def asks(self, task: ComparisonTask, limits: Limits | None = None) -> list[EntailAsk]:
        """What is asked about one task: each different statement of the candidates.

        ``limits`` None: those of the template.
        """
        own = self.template.front.limits
        limits = limits or own
        shared = shared_values(task, limits)
        asks = []
        for key in ordered_keys(task, range(len(task.candidates)), own):  # fewer make none of them shorter
            holders: dict[Hashable, list[int]] = {}
            for at, group in enumerate(value_groups(task.attributes, key)):
                if group is not None:
                    holders.setdefault(group, []).append(at)
            for group_holders in holders.values():
                spelt_by = min(group_holders, key=lambda at: id_order(task.candidates[at].id))
                attributes = task.attributes[spelt_by]
                value = value_text(attributes, key, limits)
                shown = {**shared, "key": cut_words(key, limits.name), "value": value}
                sent = request(self.template, shown, choices=tuple(self.template.front.choices))
                asks.append(EntailAsk(tuple(group_holders), key, attributes[key], sent))
        return asks

    def _read(self, task: ComparisonTask, answers: Sequence[Answer[EntailAsk]]) -> Comparison:
        odds: list[list[float]] = [[] for _ in task.candidates]
        for ask, choices in answers:
            yes, no = ask.request.choices[:2]
            for at in ask.holders:
                odds[at].append(choices[yes] - choices[no])
        return Comparison(tuple(math.fsum(terms) for terms in odds))
