"""Rule "variant": a review is linked to the variant that its product details name (section 3.2, rule 4).

Shops list a review under every variant of a product; a field of the review says which one was bought. It may
be an id, a name, or attributes, alone or in an object: {"sku": 412}, "Acme - Breeze - Red", {"Color": "Red"}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.construction.knowledge import KnowledgeBase, plain_name
from ameli_llm.dataset.construction.raw import RawReview
from ameli_llm.dataset.construction.rules.rule import Folders, Rule, RuleSettings
from ameli_llm.dataset.importing.cells import spec_of
from ameli_llm.dataset.importing.fields import plain
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.records import Note

STAGE: Literal["text"] = "text"
NUMBER = 4

_ID_KEYS = frozenset({"id", "sku", "sku id", "product id", "product sku", "item id", "entity id", "asin"})
_NAME_KEYS = frozenset({"name", "product name", "title", "product title"})
_GONE = "names a variant that is not in the knowledge base"


class Settings(RuleSettings):
    """``missing``: what becomes of a review without product details. ``relink``: see ``create``."""

    missing: Literal["keep", "drop"] = "keep"
    relink: bool = True


class _Variant(Rule):
    def __init__(self, settings: Settings, knowledge: KnowledgeBase) -> None:
        self._settings = settings
        self._knowledge = knowledge

    def review(self, review: RawReview, folders: Folders, note: Note) -> RawReview:
        if review.details is None:
            if self._settings.missing == "drop":
                raise LeftOutError("has no product details")
            return review
        said = _said(review.details)
        row = self._row(said)
        if row is None:
            if said.attributes:
                return self._agreeing(review, said.attributes)
            raise LeftOutError(_GONE)
        if row == self._knowledge.row(review.product):
            return review
        if not self._settings.relink:
            raise LeftOutError("is filed under another variant than its product details name")
        note(
            "review",
            "was filed under another variant than its product details name, and is linked to that one",
        )
        return review.having(gold_entity_info={"id": self._knowledge.product(row).id})

    def _row(self, said: _Said) -> int | None:
        """The one product that is named, by its id before its name."""
        for id_ in said.ids:
            if (row := self._knowledge.row(id_)) is not None:
                return row
        rows = {row for name in said.names for row in self._knowledge.named(name)}
        return rows.pop() if len(rows) == 1 else None

    def _agreeing(self, review: RawReview, attributes: Mapping[str, str]) -> RawReview:
        """The review, if no attribute of its product has another value than its details say."""
        row = self._knowledge.row(review.product)
        if row is None:
            return review
        own = {key.casefold(): v for key, v in attribute_dictionary(self._knowledge.product(row)).items()}
        for key, value in attributes.items():
            values = {" ".join(one.casefold().split()) for one in own.get(key.casefold(), ())}
            if values and " ".join(value.casefold().split()) not in values:
                raise LeftOutError("is filed under a variant that its product details contradict")
        return review


class _Said:
    """What product details say: ids, names, attributes."""

    def __init__(self) -> None:
        self.ids: list[Any] = []
        self.names: list[str] = []
        self.attributes: dict[str, str] = {}


def create(settings: Settings, knowledge: KnowledgeBase) -> Rule:
    """The rule. With ``relink``, a review under a wrong variant is linked to the right one.

    Rows that repeat it are dropped as repetitions, so that one link of each review is left. Without, the row
    is dropped.
    """
    return _Variant(settings, knowledge)


def _said(details: Any) -> _Said:
    said = _Said()
    if isinstance(details, str | int) and not isinstance(details, bool):
        said.ids.append(details)
        said.names.append(plain_name(str(details)))
    try:
        rows = spec_of(details) if not isinstance(details, int) else ()
    except LeftOutError:
        rows = ()
    for row in rows:
        if plain(row.key) in _ID_KEYS:
            said.ids.append(row.value)
        elif plain(row.key) in _NAME_KEYS:
            said.names.append(plain_name(row.value))
        else:
            said.attributes[row.key] = row.value
    return said
