"""Told reviews to exercises: prompts as the linker renders them, each with its right answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ameli_llm.attributes import llm
from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.comparison import entail, likelihood, listwise, pairwise
from ameli_llm.engines.engine import ChatRequest
from ameli_llm.errors import AmeliError
from ameli_llm.instruction import answers
from ameli_llm.instruction.told import Fact, Told
from ameli_llm.prompting.example import vocabulary_of
from ameli_llm.prompting.preview import Recorder
from ameli_llm.templates.front import LIKELIHOOD
from ameli_llm.templates.load import Template, load_template

_WITHOUT_STATED = 0.5
"""Share of comparisons whose prompt shows nothing of what extraction found."""

_STATED = 0.8
"""Chance of a fact to be among what extraction found, in the other comparisons."""


@dataclass(frozen=True, slots=True)
class Example:
    """A request as the linker sends it, with the reply that is right."""

    request: ChatRequest
    answer: str


@dataclass(frozen=True, slots=True)
class Exercise:
    """Examples of one template about one review, or reviews of the same candidates: prompts begin alike."""

    template: str
    examples: tuple[Example, ...]


class Exercises:
    """Makes exercises of one template; ``most`` of one review at most. Raises AmeliError.

    Its answers have to follow from facts, or be the review itself: a template for completions has free text
    as its answer.
    """

    def __init__(self, name: str, folder: Path | None = None, most: int = 8) -> None:
        self.template: Template = load_template(name, folder)
        makers: dict[str, Callable[[Sequence[Told], np.random.Generator], Iterator[Example]]] = {
            "json": self._extraction,
            "entail": self._entailment,
            "listwise": self._list,
            "pairwise": self._pairs,
            LIKELIHOOD: self._writing,
        }
        method = self.template.front.method
        if method not in makers:
            raise AmeliError(
                f"The answers to template {name!r} cannot be derived from facts: its method is {method}.",
                hint=f"Train for templates of the methods {', '.join(makers)}.",
            )
        self._make, self._folder, self._most = makers[method], folder, most
        self._recorder = Recorder()

    @property
    def writes(self) -> bool:
        """Whether the answers are reviews that somebody wrote."""
        return self.template.front.method == LIKELIHOOD

    def of(self, told: Sequence[Told], rng: np.random.Generator) -> Exercise | None:
        """The exercise of reviews of the same candidates; None when their facts decide no answer.

        Extraction and likelihood take them all; another comparison, whose prompt begins with the review, the
        first. Of a review of which nobody has said what it states only its own words can be learned, and of
        one that nobody wrote not even these.
        """
        told = [one for one in told if (not one.invented if self.writes else one.read)]
        examples = tuple(self._make(told, rng)) if told else ()
        return Exercise(self.template.name, examples) if examples else None

    def _extraction(self, told: Sequence[Told], rng: np.random.Generator) -> Iterator[Example]:
        extractor = llm.create(self._recorder, self.template.name, self._folder)
        for one in told:
            extractor.extract([ExtractionTask(one.review, vocabulary_of(one.task()))])
            for request in self._recorder.taken():
                yield Example(request, answers.extraction(one, request))

    def _writing(self, told: Sequence[Told], rng: np.random.Generator) -> Iterator[Example]:
        """What the review says, to be written after the page of its product."""
        comparator = likelihood.create(self._recorder, self.template.name, self._folder)
        for one in told:
            asks = comparator.asks(one.task())
            if one.product is not None and asks:
                *page, review = asks[one.product].request.messages
                request = replace(asks[one.product].request, messages=tuple(page), scored=False)
                yield Example(request, review.content)

    def _entailment(self, all_told: Sequence[Told], rng: np.random.Generator) -> Iterator[Example]:
        told = all_told[0]
        comparator = entail.create(self._recorder, self.template.name, prompts=self._folder)
        asks = comparator.asks(told.task(_stated(told, rng)))
        found = [(ask.request, answers.entailment(told, ask)) for ask in asks]
        yield from _balanced(_decided(found), self._most, rng)

    def _list(self, all_told: Sequence[Told], rng: np.random.Generator) -> Iterator[Example]:
        told = all_told[0]
        seed = int(rng.integers(2**31))
        comparator = listwise.create(self._recorder, self.template.name, 1, seed, self._folder)
        asks = comparator.asks(told.task(_stated(told, rng)))
        yield from _decided([(ask.request, answers.choice(told, ask.meaning)) for ask in asks])

    def _pairs(self, all_told: Sequence[Told], rng: np.random.Generator) -> Iterator[Example]:
        told = all_told[0]
        seed = int(rng.integers(2**31))
        comparator = pairwise.create(self._recorder, self.template.name, 1, seed, self._folder)
        asks = comparator.asks(told.task(_stated(told, rng)))
        found = [(ask.request, answers.choice(told, ask.meaning)) for ask in asks]
        yield from _balanced(_decided(found), self._most, rng)


def _stated(told: Told, rng: np.random.Generator) -> tuple[Fact, ...]:
    """What extraction may have found: nothing in half of the prompts, else most of the facts."""
    if rng.random() < _WITHOUT_STATED:
        return ()
    return tuple(fact for fact in told.facts if rng.random() < _STATED)


def _decided(found: Sequence[tuple[ChatRequest, str | None]]) -> list[Example]:
    """The requests whose answer the facts decide."""
    return [Example(request, answer) for request, answer in found if answer is not None]


def _balanced(examples: Sequence[Example], most: int, rng: np.random.Generator) -> list[Example]:
    """At most ``most`` examples, of each answer as near to the same number as there are, in random order."""
    by_answer: dict[str, list[Example]] = {}
    for at in rng.permutation(len(examples)):
        example = examples[int(at)]
        by_answer.setdefault(example.answer, []).append(example)
    chosen: list[Example] = []
    while len(chosen) < most and any(by_answer.values()):
        chosen += [group.pop() for group in by_answer.values() if group]
    order = rng.permutation(min(len(chosen), most))
    return [chosen[int(at)] for at in order]
