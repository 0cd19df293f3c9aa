"""What a matrix is made of: a YAML file whose axes are templates, models and settings, and its cells."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from ameli_llm.config import MAX_BYTES, RunConfig, load_config, override, parse_yaml
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.files import read_bounded
from ameli_llm.resolution import resolve
from ameli_llm.templates.front import suggest

MOST_CELLS = 100
"""Cells of the largest matrix."""

JOINT = "+"
"""Between the names that make up the name of a cell."""

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
"""A name on an axis: part of a folder's name."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Templates(_Part):
    """Templates by role, each a name or the path of a .j2 file; a role that is left out stays as it is."""

    comparison: str = ""
    attributes: str = ""

    def settings(self) -> list[str]:
        """As ``KEY=VALUE`` settings."""
        roles = {"comparison.template": self.comparison, "attributes.template": self.attributes}
        return [f"{key}={json.dumps(name)}" for key, name in roles.items() if name]


class Model(_Part):
    """A model and what serves it; what is left out stays as it is."""

    engine: str = ""
    model: str = ""
    base_url: str = ""

    def settings(self) -> list[str]:
        """As ``KEY=VALUE`` settings."""
        parts = {"name": self.engine, "model": self.model, "base_url": self.base_url}
        return [f"engine.{key}={json.dumps(value)}" for key, value in parts.items() if value]


class Plan(_Part):
    """A matrix as its file says; paths are relative to where the command is typed.

    A cell is one entry of each axis that there is. ``sample`` None takes the whole split. ``baseline`` names
    the cell that the others are compared with, "" the first.
    """

    dataset: Path
    split: str = "dev"
    sample: int | None = Field(None, ge=1)
    seed: int = 0
    config: Path | None = None
    prompts: Path | None = None
    templates: dict[Name, Templates] = Field(default_factory=dict)
    models: dict[Name, Model] = Field(default_factory=dict)
    settings: dict[Name, tuple[str, ...]] = Field(default_factory=dict)
    baseline: str = ""

    def cells(self) -> dict[str, RunConfig]:
        """The resolved configuration of each cell by name: models, in each templates, in each settings.

        Raises AmeliError for a file without an axis, for too many cells, and for a setting that there is not.
        """
        base = load_config(self.config)
        axes = self._axes()
        found: dict[str, RunConfig] = {}
        for entries in itertools.islice(itertools.product(*(axis.items() for axis in axes)), MOST_CELLS + 1):
            name = JOINT.join(part for part, _ in entries)
            try:
                settings = [setting for _, some in entries for setting in some]
                found[name] = resolve(override(base, settings))
            except AmeliError as error:
                raise AmeliError(f"Cell {name!r}: {error.message}", hint=error.hint) from error
        if not axes or len(found) > MOST_CELLS:
            count = f"more than {MOST_CELLS} cells" if axes else "no axis"
            raise AmeliError(
                f"The matrix has {count}.", hint="Its axes are models, templates and settings: name entries."
            )
        return found

    def _axes(self) -> list[dict[str, list[str]]]:
        """The settings of each entry by name, for each axis that there is."""
        models = {name: one.settings() for name, one in self.models.items()}
        templates = {name: one.settings() for name, one in self.templates.items()}
        settings = {name: list(one) for name, one in self.settings.items()}
        return [axis for axis in (models, templates, settings) if axis]

    def chosen_baseline(self, cells: Mapping[str, RunConfig]) -> str:
        """The name of the baseline. Raises UnknownNameError when it is none of ``cells``."""
        if self.baseline and self.baseline not in cells:
            raise UnknownNameError("cell", self.baseline, cells)
        return self.baseline or next(iter(cells))


def read_plan(path: Path) -> Plan:
    """The plan in a YAML file. Raises AmeliError that names the file, the key and what was expected."""
    content = parse_yaml(read_bounded(path, MAX_BYTES), f"{path} is not YAML")
    try:
        return Plan.model_validate({} if content is None else content)
    except ValidationError as error:
        raise _explained(path, error.errors()) from error


def _explained(path: Path, errors: list[ErrorDetails]) -> AmeliError:
    """An unknown key first: what is missing may be what it is a misspelling of."""
    first = min(errors, key=lambda one: one["type"] != "extra_forbidden")
    where = ".".join(map(_short, first["loc"]))
    if first["type"] == "extra_forbidden":
        hint = suggest(_short(first["loc"][-1]), _fields(first["loc"]).model_fields)
        return AmeliError(f"{path}: unknown key {where!r}.", hint=hint)
    if first["type"] == "missing":
        return AmeliError(f"{path}: lacks {where!r}.", hint="docs/matrix.md shows a file with every key.")
    if first["type"] == "string_pattern_mismatch":
        return AmeliError(
            f"{path}: {where}: this is no name for an entry.",
            hint="Take 1 to 40 letters, digits, dots, dashes and underscores.",
        )
    return AmeliError(
        f"{path}: {where or 'top level'}: {first['msg']}.", hint="docs/matrix.md shows a file with every key."
    )


def _fields(place: tuple[int | str, ...]) -> type[BaseModel]:
    """What may stand where an unknown key was found."""
    sections: dict[Any, type[BaseModel]] = {"templates": Templates, "models": Model}
    return sections.get(place[0], Plan) if len(place) > 1 else Plan


def _short(part: object, most: int = 60) -> str:
    text = str(part)
    return text if len(text) <= most else text[: most - 3] + "..."
