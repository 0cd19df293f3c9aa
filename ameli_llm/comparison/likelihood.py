"""How likely is the review after each candidate's page? One text scored for each candidate, none written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.comparison._model import ask_and_read, value_text
from ameli_llm.comparison.comparator import Comparison, ComparisonTask
from ameli_llm.engines.engine import ChatReply, ChatRequest, Engine
from ameli_llm.templates.budget import cut_text, cut_words, estimate_tokens, review_excerpt
from ameli_llm.templates.front import Limits
from ameli_llm.templates.load import Template, load_template, require_method
from ameli_llm.templates.render import request
from ameli_llm.types import Failure, State

LEAST_DESCRIBED = 8
"""Tokens that have to be left for a description: fewer would be no sentence."""


def create(engine: Engine, template: str = "", prompts: Path | None = None) -> LikelihoodComparator:
    """The comparator; ``template`` "" is compare/likelihood, ``prompts`` a folder of further templates."""
    loaded = require_method(load_template(template or "compare/likelihood", prompts), "likelihood")
    return LikelihoodComparator(engine, loaded)


@dataclass(frozen=True)
class LikelihoodAsk:
    """The review after the page of one candidate, as the template words both."""

    request: ChatRequest


@dataclass(frozen=True)
class LikelihoodComparator:
    """A candidate's score is log P(review | its page) in nats, less the mean over the candidates.

    The query likelihood of Ponte and Croft (1998) with an instruction model in the place of word counts, as
    in UPR (Sachan et al. 2022), which scores the question after a passage. A model needs no training for it,
    nothing can be cut off or outside its schema, and the order of the candidates does not enter. Their pages
    do: one that quotes the review makes it likely.
    """

    engine: Engine
    template: Template

    @property
    def name(self) -> str:
        """The file name of the module."""
        return "likelihood"

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        """One comparison per task; all scores are 0, without a request, where the review has no text."""
        limits = self.template.front.limits
        return ask_and_read(self.name, self.engine, tasks, limits, self.asks, _heard, _read)

    def asks(self, task: ComparisonTask, limits: Limits | None = None) -> list[LikelihoodAsk]:
        """What is asked about one task, in the order of its candidates; ``limits`` None: the template's."""
        limits = limits or self.template.front.limits
        review, _ = review_excerpt(task.review, limits.review)
        if not review or len(task.candidates) < 2:
            return []
        shared = {"review": review, "mention": cut_words(task.review.mention.strip(), limits.name)}
        pages = (_page(task, at, limits) for at in range(len(task.candidates)))
        return [LikelihoodAsk(request(self.template, shared | page)) for page in pages]


def _page(task: ComparisonTask, at: int, limits: Limits) -> dict[str, Any]:
    """Candidate ``at`` in half as many tokens as the review may have.

    Its name, attributes in the order of its page, and of its description what there is room for.
    """
    product, attributes = task.candidates[at], task.attributes[at]
    name = cut_words(product.name, limits.name)
    room = limits.review // 2 - estimate_tokens(name)
    shown = []
    for key in list(attributes)[: limits.keys]:
        line = {"key": cut_words(key, limits.name), "value": value_text(attributes, key, limits)}
        room -= estimate_tokens(f"{line['key']}: {line['value']}.")
        if room < 0:
            break
        shown.append(line)
    return {
        "name": name,
        "category": cut_words(product.leaf_category, limits.name),
        "attributes": shown,
        "description": cut_text(product.description, room)[0] if room > LEAST_DESCRIBED else "",
    }


def _heard(reply: ChatReply, request: ChatRequest) -> float | Failure:
    if reply.failure is not None:
        return reply.failure
    if reply.logprob is None or not math.isfinite(reply.logprob):
        return Failure(State.INVALID_OUTPUT, "Reply has no log-probability.")
    return reply.logprob


def _read(task: ComparisonTask, answers: Sequence[tuple[LikelihoodAsk, float]]) -> Comparison:
    found = [said for _, said in answers]
    mean = math.fsum(found) / len(found) if found else 0.0
    return Comparison(tuple(one - mean for one in found) or tuple(0.0 for _ in task.candidates))
