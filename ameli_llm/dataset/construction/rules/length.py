"""Rule "length": reviews of more than 500 tokens are dropped (paper, section 3.2, rule 2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field

from ameli_llm.dataset.construction.raw import RawReview
from ameli_llm.dataset.construction.rules.rule import Folders, Rule, RuleSettings
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.records import Note
from ameli_llm.errors import AmeliError, MissingPackageError, first_line

STAGE: Literal["text"] = "text"
NUMBER = 2

_TOKEN = re.compile(r"\w+|[^\w\s]")


class Settings(RuleSettings):
    """``most_tokens`` of header and body; the released scripts allow 512 tokens of a cased BERT.

    ``tokenizer`` is a tokenizer.json file; without one, words and punctuation marks are counted.
    """

    most_tokens: int = Field(500, ge=1)
    tokenizer: str = ""


class _Length(Rule):
    def __init__(self, most: int, count: Callable[[str], int]) -> None:
        self._most = most
        self._count = count

    def review(self, review: RawReview, folders: Folders, note: Note) -> RawReview:
        if self._count(review.text) > self._most:
            raise LeftOutError(f"has more than {self._most} tokens")
        return review


def create(settings: Settings) -> Rule:
    """The rule. Raises AmeliError when the tokenizer cannot be read."""
    count = _pieces(Path(settings.tokenizer)) if settings.tokenizer else _words
    return _Length(settings.most_tokens, count)


def _words(text: str) -> int:
    return sum(1 for _ in _TOKEN.finditer(text))


def _pieces(path: Path) -> Callable[[str], int]:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingPackageError("tokenizers", "retrieval") from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for every fault of the file
        raise AmeliError(f"Cannot read the tokenizer {path}: {first_line(error)}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
