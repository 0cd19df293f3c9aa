"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def complete_split() -> list[str]:
    """The names that a split has in a dataset folder."""
    return ["train", "dev", "test"]


def complete_engine() -> list[str]:
    """The engines by name, and none."""
    from ameli_llm.engines import ENGINES

    return [*ENGINES.names(), "none"]


def complete_model() -> list[str]:
    """The known instruction models by name."""
    from ameli_llm.models import KNOWN, serve_line

    return [model.name for model in KNOWN if serve_line(model.name)]


def complete_template(ctx: typer.Context) -> list[str]:
    """The names of the templates, those of --prompts among them."""
    from ameli_llm.templates.load import template_names

    folder = ctx.params.get("prompts")
    return template_names(Path(folder) if folder and Path(folder).is_dir() else None)


DatasetArgument = Annotated[Path, typer.Argument(metavar="DATASET", help="Dataset folder.")]
SplitOption = Annotated[
    str, typer.Option("--split", help="train, dev or test.", autocompletion=complete_split)
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration, as tune writes it.")
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        help="vllm_server, openai, vllm, transformers, or none.",
        autocompletion=complete_engine,
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model", help="Known model (models list), hub name or folder.", autocompletion=complete_model
    ),
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N reviews.")]
IndexOption = Annotated[
    Path | None,
    typer.Option("--index", metavar="DIR", help="Index folder; otherwise one in the user's cache."),
]
ImageEncoderOption = Annotated[
    str,
    typer.Option(
        "--image-encoder",
        metavar="NAME",
        help="One of the configuration's image encoders; otherwise the first.",
    ),
]
PromptsOption = Annotated[
    Path | None,
    typer.Option("--prompts", metavar="DIR", help="Folder of own templates; they go first."),
]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; repeatable.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
