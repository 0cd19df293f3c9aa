"""The figures that papers publish in their tables, row by row, each with its source.

They lie in ``eval/expected``. What is only known at second hand is marked and never mixed with the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error

FOLDER = Path(__file__).parent / "expected"

TableName: TypeAlias = Literal["table4", "table5", "mepave", "mae"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(_Strict):
    """Where figures stand. ``second_hand``: quoted by others, not checked against the publication."""

    citation: str = Field(min_length=1)
    place: str = Field(min_length=1)
    second_hand: bool


class Figures(_Strict):
    """Values of one row in percent, by measure, from the source of that name."""

    source: str
    values: dict[str, float] = Field(min_length=1)
    note: str = ""


class PublishedRow(_Strict):
    """A row of a published table. ``candidates`` is K; None where the table has no such column."""

    name: str = Field(min_length=1)
    modality: str = Field(min_length=1)
    attribute: bool | None = None
    candidates: int | None = None
    figures: tuple[Figures, ...] = Field(min_length=1)


class Published(_Strict):
    """A published table: its rows by key, in the paper's order."""

    table: TableName
    title: str
    measures: tuple[str, ...] = Field(min_length=1)
    sources: dict[str, Source]
    rows: dict[str, PublishedRow] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Published:
        for key, row in self.rows.items():
            names = [figures.source for figures in row.figures]
            if len(set(names)) != len(names):
                raise ValueError(f"{key} has a source twice")
            for figures in row.figures:
                if figures.source not in self.sources:
                    raise ValueError(f"{key} names an unknown source {figures.source!r}")
                unknown = figures.values.keys() - set(self.measures)
                if unknown:
                    raise ValueError(f"{key} has an unknown measure {sorted(unknown)[0]!r}")
                if not all(0 <= value <= 100 for value in figures.values.values()):
                    raise ValueError(f"{key} has a value that is no percentage")
        return self

    def values(self, key: str) -> Mapping[str, float]:
        """Published percentages of a row by measure; {} where there are none at first hand."""
        return self._values(key, second_hand=False)

    def second_hand(self, key: str) -> Mapping[str, float]:
        """Percentages of a row that are known at second hand only, by measure; {} where there are none."""
        return self._values(key, second_hand=True)

    def document(self, key: str) -> dict[str, Any] | None:
        """Everything that is published of a row, sources spelt out, in JSON types; None for no such row."""
        row = self.rows.get(key)
        if row is None:
            return None
        figures = [
            {**self.sources[one.source].model_dump(), "values": dict(one.values), "note": one.note}
            for one in row.figures
        ]
        return {**row.model_dump(exclude={"figures"}), "figures": figures}

    def _values(self, key: str, *, second_hand: bool) -> Mapping[str, float]:
        return {
            measure: value
            for figures in self._figures(key)
            if self.sources[figures.source].second_hand is second_hand
            for measure, value in figures.values.items()
        }

    def _figures(self, key: str) -> Iterator[Figures]:
        if key in self.rows:
            yield from self.rows[key].figures


def published(name: TableName, folder: Path = FOLDER) -> Published:
    """The published table of that name. Raises AmeliError when its file is broken."""
    path = folder / f"{name}.yaml"
    try:
        table = Published.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AmeliError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise AmeliError(f"{path}: {first_error(error)}.") from error
    if table.table != name:
        raise AmeliError(f"{path} holds {table.table}, not {name}.")
    return table
