"""A JSON array of objects; it is held in memory whole."""

from __future__ import annotations

from collections.abc import Iterator

from ameli_llm.dataset.files import read_records
from ameli_llm.dataset.importing.losses import Losses
from ameli_llm.dataset.importing.tables.table import Row, Table


class JsonArrayTable(Table):
    """Rows of typed values."""

    def rows(self, losses: Losses) -> Iterator[Row]:
        """The objects of the array."""
        for raw in read_records(self.path):
            if isinstance(raw.value, dict):
                yield Row(raw.position, raw.value)
            else:
                losses.add("row", "is no JSON object", self.place(raw.position))
