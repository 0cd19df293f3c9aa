"""``ameli-llm train``: models and adapters that are trained on a dataset."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Adds the group ``train`` to the app."""
    from ameli_llm.cli.train import amelink, clip_adapter, llm, sbert, taggers
    from ameli_llm.cli.train.baselines import TrainedBaselines

    group = typer.Typer(help="Train a baseline or adapter.", no_args_is_help=True, cls=TrainedBaselines)
    group.callback()(_train)
    for command in (amelink, clip_adapter, llm, sbert, taggers):
        command.register(group)
    app.add_typer(group, name="train")


def _train() -> None:
    """Train a baseline or adapter."""
