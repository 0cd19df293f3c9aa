"""Options of the commands that read other people's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ProductsOption = Annotated[
    list[Path] | None, typer.Option("--products", metavar="FILE", help="A file of products; repeatable.")
]
ReviewsOption = Annotated[
    list[Path] | None, typer.Option("--reviews", metavar="FILE", help="A file of reviews; repeatable.")
]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="COLUMN=FIELD", help="What a column becomes; repeatable."),
]
MappingOption = Annotated[
    Path | None,
    typer.Option(
        "--mapping", metavar="FILE", help="Mapping of columns, as data import --write-mapping has it."
    ),
]
EncodingOption = Annotated[str, typer.Option("--encoding", help="Encoding of CSV and TSV.")]
