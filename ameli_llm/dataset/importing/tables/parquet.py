"""Parquet, read by DuckDB within bounded memory; nested columns come as dictionaries and lists."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ameli_llm.dataset.importing.losses import Losses
from ameli_llm.dataset.importing.tables.table import Row, Table
from ameli_llm.errors import AmeliError, MissingPackageError

MEMORY = "1GB"
_BATCH = 500


class ParquetTable(Table):
    """Rows of typed values."""

    def rows(self, losses: Losses) -> Iterator[Row]:
        """The rows; no cell is left out."""
        duckdb = _duckdb()
        settings = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": MEMORY,
            "threads": "1",
        }
        with tempfile.TemporaryDirectory(prefix="ameli-llm-") as place:
            # DuckDB takes * and ? in a name for a pattern, and spills beside where it runs.
            link = Path(place) / "table.parquet"
            link.symlink_to(self.path.resolve())
            try:
                with duckdb.connect(":memory:", config={**settings, "temp_directory": place}) as connection:
                    result = connection.execute("SELECT * FROM read_parquet(?)", [str(link)])
                    names = [column[0] for column in result.description]
                    position = 0
                    while batch := result.fetchmany(_BATCH):
                        for values in batch:
                            position += 1
                            yield Row(position, dict(zip(names, values, strict=True)))
            except duckdb.Error as error:
                reason = str(error).partition("\n")[0].replace(str(link), self.path.name)[:200]
                raise AmeliError(f"Cannot read {self.path}: {reason}.") from None


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        message = "Parquet files are read by duckdb, which is not installed."
        raise MissingPackageError("duckdb", "parquet", message) from error
    return duckdb
