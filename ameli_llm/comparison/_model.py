"""What the comparators that ask an instruction model share: they describe, ask, read and average alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from ameli_llm.attributes.asked import shares_word, words_of
from ameli_llm.comparison.comparator import Comparison, ComparisonTask
from ameli_llm.comparison.differences import differing
from ameli_llm.engines.choices import MASKED
from ameli_llm.engines.engine import ChatReply, ChatRequest, Engine, Exchange
from ameli_llm.ids import EntityId, ReviewId, id_number, id_order
from ameli_llm.templates.budget import cut_words, estimate_tokens, review_excerpt
from ameli_llm.templates.fitting import fitted
from ameli_llm.templates.front import Limits
from ameli_llm.ties import chance
from ameli_llm.types import Attributes, AttributeValue, Failure, State, Usage

MAX_STATED = 8


def shared_values(task: ComparisonTask, limits: Limits) -> dict[str, Any]:
    """The placeholders that every request about one review has in common: the prefix that caches."""
    review, _ = review_excerpt(task.review, limits.review)
    stated = [_stated(value, limits) for value in task.extracted[:MAX_STATED]]
    # A review cut to a few words must not have a long list in its wake.
    sizes = accumulate(estimate_tokens(f"{one['key']}: {one['value']};") for one in stated)
    return {
        "review": review,
        "mention": cut_words(task.review.mention.strip(), limits.name),
        "stated": [one for one, size in zip(stated, sizes, strict=True) if size <= limits.review],
    }


def _stated(found: AttributeValue, limits: Limits) -> dict[str, Any]:
    return {
        "key": found.key,
        "value": cut_words(found.value, limits.value),
        "quote": cut_words(found.evidence.text, limits.value),
        "negated": found.negated,
    }


def ordered_keys(task: ComparisonTask, among: Sequence[int], limits: Limits) -> tuple[str, ...]:
    """Keys in which the candidates ``among`` differ, at most ``limits.keys``.

    First those of which a value was extracted, then those with a value that shares a word with the review,
    then the rest; within each, those that tell most pairs apart.
    """
    attributes = [task.attributes[at] for at in among]
    extracted = {value.key for value in task.extracted}
    words = words_of(task.review.text)

    def use(key: str) -> int:
        if key in extracted:
            return 0
        values = (value for candidate in attributes for value in candidate.get(key, ()))
        return 1 if any(shares_word(value, words) for value in values) else 2

    return tuple(sorted(differing(attributes), key=use))[: limits.keys]


def described(
    task: ComparisonTask, at: int, label: str, keys: Sequence[str], limits: Limits
) -> dict[str, Any]:
    """Candidate ``at`` as a template sees it: its letter, short name, and a value per key ("" if absent)."""
    return {
        "label": label,
        "name": cut_words(task.candidates[at].name, limits.name),
        "values": [value_text(task.attributes[at], key, limits) for key in keys],
    }


def value_text(attributes: Attributes, key: str, limits: Limits) -> str:
    """The candidate's values of ``key`` as one short text, "" when it has none."""
    return cut_words(", ".join(attributes.get(key, ())), limits.value)


