"""Comparator "names": how likely the review's words are if the candidate's name is that of its product.

Many knowledge bases say in a product's name what their specification lacks: "imation 4 gb usb pocket flash
drive". The names of the candidates are read for amounts, colours, counts of things ("7-outlet") and other
words, and weighed as "rules" weighs attributes (Fellegi & Sunter 1969): log m/u for what agrees with the
review, log (1-m)/(1-u) for what differs, u being how common it is among the candidates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from ameli_llm.attributes.matching.negation import Context
from ameli_llm.attributes.matching.vocabulary import stopwords
from ameli_llm.attributes.values.colours import find_colours
from ameli_llm.attributes.values.normalise import PARTIAL
from ameli_llm.attributes.values.quantities import find_quantities
from ameli_llm.attributes.values.tokens import tokens
from ameli_llm.comparison._evidence import agreeing, certain, differing
from ameli_llm.comparison.comparator import Comparator, Comparison, ComparisonTask
from ameli_llm.types import AttributeValue, Evidence, Review, Verdict, VerdictName

_AGREES: Mapping[str, float] = {"amount": 0.9, "colour": 0.9, "count": 0.95, "word": 0.8}
"""m: the chance that the right product's name agrees with a review that states something of this kind."""

_WORDS = 0.4
"""What a word counts: retrieval has weighed the words already."""

_RULES = "rules"
"""The extractor whose places are left to attributes."""

KEY = "name"
"""The key of verdicts on what names say."""

_BESIDE_A_WORD = re.compile(r"[ -]\w")

Field = Literal["header", "body", "mention"]
_FIELDS: tuple[Field, ...] = ("header", "body", "mention")


@dataclass(frozen=True, slots=True)
class Topic:
    """What names agree or differ in: an amount of one dimension, the colour, a count of one thing, a word."""

    kind: Literal["amount", "colour", "count", "word"]
    of: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """What a text says of a topic and where: ``value`` in normal form, ``base`` the base of a colour."""

    topic: Topic
    value: str
    start: int
    end: int
    base: str = ""


def create() -> Comparator:
    """The comparator; it needs no files and no model."""
    return NamesComparator()


class NamesComparator:
    """Sums evidence weights; deterministic, the same for every order of the candidates."""

    name = "names"

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        """Scores are sums of natural logarithms: 0 for a candidate whose name nothing speaks for or against.

        Places of the review from which the extractor "rules" read an attribute's value are left to that
        attribute, which is read in the same way; a model reads what these do not. What is denied or said of
        another product does not count. Words have no verdicts; they count in the header alone, and the less
        the fewer of its words any candidate's name has: only the header of a listing is a product's name.
        """
        return [_compared(task) for task in tasks]


def _compared(task: ComparisonTask) -> Comparison:
    names = [_named(product.name) for product in task.candidates]
    named = _coverage(task.review.header, names) ** 2
    scores = [0.0] * len(names)
    verdicts: list[list[Verdict]] = [[] for _ in names]
    for fact, evidence in _stated(task.review, task.extracted):
        levels = [_level(fact, name) for name in names]
        if not any(levels):
            continue
        kind = fact.topic.kind
        share = _WORDS * named if kind == "word" else 1.0
        for at, (level, weight) in enumerate(zip(levels, _weights(levels, _AGREES[kind]), strict=True)):
            scores[at] += share * weight
            if kind != "word":
                verdicts[at].append(Verdict(KEY, _verdict(level), evidence))
    return Comparison(scores=tuple(scores), verdicts=tuple(map(tuple, verdicts)))


def _verdict(level: float | None) -> VerdictName:
    return "unknown" if level is None else "agree" if level else "conflict"


def _weights(levels: Sequence[float | None], m: float) -> list[float]:
    """The evidence for each candidate when some name agrees."""
    known = [level for level in levels if level is not None]
    u = certain((sum(level > 0 for level in known) + 0.5) / (len(known) + 1))
    agrees, differs = agreeing(m, u), differing(m, u)
    return [0.0 if level is None else level * agrees if level else differs for level in levels]


def _level(fact: Fact, name: Mapping[Topic, frozenset[tuple[str, str]]]) -> float | None:
    """1 for agreement, PARTIAL for another shade of the colour, 0 for a difference, None for unknown."""
    known = name.get(fact.topic)
    if known is None:
        return 0.0 if fact.topic.kind == "word" else None
    if any(value == fact.value for value, _ in known):
        return 1.0
    return PARTIAL if fact.base and any(base == fact.base for _, base in known) else 0.0


def _stated(review: Review, extracted: Sequence[AttributeValue]) -> Iterator[tuple[Fact, Evidence]]:
    """What the review states of its product, each fact once, without places that rules read values from."""
    seen: set[tuple[Topic, str]] = set()
    for field in _FIELDS:
        text: str = getattr(review, field)
        places = [
            (value.evidence.start, value.evidence.end)
            for value in extracted
            if value.evidence.field == field and _RULES in (value.source, *value.also)
        ]
        context = Context(text)
        for fact in _facts(text, title=field == "header"):
            known = (fact.topic, fact.value)
            if known in seen or (fact.topic.kind == "word" and field != "header"):
                continue
            taken = any(start < fact.end and fact.start < end for start, end in places)
            if taken or (field != "mention" and context.standing(fact.start, fact.end) != "stated"):
                continue
            seen.add(known)
            yield fact, Evidence(field, fact.start, fact.end, text[fact.start : fact.end])


@lru_cache(maxsize=16_384)
def _named(name: str) -> Mapping[Topic, frozenset[tuple[str, str]]]:
    """What a product's name says of each topic: values, each with its base."""
    found: dict[Topic, set[tuple[str, str]]] = {}
    for fact in _facts(name):
        found.setdefault(fact.topic, set()).add((fact.value, fact.base))
    return {topic: frozenset(values) for topic, values in found.items()}


def _facts(text: str, title: bool = True) -> Iterator[Fact]:
    """Amounts, colours, counts of things, and all words that are none of these and no everyday ones.

    A word that is seldom a colour ("coffee") is one in a ``title`` alone, and there not before another word.
    """
    amounts = [
        Fact(Topic("amount", one.dimension), one.code, one.start, one.end)
        for one in find_quantities(text)
        if one.unit
    ]
    colours = [
        Fact(Topic("colour"), f"{one.base}/{one.shade}", one.start, one.end, one.base)
        for one in find_colours(text)
        if one.sure or (title and not _BESIDE_A_WORD.match(text, one.end))
    ]
    yield from amounts
    yield from colours
    read = {at for fact in (*amounts, *colours) for at in range(fact.start, fact.end)}
    words = [word for word in tokens(text) if word.start not in read]
    for word, thing in pairwise(words):
        if word.text[0].isdecimal() and thing.text.isalpha() and thing.text not in stopwords():
            yield Fact(Topic("count", thing.text), word.text, word.start, thing.end)
    for word in words:
        if word.text not in stopwords():
            yield Fact(Topic("word", word.text), "", word.start, word.end)


def _coverage(header: str, names: Sequence[Mapping[Topic, frozenset[tuple[str, str]]]]) -> float:
    """The greatest share of the header's words that one name has, 0 to 1."""
    words = {fact.topic for fact in _facts(header) if fact.topic.kind == "word"}
    return max((len(words & name.keys()) / len(words) for name in names), default=0.0) if words else 0.0
