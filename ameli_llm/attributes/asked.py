"""Which attributes and values of the candidates' vocabulary a prompt asks for, the most useful first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from ameli_llm.attributes.values.normalise import alternatives, is_ignored, normalise
from ameli_llm.attributes.values.tokens import tokens
from ameli_llm.templates.front import Limits
from ameli_llm.templates.text import one_line
from ameli_llm.types import Vocabulary

Asked = Mapping[str, Mapping[str, str]]
"""Raw key to values: each value as the prompt shows it, to the value as the product page writes it."""


Order: TypeAlias = Callable[[Iterable[str]], list[str]]
"""Puts the values of an attribute into the order in which they are considered and shown."""


def ask_for(vocabulary: Vocabulary, text: str, limits: Limits, order: Order = sorted) -> Asked:
    """The part of ``vocabulary`` that is worth asking about ``text``, in falling order of use.

    Only keys with at least two different values are asked: the others tell no candidates apart. Left out are
    values that say nothing ("Yes", "Other") and those longer than ``limits.value`` characters; a cell that
    lists values ("XS, S, M") gives each of them, and spellings of one value are asked once. Values that share
    a word with ``text`` are kept first, and all are shown in alphabetical order: the order of ``vocabulary``
    is the candidates' and would tell their rank, so nothing depends on it (another ``order`` can make it).
    Keys with values that share a word go first, then those with more values, then by name. Cut at
    ``limits``.
    """
    spoken = words_of(text)
    asked: dict[str, dict[str, str]] = {}
    rank: dict[str, tuple[bool, int, str]] = {}
    for key, raw_values in vocabulary.items():
        values = _different(key, order(raw_values), limits.value)
        if len(values) < 2 or not one_line(key):
            continue
        shares = {shown: shares_word(shown, spoken) for shown in values}
        ordered = order(values)
        kept = set(sorted(ordered, key=lambda shown: not shares[shown])[: limits.values])
        asked[key] = {shown: values[shown] for shown in ordered if shown in kept}
        rank[key] = (not any(shares.values()), -len(values), key)
    return {key: asked[key] for key in sorted(asked, key=rank.__getitem__)[: limits.keys]}


def _different(key: str, raw_values: Sequence[str], longest: int) -> dict[str, str]:
    kept: dict[str, str] = {}
    seen = set()
    for value in (part for raw in raw_values for part in alternatives(key, raw)):
        shown = one_line(value)
        form = normalise(key, value)
        if not 0 < len(shown) <= longest or is_ignored(value) or form in seen:
            continue
        seen.add(form)
        kept.setdefault(shown, value)
    return kept


def words_of(text: str) -> frozenset[str]:
    """The folded words and numbers of ``text``."""
    return frozenset(token.text for token in tokens(text))


def shares_word(value: str, words: frozenset[str]) -> bool:
    """Whether a number or a word of two letters or more of ``value`` is among ``words``."""
    return any(token.text in words for token in tokens(value) if len(token.text) > 1 or token.text.isdigit())
