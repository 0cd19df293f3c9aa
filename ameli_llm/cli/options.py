"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DatasetArgument = Annotated[Path, typer.Argument(metavar="DATASET", help="Dataset folder.")]
SplitOption = Annotated[str, typer.Option("--split", help="train, dev or test.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration, as tune writes it.")
]
EngineOption = Annotated[str, typer.Option("--engine", help="vllm_server, vllm, transformers, or none.")]
ModelOption = Annotated[str, typer.Option("--model", help="Model of the engine.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N reviews.")]
IndexOption = Annotated[
    Path | None,
    typer.Option("--index", metavar="DIR", help="Index folder; otherwise one in the user's cache."),
]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; repeatable.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
