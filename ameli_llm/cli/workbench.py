"""``ameli-llm workbench``: a page of this machine on which templates are edited and tried."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from ameli_llm.cli.options import (
    ConfigOption,
    DatasetArgument,
    EngineOption,
    IndexOption,
    ModelOption,
    PromptsOption,
    SettingsOption,
    complete_split,
)
from ameli_llm.cli.terminal import progress, say
from ameli_llm.interruption import Interrupted


def register(app: typer.Typer) -> None:
    """Adds ``workbench`` to the app."""
    app.command("workbench")(workbench)


def workbench(
    dataset: DatasetArgument,
    split: Annotated[
        str, typer.Option("--split", help="train, dev or test.", autocompletion=complete_split)
    ] = "dev",
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the runs over the sample.")
    ] = Path("workbench-runs"),
    sample: Annotated[int, typer.Option("--sample", metavar="N", min=1, help="Reviews of the sample.")] = 100,
    seed: Annotated[int, typer.Option("--seed", help="Which N reviews.")] = 0,
    config: ConfigOption = None,
    engine: EngineOption = "",
    model: ModelOption = "",
    index: IndexOption = None,
    prompts: PromptsOption = None,
    settings: SettingsOption = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the page; 0: any.")] = 8421,
    browse: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Edit and try templates on a local page.

    Pick or paste a review, edit a template with live lint and prompt, run it on the review and on a sample,
    and save it. Only this machine can reach the page, with the address that is printed. Ctrl-C ends.
    """
    from ameli_llm.config import chosen, load_config
    from ameli_llm.dataset.load import load_dataset
    from eval.workbench.session import serve_workbench

    def ready(address: str) -> None:
        say(f"workbench: {address}")
        say("Ctrl-C ends it", err=True)
        if browse:
            typer.launch(address)

    resolved = chosen(load_config(config), engine, model, settings or ())
    try:
        with progress("") as show:
            serve_workbench(
                load_dataset(dataset),
                split,
                resolved,
                out,
                port=port,
                ready=ready,
                sample=(sample, seed),
                index=index,
                prompts=prompts,
                progress=show,
            )
    except Interrupted as stop:
        if stop.number != signal.SIGINT:
            raise
