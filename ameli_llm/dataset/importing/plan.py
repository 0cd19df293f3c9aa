"""What an import is going to do: the files of products and of reviews, and the field of each column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ameli_llm.dataset.importing.columns import Columns, read_columns
from ameli_llm.dataset.importing.fields import FIELDS, REQUIRED, Kind
from ameli_llm.dataset.importing.guess import guess_columns, is_ameli, kind_of
from ameli_llm.dataset.importing.mapping import KINDS, ImportMapping, KindMapping, override
from ameli_llm.dataset.importing.tables import open_table
from ameli_llm.dataset.importing.tables.table import Table
from ameli_llm.errors import AmeliError, UnknownNameError

_FIRST = 1000
"""Rows by which is told what a file holds."""

SplitName = Literal["train", "dev", "test"]


@dataclass(frozen=True)
class Plan:
    """The mapping with every column decided, and the tables that it is for."""

    mapping: ImportMapping
    tables: Mapping[Kind, Sequence[Table]]
    columns: Mapping[Kind, Columns]


def plan_import(
    files: Iterable[Path] = (),
    *,
    products: Iterable[Path] = (),
    reviews: Iterable[Path] = (),
    mapping: ImportMapping | None = None,
    words: Sequence[str] = (),
    split: str | None = None,
    encoding: str = "utf-8",
) -> Plan:
    """Reads every file once and decides what its columns become.

    What ``files`` hold is guessed; that of ``products`` and ``reviews`` is said. Without any, those of the
    ``mapping`` are taken. ``words`` are overrides like "sku=id", which go before the mapping. ``encoding`` is
    that of CSV and TSV. Raises AmeliError for a file that cannot be read, or whose columns do not give what a
    dataset needs, UnknownNameError for a column, a field or a split that is not there.
    """
    given = mapping or ImportMapping()
    paths: dict[Kind, list[Path]] = {"products": list(products), "reviews": list(reviews)}
    asked = list(files)
    if not asked and not any(paths.values()):
        paths = {kind: [Path(name) for name in given.of(kind).files] for kind in KINDS}
    for path in asked:
        paths[_kind(path, given, encoding)].append(path)
    tables = {kind: [open_table(path, encoding) for path in paths[kind]] for kind in KINDS}
    if not tables["products"]:
        hint = "Name the files of products too, as FILE or with --products FILE."
        raise AmeliError("No file of products to import.", hint=hint)
    columns = {kind: read_columns(tables[kind]) for kind in KINDS}
    names = {kind: [column.name for column in columns[kind]] for kind in KINDS}
    decided = override(words, names, given)
    parts = {kind: _part(kind, paths[kind], columns[kind], decided[kind], given) for kind in KINDS}
    complete = ImportMapping(
        products=parts["products"], reviews=parts["reviews"], split=_split(split) or given.split
    )
    return Plan(complete, tables, columns)


def _kind(path: Path, given: ImportMapping, encoding: str) -> Kind:
    """What a file holds: as the mapping says, or by a look at its columns."""
    for kind in KINDS:
        if path.name in {Path(name).name for name in given.of(kind).files}:
            return kind
    return kind_of(path.name, read_columns([open_table(path, encoding)], first=_FIRST))


def _part(
    kind: Kind, paths: Sequence[Path], columns: Columns, decided: Mapping[str, str], given: ImportMapping
) -> KindMapping:
    files = tuple(map(str, paths))
    if not files:
        return KindMapping()
    if not decided and is_ameli(kind, columns.by_name):
        return KindMapping(files=files, records="ameli")
    if given.of(kind).records == "ameli":
        missing = f"{', '.join(files)}: no AMELI records of {kind}"
        raise AmeliError(f"{missing}. Their columns: {', '.join(columns.by_name)}.")
    part = KindMapping(files=files, columns=guess_columns(kind, columns, decided))
    for field in FIELDS[kind].values():
        chosen = part.columns_of(field.name)
        if not chosen and field.name in REQUIRED[kind]:
            raise AmeliError(
                f"No column of {', '.join(files)} gives the {field.name} of {kind}. "
                f"Columns: {', '.join(columns.by_name) or 'none'}.",
                hint=f"Say it: --map COLUMN={kind}.{field.name}",
            )
        if len(chosen) > 1 and not field.many:
            raise AmeliError(
                f"{' and '.join(map(repr, chosen))} are both to be the {field.name} of {kind}.",
                hint=f"Leave one out: --map COLUMN={kind}.ignore",
            )
    return part


def _split(name: str | None) -> SplitName | None:
    known: tuple[SplitName, ...] = get_args(SplitName)
    asked = "dev" if name == "val" else name
    if asked is None:
        return None
    for split in known:
        if split == asked:
            return split
    raise UnknownNameError("split", asked, known)
