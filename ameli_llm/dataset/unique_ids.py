"""The ids of one file: which were met before, and that no two are the same text."""

from __future__ import annotations

from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId, ReviewId


class UniqueIds:
    """Ids in the order in which they are met; ``kind`` is "product" or "review"."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._by_text: dict[str, tuple[EntityId | ReviewId, str]] = {}

    def is_new(self, id_: EntityId | ReviewId, where: str) -> bool:
        """Whether this very id was not met before; ``where`` names its record in messages.

        Raises AmeliError for another id of the same text (5 and "5").
        """
        other, place = self._by_text.setdefault(str(id_), (id_, where))
        if other != id_:
            raise AmeliError(
                f"{where}: the {self._kind} id {id_!r} and the id {other!r} of {place} have the same text.",
                hint="Write all ids as numbers, or all as strings.",
            )
        return place == where
