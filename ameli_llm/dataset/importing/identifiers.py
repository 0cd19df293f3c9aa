"""Ids out of cells: numbers where the whole column is numbers, texts elsewhere, never a mix of both."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ameli_llm.dataset.importing.columns import MISSING, Columns, Numbers
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.ids import EntityId, as_id


class IdReader:
    """Reads the ids of one column.

    Of a table of texts, a column of whole numbers ("12") gives integers, and so does one where pandas wrote
    12.0 because other cells are missing. Any other column ("007", "B00X1") gives texts, all as they are.
    """

    def __init__(self, typed: bool, numbers: Numbers | None) -> None:
        self._as_numbers = not typed and numbers in ("whole", "with gaps")

    def __call__(self, value: Any) -> EntityId | None:
        """The id, None for a blank cell. Raises LeftOutError for what is no id."""
        if value is None or (isinstance(value, str) and value.strip().lower() in MISSING | {""}):
            return None
        if isinstance(value, float) and value != value:
            return None
        if isinstance(value, Decimal) and value == value.to_integral_value():
            value = int(value)
        if isinstance(value, str):
            value = value.strip()
            if self._as_numbers:
                value = int(value.partition(".")[0])
        try:
            return as_id(value)
        except ValueError:
            raise LeftOutError("has an id that is none") from None


def id_reader(typed: bool, columns: Columns, name: str) -> IdReader:
    """The reader for the column ``name``."""
    return IdReader(typed, columns.by_name[name].numbers if name in columns.by_name else None)
