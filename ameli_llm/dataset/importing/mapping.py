"""Which file holds what and which column becomes which field, as YAML and as words of a command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ameli_llm.dataset.importing.fields import FIELDS, Kind
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.files import first_error

KINDS: tuple[Kind, ...] = ("products", "reviews")

_HEAD = f"""\
# What 'ameli-llm data import' makes of each column. Columns that are not named here are guessed.
# Fields of products: {", ".join(FIELDS["products"])}
# Fields of reviews: {", ".join(FIELDS["reviews"])}
# records: ameli takes records that have AMELI's own fields as they are.
"""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KindMapping(_Part):
    """The files of the products or of the reviews, and the field that each of their columns becomes."""

    files: tuple[str, ...] = ()
    records: Literal["columns", "ameli"] = "columns"
    columns: dict[str, str] = Field(default_factory=dict)

    def columns_of(self, field: str) -> list[str]:
        """The columns of a field, in the order of the mapping."""
        return [column for column, name in self.columns.items() if name == field]


class ImportMapping(_Part):
    """How files become a dataset.

    ``split`` is where reviews go that do not name theirs; without it, the name of their file decides
    ("train.csv"), or they go to test.
    """

    products: KindMapping = KindMapping()
    reviews: KindMapping = KindMapping()
    split: Literal["train", "dev", "test"] | None = None

    @field_validator("products", "reviews", mode="before")
    @classmethod
    def _nothing(cls, value: object) -> object:
        return KindMapping() if value is None else value

    def of(self, kind: Kind) -> KindMapping:
        """The part for products or for reviews."""
        return self.products if kind == "products" else self.reviews

    def to_yaml(self) -> str:
        """The mapping as the file that ``read_mapping`` takes, with the fields named in its head."""
        return _HEAD + yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_mapping(path: Path) -> ImportMapping:
    """The mapping of a YAML file. Raises AmeliError that names the file and the first thing wrong in it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        mapping = ImportMapping.model_validate({} if content is None else content)
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise AmeliError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}.") from None
    except ValidationError as error:
        raise AmeliError(f"{path}: {first_error(error)}.") from None
    for kind in KINDS:
        for field in mapping.of(kind).columns.values():
            _known(kind, field)
    return mapping


def write_mapping(mapping: ImportMapping, path: Path) -> None:
    """Writes the mapping as YAML. Raises AmeliError when the file exists or cannot be written."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(mapping.to_yaml())
    except FileExistsError:
        raise AmeliError(f"{path} exists.", hint="Choose another --write-mapping, or delete it.") from None
    except OSError as error:
        raise AmeliError(f"Cannot write {path}: {error.strerror}.") from None


def override(
    words: Iterable[str], columns: dict[Kind, list[str]], given: ImportMapping
) -> dict[Kind, dict[str, str]]:
    """The fields of columns that a mapping and then words like "sku=id" or "sku=products.id" decide.

    Without "products." or "reviews.", a word is for both kinds of file, as far as they have the column and
    the field. Raises AmeliError for a word of another form, UnknownNameError for what is not there.
    """
    decided: dict[Kind, dict[str, str]] = {
        kind: {name: field for name, field in given.of(kind).columns.items() if name in columns[kind]}
        for kind in KINDS
    }
    for word in words:
        column, equals, target = word.rpartition("=")
        if not equals or not column.strip() or not target.strip():
            raise AmeliError(f"--map {word!r} is not COLUMN=FIELD.", hint="For instance: --map sku=id")
        asked, _, field = target.strip().rpartition(".")
        for kind in _kinds(asked, field, column, columns):
            decided[kind][column] = field
    return decided


def _kinds(asked: str, field: str, column: str, columns: dict[Kind, list[str]]) -> list[Kind]:
    """The kinds of file that "asked.field" of a column is for."""
    if asked and asked not in KINDS:
        raise UnknownNameError("kind of file", asked, KINDS)
    kinds = [kind for kind in KINDS if columns[kind] and asked in ("", kind)]
    with_column = [kind for kind in kinds if column in columns[kind]]
    if not with_column:
        raise UnknownNameError("column", column, {name for kind in kinds for name in columns[kind]})
    with_field = [kind for kind in with_column if field in FIELDS[kind]]
    if not with_field:
        _known(with_column[0], field)
    return with_field


def _known(kind: Kind, field: str) -> None:
    if field not in FIELDS[kind]:
        raise UnknownNameError(f"field of {kind}", field, FIELDS[kind])
