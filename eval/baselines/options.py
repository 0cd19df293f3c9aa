"""Settings of a baseline that ``ameli-llm train`` has an option for, and settings changed by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

Changed = TypeVar("Changed")


@dataclass(frozen=True)
class Option:
    """Marks a field of a baseline's settings (``Annotated``) as an option of train: help, least value."""

    help: str
    least: float | None = None


@dataclass
class Offered:
    """A setting with an option: its type, and its defaults, of which parts may have different ones."""

    kind: Any
    option: Option
    defaults: list[Any] = field(default_factory=list)


def options(settings: Any) -> dict[str, Offered]:
    """The settings that have an option, by name; settings within settings are parts, whose names are one."""
    found: dict[str, Offered] = {}
    for name, kind, option, value in _marked(settings):
        offered = found.setdefault(name, Offered(kind, option))
        if value not in offered.defaults:
            offered.defaults.append(value)
    return found


def changed(settings: Changed, values: Mapping[str, Any]) -> Changed:
    """The settings with these values, by name, in each part that has the name; None changes nothing."""
    new: dict[str, Any] = {}
    for one in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, one.name)
        if is_dataclass(value):
            new[one.name] = changed(value, values)
        elif values.get(one.name) is not None:
            new[one.name] = values[one.name]
    return replace(settings, **new)  # type: ignore[type-var]


def _marked(settings: Any) -> Iterator[tuple[str, Any, Option, Any]]:
    hints = get_type_hints(type(settings), include_extras=True)
    for one in fields(settings):
        value, hint = getattr(settings, one.name), hints[one.name]
        if is_dataclass(value):
            yield from _marked(value)
        elif get_origin(hint) is Annotated:
            kind, *marks = get_args(hint)
            yield from ((one.name, kind, mark, value) for mark in marks if isinstance(mark, Option))