def orders_of(task: ComparisonTask, count: int, seed: int) -> list[list[int]]:
    """``count`` orders of the candidates' positions, the same whatever order the task lists them in.

    The candidates are shuffled from the order of their ids by ``seed`` and review id, then turned in equal
    steps, so that each one stands in as many different places as there are orders; a new shuffle starts
    when all turns are used up.
    """
    generator = np.random.default_rng((seed % 2**32, id_number(task.review.id)))
    by_id = sorted(range(len(task.candidates)), key=lambda at: id_order(task.candidates[at].id))
    size = max(len(by_id), 1)
    step = max(size // count, 1)
    orders: list[list[int]] = []
    while len(orders) < count:
        base = [by_id[int(at)] for at in generator.permutation(len(by_id))]
        turns = range(0, size, step)
        orders.extend(base[turn:] + base[:turn] for turn in turns)
    return orders[:count]


def read_choice(reply: ChatReply, request: ChatRequest) -> Mapping[str, float] | Failure:
    """A finite log-probability for each choice of the request, or why there is none."""
    choices = request.choices
    if reply.failure is not None:
        return reply.failure
    if reply.text.strip() not in choices:
        return Failure(State.INVALID_OUTPUT, f"Reply {reply.text[:40]!r} is none of {', '.join(choices)}.")
    logprobs = reply.choice_logprobs or {}
    missing = [choice for choice in choices if math.isnan(logprobs.get(choice, math.nan))]
    if missing:
        return Failure(State.INVALID_OUTPUT, f"Reply has no log-probability for {', '.join(missing)}.")
    return {choice: max(logprobs[choice], MASKED) for choice in choices}


class Ask(Protocol):
    """One request about a review, with whatever the comparator needs to read its answer."""

    @property
    def request(self) -> ChatRequest:
        """What is sent."""


Asked = TypeVar("Asked", bound=Ask)
Said = TypeVar("Said")
Answer: TypeAlias = tuple[Asked, Mapping[str, float]]
"""An ask, and the log-probability of each of its choices."""


def ask_and_read(
    name: str,
    engine: Engine,
    tasks: Sequence[ComparisonTask],
    limits: Limits,
    ask: Callable[[ComparisonTask, Limits], Sequence[Asked]],
    hear: Callable[[ChatReply, ChatRequest], Said | Failure],
    read: Callable[[ComparisonTask, Sequence[tuple[Asked, Said]]], Comparison],
) -> list[Comparison]:
    """A comparison per task: all requests of all tasks are sent at once, each task's answers read together.

    ``name`` is the comparator that asks; ``hear`` says what a reply says, or why it is of no use. A task
    without candidates is not asked about; one whose requests exceed the model's context is asked about by
    smaller ``limits``. One unusable reply makes the whole comparison of its review a failure; its tokens
    count all the same.
    """
    asks = fitted(
        engine,
        tasks,
        limits,
        lambda task, smaller: ask(task, smaller) if task.candidates else [],
        lambda group: [one.request for one in group],
    )
    replies = iter(engine.chat([one.request for group in asks for one in group]))
    return [
        _read(name, task, group, [next(replies) for _ in group], hear, read)
        for task, group in zip(tasks, asks, strict=True)
    ]


def _read(
    name: str,
    task: ComparisonTask,
    asks: Sequence[Asked],
    replies: Sequence[ChatReply],
    hear: Callable[[ChatReply, ChatRequest], Said | Failure],
    read: Callable[[ComparisonTask, Sequence[tuple[Asked, Said]]], Comparison],
) -> Comparison:
    usage = sum((reply.usage for reply in replies), Usage())
    sent = zip(asks, replies, strict=True)
    exchanges = tuple(Exchange(name, ask.request, reply) for ask, reply in sent)
    answers: list[tuple[Asked, Said]] = []
    for ask, reply in zip(asks, replies, strict=True):
        said = hear(reply, ask.request)
        if isinstance(said, Failure):
            return Comparison(usage=usage, failure=said, exchanges=exchanges)
        answers.append((ask, said))
    if not task.candidates:
        return Comparison()
    return replace(read(task, answers), usage=usage, exchanges=exchanges)


def average(
    orders: Sequence[Sequence[float]], review: ReviewId, ids: Sequence[EntityId]
) -> tuple[tuple[float, ...], int]:
    """Mean of each column, and in how many rows another column is highest than in the mean.

    Columns are the products ``ids``, then "none of these" if there is one more. Equal scores are answered by
    ``ties.chance``.
    """
    mean = tuple(math.fsum(column) / len(orders) for column in zip(*orders, strict=True))
    order = [*(chance(review, id_) for id_ in ids), chance(review)]

    def best(row: Sequence[float]) -> int:
        return min(range(len(row)), key=lambda at: (-row[at], order[at]))

    return mean, sum(1 for row in orders if best(row) != best(mean))
