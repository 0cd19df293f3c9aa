"""Drops or mends raw reviews and products (paper, section 3.2). One file of this package is one rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ameli_llm.dataset.construction.rules.rule import Rule, Stage
from ameli_llm.errors import UnknownNameError
from ameli_llm.files import first_error
from ameli_llm.registry import Registry

RULES = Registry("rule", "ameli_llm.dataset.construction.rules", helpers=("rule",))


def default_rules() -> dict[str, Any]:
    """The settings of every rule as they are without a word."""
    return resolved_rules({})


def resolved_rules(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of every rule, in the order of their work: those asked for on top of its own; false: off.

    Raises UnknownNameError for a rule that is not there, ValueError for a wrong setting.
    """
    for name in asked:
        if name not in RULES.names():
            raise ValueError(str(UnknownNameError("rule", name, RULES.names())))
    found: dict[str, Any] = {}
    for name in _ordered():
        value = asked.get(name, {})
        if value is False or value is None:
            found[name] = False
        elif value is True or isinstance(value, dict):
            model: type[BaseModel] = RULES.module(name).Settings
            try:
                found[name] = model.model_validate({} if value is True else value).model_dump(mode="json")
            except ValidationError as error:
                raise ValueError(f"rules.{name}.{first_error(error)}") from None
        else:
            raise ValueError(f"the rule {name} has settings of its own, or is false")
    return found


def make_rules(settings: Mapping[str, Any], offered: Mapping[str, Callable[[], Any]]) -> dict[str, Rule]:
    """The rules that have something to do, in their order, each made of what it takes of ``offered``."""
    made: dict[str, Rule] = {}
    for name in _ordered():
        if isinstance(settings.get(name), dict):
            own = RULES.module(name).Settings.model_validate(settings[name])
            rule = RULES.make(name, {**offered, "settings": partial(_same, own)})
            made |= {} if rule.idle else {name: rule}
    return made


def _same(value: BaseModel) -> BaseModel:
    return value


def _ordered() -> list[str]:
    """Rules that read words before those that open pictures, then as the paper counts them."""
    stages = get_args(Stage)
    modules = {name: RULES.module(name) for name in RULES.names()}
    return sorted(modules, key=lambda name: (stages.index(modules[name].STAGE), modules[name].NUMBER, name))
