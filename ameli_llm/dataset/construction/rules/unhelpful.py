"""Rule "unhelpful": reviews that are only voted "unhelpful" are dropped (paper, section 3.2, rule 3)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ameli_llm.dataset.construction.raw import RawReview
from ameli_llm.dataset.construction.rules.rule import Folders, Rule, RuleSettings
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.records import Note

STAGE: Literal["text"] = "text"
NUMBER = 3


class Settings(RuleSettings):
    """``fewest_unhelpful``: votes of "unhelpful" from which on a review without any other goes."""

    fewest_unhelpful: int = Field(1, ge=1)


class _Unhelpful(Rule):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def review(self, review: RawReview, folders: Folders, note: Note) -> RawReview:
        helpful, unhelpful = review.votes
        if unhelpful >= self._settings.fewest_unhelpful and not helpful:
            raise LeftOutError("is only voted unhelpful")
        return review


def create(settings: Settings) -> Rule:
    """The rule; reviews without votes pass."""
    return _Unhelpful(settings)
