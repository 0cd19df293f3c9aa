"""Reviews in shoppers' words about a product of any knowledge base, with what they say of it.

The sentences (``phrases.yaml``) are none of the synthetic twin's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml

from ameli_llm.attributes.values.normalise import normalise
from ameli_llm.comparison.differences import differing
from ameli_llm.ids import ReviewId
from ameli_llm.instruction.told import Fact
from ameli_llm.instruction.wording import Wording
from ameli_llm.types import Attributes, Product, Review

_LONGEST = 32
"""Characters of the longest value that a shopper writes out."""

_JOINTS = (". ", ". ", ". ", "! ", ", ", "; ", " and ", "... ")
_TYPO, _TYPO_IN_VALUE = 0.02, 0.05
_LOWER, _UPPER = 0.2, 0.03
"""Share of reviews all in small or in large letters."""

_SPOKEN = ({"stated": 0.5, "keyed": 0.2, "contrasted": 0.3}, {"stated": 0.7, "keyed": 0.3})
_SILENT, _DENIES, _PASSING = 0.25, 0.15, 0.3
_COMMON = 0.25
"""Share of reviews that state a value which all candidates have, so that it is not asked for."""
_OBJECT = 0.4
"""Share of reviews that speak of a thing as of a value: "bought it in a rush"."""


@dataclass(frozen=True)
class Subject:
    """What a review is written about: a product, other products beside it, and how it is called."""

    product: Product
    attributes: Attributes
    others: Sequence[Product]
    other_attributes: Sequence[Attributes]
    mention: str
    brands: Sequence[str]
    nouns: Sequence[str]


@dataclass
class _Sentence:
    """Pieces of text; a piece with a fact is the quotation that proves it."""

    pieces: list[tuple[str, tuple[str, str, bool] | None]] = field(default_factory=list)


def tell(
    subject: Subject, review_id: ReviewId, say: Wording, rng: np.random.Generator
) -> tuple[Review, tuple[Fact, ...]]:
    """A review of the subject's product, with what it says of that one."""
    phrases = _phrases()
    keys = _spoken_keys(subject, rng)
    sentences = [_about(subject, key, say, rng, phrases) for key in keys]
    if rng.random() < _PASSING:
        sentences.append(_passing(subject, say, rng, phrases))
    if rng.random() < _OBJECT:
        filled = _pick(rng, phrases["stated"]).replace("{x}", _pick(rng, phrases["objects"]))
        sentences.append(_Sentence([(filled, None)]))
    talk = rng.permutation(phrases["small_talk"])[: int(rng.poisson(2))]
    sentences += [_Sentence([(str(text), None)]) for text in talk]
    opening = _Sentence([(_pick(rng, phrases["openings"]).format(it=subject.mention), None)])
    ordered = [opening, *(sentences[int(at)] for at in rng.permutation(len(sentences)))]
    if rng.random() < 0.5:
        ordered.append(_Sentence([(_pick(rng, phrases["closings"]), None)]))
    body, facts = _in_case(*_joined(ordered, rng), rng)
    header = _pick(rng, phrases["headers"]).format(it=subject.mention)
    return Review(review_id, header, body, subject.mention), facts


def load_phrases() -> dict[str, list[str]]:
    """The packaged sentences by what they do."""
    text = resources.files(__package__).joinpath("phrases.yaml").read_text(encoding="utf-8")
    phrases: dict[str, list[str]] = yaml.safe_load(text)
    return phrases


_phrases = cache(load_phrases)


def _spoken_keys(subject: Subject, rng: np.random.Generator) -> list[str]:
    """Some of the keys that tell the product from the others, now and then one that does not."""
    short = [
        key for key, known in subject.attributes.items() if len(known) == 1 and len(known[0]) <= _LONGEST
    ]
    asked = set(differing([subject.attributes, *subject.other_attributes]))
    telling = [key for key in short if key in asked]
    common = [key for key in short if key not in asked]
    count = min(int(rng.integers(1, 4)), len(telling)) if rng.random() >= _SILENT else 0
    chosen = [telling[int(at)] for at in rng.permutation(len(telling))[:count]]
    if common and rng.random() < _COMMON:
        chosen.append(_pick(rng, common))
    return chosen


