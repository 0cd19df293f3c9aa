"""``ameli-llm train NAME`` for every trained baseline that has no command of its own, found by name."""

from __future__ import annotations

import inspect
from collections.abc import MutableMapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ameli_llm.cli.options import (
    ConfigOption,
    DatasetArgument,
    ImageEncoderOption,
    IndexOption,
    JsonOption,
)
from ameli_llm.cli.terminal import progress
from ameli_llm.cli.training import CandidatesOption, show_training
from ameli_llm.interruption import GOES_ON

if TYPE_CHECKING:
    from eval.baselines.declared import Declared
    from eval.baselines.options import Offered


class TrainedBaselines(TyperGroup):
    """The commands that were registered, and one for each other baseline that is trained.

    They are looked for when the first command is asked for, not with every start of the program.
    """

    _looked: bool
    _commands: MutableMapping[str, Any]

    @property
    def commands(self) -> MutableMapping[str, Any]:
        """All commands, by name."""
        if not self._looked:
            self._looked = True
            self._commands.update(_found(self._commands))
        return self._commands

    @commands.setter
    def commands(self, commands: MutableMapping[str, Any]) -> None:
        self._commands = commands
        self._looked = False


def _found(there: MutableMapping[str, Any]) -> dict[str, Any]:
    from eval.baselines.declared import declared

    return {one.name: _command(one) for one in declared() if one.trained and one.name not in there}


def _command(baseline: Declared) -> Any:
    """The command that trains a baseline, with an option for each setting that it offers one for."""
    from eval.baselines.declared import Wanted
    from eval.baselines.options import options

    @wraps(_train)
    def command(**given: Any) -> None:
        _train(baseline, **given)

    whole = inspect.signature(_train, eval_str=True)
    shared = [one for one in whole.parameters.values() if one.name not in ("baseline", "settings")]
    offered = options(baseline.settings(Wanted()))
    own = [_parameter(name, one) for name, one in offered.items()]
    command.__signature__ = whole.replace(parameters=[*shared, *own])  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False)
    app.command(baseline.name, help=f"Train {inspect.cleandoc(baseline.about)}")(command)
    return typer.main.get_command(app)


def _parameter(name: str, offered: Offered) -> inspect.Parameter:
    """The option of a setting; not given, it is None and the setting's own value stays."""
    default = str(offered.defaults[0]) if len(offered.defaults) == 1 else False
    flag = offered.kind is bool
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=offered.option.help,
        min=offered.option.least,
        show_default=False if flag else default,
    )
    kind: Any = Annotated[offered.kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _train(
    baseline: Any,
    *,
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the weights.")],
    train_split: Annotated[str, typer.Option("--train-split", help="Split to train on.")] = "train",
    config: ConfigOption = None,
    index: IndexOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and order.")] = 0,
    candidates: CandidatesOption = None,
    image_encoder: ImageEncoderOption = "",
    as_json: JsonOption = False,
    **settings: Any,
) -> None:
    from ameli_llm.config import load_config
    from ameli_llm.dataset.load import load_dataset
    from eval.baselines.course import open_course
    from eval.baselines.declared import Wanted
    from eval.baselines.options import changed

    run = load_config(config)
    preset = baseline.settings(Wanted(candidates=run.retrieval.candidates))
    assert preset is not None, "only trained baselines have a command"
    chosen = changed(preset, settings)
    data = load_dataset(dataset)
    with (
        progress(GOES_ON) as show,
        open_course(data, train_split, run, index, seed, out, show, candidates, image_encoder) as course,
    ):
        trained = baseline.train(course, out, chosen, (), seed, show)
    show_training(trained, as_json)
