"""Texts as a tokenizer cuts them, each token with its place; what is cut off or unknown is counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ameli_llm.attributes.tagging.tags import Place
from ameli_llm.errors import AmeliError

_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[。！？\n]")

MOST_UNKNOWN = 0.2
"""Share of tokens that the vocabulary may lack before training on the texts is refused."""


@dataclass(frozen=True, slots=True)
class Words:
    """The tokens of a text between the special ones.

    ``ids`` includes the special tokens: ``before`` of them in front, ``after`` behind. ``cut`` says that the
    text went on.
    """

    ids: tuple[int, ...]
    places: tuple[Place, ...]
    before: int
    after: int
    unknown: int = 0
    cut: bool = False


class WordCutter:
    """Cuts texts into at most ``longest`` tokens, special ones not counted (Zhu et al. 2020, table 2: 46).

    Raises AmeliError when the tokenizer cannot tell where its tokens stand, or ``longest`` and the special
    tokens are more than the encoder's ``window``.
    """

    def __init__(self, tokenizer: Any, longest: int, window: int) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise AmeliError(
                "The encoder's tokenizer does not tell where its tokens stand.",
                hint="Name an encoder that has a tokenizer.json.",
            )
        self._tokenizer = tokenizer
        self.longest = longest
        self.pad = int(tokenizer.pad_token_id or 0)
        self.unknown = tokenizer.unk_token_id
        probe = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
        self._before = probe.index(0)
        self._after = len(probe) - probe.index(0) - probe.count(0)
        self._frame = tokenizer("a")["input_ids"]
        if not self._before:
            raise AmeliError(
                "The encoder puts no special token before a text, whose vector stands for all of it ([CLS]).",
                hint="Name a BERT, or another encoder that does.",
            )
        if longest + self._before + self._after > window:
            raise AmeliError(
                f"max_tokens is {longest} and the encoder's window {window}, special tokens included.",
                hint=f"Set it to {window - self._before - self._after} or less.",
            )

    @property
    def vocabulary(self) -> int:
        """How many tokens the tokenizer knows."""
        return len(self._tokenizer)

    def cut(self, texts: Sequence[str]) -> list[Words]:
        """Each text from its beginning, as far as the window goes."""
        return [self._words(ids, places[: self.longest]) for ids, places in self._all(texts)]

    def pieces(self, text: str) -> list[Words]:
        """The whole text in windows, which end where a sentence does if one ends within the window."""
        ((ids, places),) = self._all([text])
        ends = {match.end() for match in _SENTENCE_END.finditer(text)}
        found, start = [], 0
        while start < len(places):
            stop = min(start + self.longest, len(places))
            if stop < len(places):
                ending = (at + 1 for at in range(stop - 1, start - 1, -1) if places[at][1] in ends)
                stop = next(ending, stop)
            found.append(self._words(ids[start:stop], places[start:stop]))
            start = stop
        return found

    def _all(self, texts: Sequence[str]) -> list[tuple[list[int], list[Place]]]:
        if not texts:
            return []
        made = self._tokenizer(
            list(texts),
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        return [
            (list(ids), [_trimmed(text, int(a), int(b)) for a, b in places])
            for text, ids, places in zip(texts, made["input_ids"], made["offset_mapping"], strict=True)
        ]

    def _words(self, ids: Sequence[int], places: Sequence[Place]) -> Words:
        kept = list(ids[: len(places)])
        whole = [*self._frame[: self._before], *kept, *self._frame[len(self._frame) - self._after :]]
        unknown = kept.count(self.unknown) if self.unknown is not None else 0
        return Words(
            tuple(whole), tuple(places), self._before, self._after, unknown, cut=len(ids) > len(places)
        )


def _trimmed(text: str, start: int, end: int) -> Place:
    """The place without the space before a word, which some tokenizers take for a part of it."""
    while start < end and text[start].isspace():
        start += 1
    return start, end


def require_known(words: Sequence[Words], encoder: str) -> None:
    """Raises AmeliError when the encoder's vocabulary lacks more than ``MOST_UNKNOWN`` of the tokens."""
    total = sum(len(one.places) for one in words)
    unknown = sum(one.unknown for one in words)
    if unknown > MOST_UNKNOWN * total:
        raise AmeliError(
            f"The text encoder {encoder!r} does not know the language of these texts: {unknown} of {total} "
            "tokens are not in its vocabulary.",
            hint="Name one of that language with --encoder, for instance bert-base-chinese.",
        )
