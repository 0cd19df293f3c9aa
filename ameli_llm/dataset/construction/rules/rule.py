"""What every rule takes and gives. One file of this package is one rule.

A module defines ``STAGE`` (when the rule works), ``NUMBER`` (its number in the paper's section 3.2),
``Settings`` (a pydantic model whose defaults are the paper's constants) and ``create(settings, ...)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ameli_llm.dataset.construction.raw import RawReview, Record
from ameli_llm.dataset.importing.records import Note

Stage = Literal["text", "images", "crop"]
"""While rows are read; when photos are opened; when the mention is known."""


Folders = Sequence[Path]
"""Where the paths of a record's images may start."""


class RuleSettings(BaseModel):
    """The settings of a rule."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rule:
    """Looks at one product or one review at a time, the same whatever came before.

    Both methods give the record that goes on, which may differ from the one that came, and raise LeftOutError
    with the reason for one that goes no further; the reason is the same for all like it. What is changed or
    left out of a record goes to ``note``.
    """

    @property
    def idle(self) -> bool:
        """Whether its settings leave it nothing to do."""
        return False

    def product(self, record: Record, folders: Folders, note: Note) -> Record:
        """A product's record as it came, unless the rule is about products too."""
        return record

    def review(self, review: RawReview, folders: Folders, note: Note) -> RawReview:
        """A review as it came, unless the rule is about reviews."""
        return review