def _about(
    subject: Subject, key: str, say: Wording, rng: np.random.Generator, phrases: Mapping[str, list[str]]
) -> _Sentence:
    value = subject.attributes[key][0]
    rivals = _rivals(subject, key, value)
    if _is_of_another_key(subject, key, value):
        return _fill(_pick(rng, phrases["keyed"]), key, (say(key, value, rng), value), None)
    if rivals and rng.random() < _DENIES:
        denied = _pick(rng, rivals)
        return _fill(_pick(rng, phrases["denied"]), key, None, (say(key, denied, rng), denied))
    kinds = _SPOKEN[0 if rivals else 1]
    kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    rival = _pick(rng, rivals) if kind == "contrasted" else None
    other = (say(key, rival, rng), rival) if rival is not None else None
    return _fill(_pick(rng, phrases[kind]), key, (say(key, value, rng), value), other)


def _is_of_another_key(subject: Subject, key: str, value: str) -> bool:
    """Whether the value could be one of another attribute too, so that only the key's name decides."""
    return any(
        normalise(other, one) == normalise(other, value)
        for known in (subject.attributes, *subject.other_attributes)
        for other, values in known.items()
        if other != key
        for one in values
    )


def _rivals(subject: Subject, key: str, value: str) -> list[str]:
    """Values of other products for the key that mean something else."""
    own = normalise(key, value)
    found = {known[0] for other in subject.other_attributes if len(known := other.get(key, ())) == 1}
    return sorted(one for one in found if len(one) <= _LONGEST and normalise(key, one) != own)


def _passing(
    subject: Subject, say: Wording, rng: np.random.Generator, phrases: Mapping[str, list[str]]
) -> _Sentence:
    """A sentence about another product, which has a value that the candidates have too."""
    other = _pick(rng, subject.other_attributes) if subject.other_attributes else subject.attributes
    short = [key for key, values in other.items() if len(values) == 1 and len(values[0]) <= _LONGEST]
    if not short:
        return _Sentence([(_pick(rng, phrases["small_talk"]), None)])
    key = _pick(rng, short)
    filled = _pick(rng, phrases["passing"]).format(
        brand=_pick(rng, subject.brands), noun=_pick(rng, subject.nouns), y=say(key, other[key][0], rng)
    )
    return _Sentence([(filled, None)])


def _fill(frame: str, key: str, stated: tuple[str, str] | None, denied: tuple[str, str] | None) -> _Sentence:
    """The frame with its values as pieces of their own: (words, raw value) for {x} and for {y}."""
    sentence = _Sentence()
    rest = frame.replace("{k}", key.lower())
    places = sorted((rest.index(hole), hole) for hole in ("{x}", "{y}") if hole in rest)
    end = 0
    for start, hole in places:
        given = stated if hole == "{x}" else denied
        if given is None:
            raise ValueError(f"frame {frame!r} has {hole} and no value for it")
        sentence.pieces.append((rest[end:start], None))
        sentence.pieces.append((given[0], (key, given[1], hole == "{y}")))
        end = start + len(hole)
    sentence.pieces.append((rest[end:], None))
    return sentence


def _joined(sentences: Sequence[_Sentence], rng: np.random.Generator) -> tuple[str, list[Fact]]:
    """The sentences as one text with slips of the finger outside of values, and the facts in their order."""
    text = ""
    facts: list[Fact] = []
    for number, sentence in enumerate(sentences):
        joint = _pick(rng, _JOINTS) if number else ""
        text += joint
        capital = rng.random() < 0.75 and joint not in (", ", "; ", " and ")
        for words, fact in sentence.pieces:
            if not words:
                continue
            words = _slip(words, rng, _TYPO_IN_VALUE if fact else _TYPO * len(words.split()))
            words = words[0].upper() + words[1:] if capital else words
            capital = False
            text += words
            if fact:
                facts.append(Fact(fact[0], fact[1], words, fact[2]))
    return text + _pick(rng, (".", ".", "!", "")), facts


def _in_case(body: str, facts: Sequence[Fact], rng: np.random.Generator) -> tuple[str, tuple[Fact, ...]]:
    """The text and its quotations as some people type: without capitals, or in nothing else."""
    habit = rng.random()
    if habit >= _LOWER + _UPPER:
        return body, tuple(facts)
    typed = str.lower if habit < _LOWER else str.upper
    return typed(body), tuple(replace(fact, quote=typed(fact.quote)) for fact in facts)


def _slip(words: str, rng: np.random.Generator, chance: float) -> str:
    """The text, now and then with a letter left out or two exchanged; never one with digits."""
    if len(words) < 6 or any(map(str.isdigit, words)) or rng.random() > chance:
        return words
    at = int(rng.integers(1, len(words) - 2))
    if rng.random() < 0.5:
        return words[:at] + words[at + 1 :]
    return words[:at] + words[at + 1] + words[at] + words[at + 2 :]


def _pick(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    return options[int(rng.integers(len(options)))]
