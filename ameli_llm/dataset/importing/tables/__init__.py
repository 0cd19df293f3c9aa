"""Files of rows, one kind a module: delimited text, JSON, JSON lines, Parquet."""

from __future__ import annotations

from pathlib import Path

from ameli_llm.dataset.importing.tables.delimited import DelimitedTable
from ameli_llm.dataset.importing.tables.json_array import JsonArrayTable
from ameli_llm.dataset.importing.tables.json_lines import JsonLinesTable
from ameli_llm.dataset.importing.tables.parquet import ParquetTable
from ameli_llm.dataset.importing.tables.table import Table
from ameli_llm.errors import AmeliError

_JSON = ".json"
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")
_DELIMITED = (".csv", ".tsv", ".tab")


def open_table(path: Path, encoding: str = "utf-8") -> Table:
    """The table of a file, by the ending of its name; a .json file may be an array or JSON lines.

    ``encoding`` is that of CSV and TSV; a byte order mark goes before it. Raises AmeliError when there is no
    such file, its kind is not known, or its first rows cannot be read.
    """
    if not path.is_file():
        raise AmeliError(f"No file at {path}.")
    ending = path.suffix.lower()
    if ending in _DELIMITED:
        return DelimitedTable(path, encoding)
    if ending in _PARQUET:
        return ParquetTable(path)
    if ending in _JSON_LINES or (ending == _JSON and _starts_with_object(path)):
        return JsonLinesTable(path)
    if ending == _JSON:
        return JsonArrayTable(path)
    known = ", ".join((*_DELIMITED, _JSON, *_JSON_LINES, *_PARQUET))
    raise AmeliError(f"{path} is of no kind that can be imported.", hint=f"Known are {known}.")


def _starts_with_object(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from None
