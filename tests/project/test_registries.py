"""The contract of every registry: one file is one entry, found by name and importable without its extra."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from ameli_llm.doctor import examine
from ameli_llm.machine import inspect_machine
from ameli_llm.registry import Registry

ROOT = Path(__file__).parents[2]


def registries() -> list[Registry]:
    """Every registry that the ``__init__`` of a package defines."""
    found = []
    for package in ("ameli_llm", "retrieval", "eval"):
        for path in sorted((ROOT / package).rglob("__init__.py")):
            module = importlib.import_module(".".join(path.parent.relative_to(ROOT).parts))
            found += [value for value in vars(module).values() if isinstance(value, Registry)]
    return list(dict.fromkeys(found))


ENTRIES = [(registry, name) for registry in registries() for name in registry.names()]


def test_the_registries_of_the_pipeline_are_there() -> None:
    kinds = {registry.kind for registry in registries()}
    assert kinds >= {"engine", "encoder", "retriever", "extractor", "comparator"}


@pytest.mark.parametrize(
    ("registry", "name"), ENTRIES, ids=[f"{r.kind}-{name}-{r.entry}" for r, name in ENTRIES]
)
def test_entry(registry: Registry, name: str) -> None:
    function = registry.load(name)
    assert callable(function)
    module = importlib.import_module(f"{registry.package}.{name}")
    assert getattr(module, registry.entry) is function
    assert inspect.getdoc(function), "an entry says what it makes"


@pytest.mark.parametrize(("kind", "section"), [("engine", "engines"), ("encoder", "encoders")])
def test_doctor_knows_every_entry(kind: str, section: str) -> None:
    names = {name for registry, name in ENTRIES if registry.kind == kind}
    assert names <= {finding.name for finding in examine(inspect_machine()) if finding.section == section}
