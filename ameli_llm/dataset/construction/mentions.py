"""Mention detection (paper, section 3.3): the words by which a review names its product.

Names come from noun chunks of a product's title and category; n-grams of the review that equal one, as
written or in the singular, are candidates; the most plausible of them is the mention. The same without gold,
with the categories of the whole knowledge base, shows how far mentions lean on the answer, which a linker in
use does not have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.construction.knowledge import KnowledgeBase
from ameli_llm.dataset.construction.raw import RawReview
from ameli_llm.dataset.construction.settings import Mentions
from ameli_llm.dataset.construction.similarity import Chunk, Chunker, Tools, text_scores
from ameli_llm.dataset.construction.steps import Judged
from ameli_llm.errors import AmeliError
from ameli_llm.types import Product

_WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*")
_NO_NAMES = ("Brand", "Color", "Colour", "Color Category")
"""Attributes whose values stand in titles and are no names of products."""
_HELD = 65536

SAME = "the mention is the same with and without gold"
OVERLAPPING = "the mentions with and without gold are the same word, or overlap"
DIFFERENT = "the mentions with and without gold are different words"
"""How the mentions that are found with and without the product compare."""

Lemma = Callable[[str], str]


@dataclass(frozen=True)
class Span:
    """Candidate words of a review: where they stand in its text, and the name that they equal."""

    start: int
    end: int
    surface: str
    words: int
    name: str


class Names:
    """Names as written and in the singular, each with the name that it stands for, and their last words."""

    def __init__(self, by_words: Mapping[str, str]) -> None:
        self.by_words = by_words
        self.heads = frozenset(name.rpartition(" ")[2] for name in by_words)


class MentionFinder:
    """Finds the mentions of a batch of reviews. Raises AmeliError when there is nothing to choose them by."""

    def __init__(
        self, settings: Mentions, knowledge: KnowledgeBase, categories: Sequence[str], tools: Tools
    ) -> None:
        check_mentions(settings, tools)
        self._settings = settings
        self._knowledge = knowledge
        self._categories = categories
        self._tools = tools
        self._lemma = lru_cache(_HELD)(tools.chunker.lemma)
        self._names = lru_cache(_HELD)(self._names_of)

    def judge(self, reviews: Sequence[RawReview]) -> list[Judged]:
        """The reviews with their mentions; those without one are dropped."""
        rows = [self._knowledge.row(review.product) for review in reviews]
        products = [self._knowledge.product(row) for row in rows if row is not None]
        assert len(products) == len(reviews)
        spans = [
            self.spans(review.text, self._names(row))
            for review, row in zip(reviews, rows, strict=True)
            if row is not None
        ]
        mentions = self._best(spans, [product.name for product in products])
        blind = self._blind(reviews) if self._settings.without_gold else [None] * len(reviews)
        return [self._judged(*parts) for parts in zip(reviews, mentions, blind, strict=True)]

    def spans(self, text: str, names: Names) -> list[Span]:
        """The n-grams of a text that are one of the names, by their last word, longer ones first."""
        known = names.by_words
        words = list(_WORD.finditer(text))
        found = []
        for last, word in enumerate(words):
            head = word[0].lower()
            single = self._lemma(head)
            if head not in names.heads and single not in names.heads:
                continue
            for first in range(max(0, last + 1 - self._settings.longest), last + 1):
                before = [other[0].lower() for other in words[first:last]]
                name = known.get(" ".join([*before, head])) or known.get(" ".join([*before, single]))
                if name is not None:
                    start, end = words[first].start(), word.end()
                    found.append(Span(start, end, text[start:end], last + 1 - first, name))
        return found

    def _judged(self, review: RawReview, mention: Span | None, blind: Span | None) -> Judged:
        notes = []
        if self._settings.without_gold:
            notes.append(("review noted", _comparison(mention, blind, self._lemma)))
        if mention is None:
            return Judged(review, "has no words that name its product", tuple(notes))
        return Judged(review.having(mention=mention.surface), notes=tuple(notes))

    def _best(self, spans: Sequence[list[Span]], against: Sequence[str]) -> list[Span | None]:
        """The most plausible span of each review: most similar to its text, then longest, then first."""
        if self._settings.choose == "longest":
            return [max(some, key=lambda span: (span.words, -span.start), default=None) for some in spans]
        pairs = [
            (span.surface.lower(), text)
            for some, text in zip(spans, against, strict=True)
            if len({span.surface.lower() for span in some}) > 1
            for span in some
        ]
        distinct = list(dict.fromkeys(pairs))
        score = dict(zip(distinct, text_scores(self._tools, distinct), strict=True))

        def plausible(span: Span, text: str) -> tuple[float, int, int]:
            return score.get((span.surface.lower(), text), 0.0), span.words, -span.start

        return [
            max(some, key=partial(plausible, text=text), default=None)
            for some, text in zip(spans, against, strict=True)
        ]

    def _blind(self, reviews: Sequence[RawReview]) -> list[Span | None]:
        """The mention of each review without its product: a category's name, by the review's own text."""
        spans = [self.spans(review.text, self._all_names) for review in reviews]
        return self._best(spans, [review.text for review in reviews])

    @cached_property
    def _all_names(self) -> Names:
        names: dict[str, str] = {}
        for category in self._categories:
            _add(names, self._tools.chunker.chunks(category), frozenset())
        return Names(names)

    def _names_of(self, row: int) -> Names:
        return Names(product_names(self._knowledge.product(row), self._tools.chunker))


def check_mentions(settings: Mentions, tools: Tools) -> None:
    """Raises AmeliError when mentions are to be chosen by a similarity that nothing computes."""
    if settings.choose == "similarity" and tools.text is None and tools.cross_encoder is None:
        raise AmeliError(
            "Mentions are to be chosen by similarity, and there is no text encoder.",
            hint="Type: --set mentions.choose=longest, or name a text encoder.",
        )


def product_names(product: Product, chunker: Chunker) -> dict[str, str]:
    """The names of a product from its title and leaf category, as written and in the singular.

    Brand and colour alone, as the product's attributes or a title of three parts give them, are no names.
    """
    attributes = attribute_dictionary(product)
    others = frozenset(value.casefold() for key in _NO_NAMES for value in attributes.get(key, ()))
    names: dict[str, str] = {}
    _add(names, chunker.chunks(product.name), others)
    _add(names, chunker.chunks(product.leaf_category), others)
    return names


def _add(names: dict[str, str], chunks: Sequence[Chunk], others: frozenset[str]) -> None:
    for chunk in chunks:
        if chunk.surface not in others and chunk.lemma not in others:
            names.setdefault(chunk.surface, chunk.lemma)
            names.setdefault(chunk.lemma, chunk.lemma)


def _comparison(mention: Span | None, blind: Span | None, lemma: Lemma) -> str:
    """How the mentions with and without gold compare; the same words for all that compare alike."""
    if mention is None or blind is None:
        missing = [name for name, span in (("with", mention), ("without", blind)) if span is None]
        return f"no mention {' or '.join(missing)} gold"
    if (mention.start, mention.end) == (blind.start, blind.end):
        return SAME
    same = _plain(mention, lemma) == _plain(blind, lemma)
    overlap = mention.start < blind.end and blind.start < mention.end
    if same or overlap:
        return OVERLAPPING
    return DIFFERENT


def _plain(span: Span, lemma: Lemma) -> str:
    *before, last = span.surface.lower().split()
    return " ".join([*before, lemma(last)])
