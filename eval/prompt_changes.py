"""How the prompts of two runs differ: templates by what they are for, from the sources that runs keep."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from ameli_llm.attributes import EXTRACTORS
from ameli_llm.comparison import COMPARATORS
from ameli_llm.runs import RunFolder

_TEMPLATE = "template"


def prompt_changes(a: RunFolder, b: RunFolder) -> dict[str, str]:
    """By part ("extraction", "comparison by listwise"), a unified diff of the templates of A and B.

    A part whose template is the same in both, or that only one of them has, is not among them. Where a run
    kept no sources, the text says so. Raises AmeliError for a damaged
    run folder.
    """
    spec_a, spec_b = _spec(a), _spec(b)
    parts_a, parts_b = parts(spec_a), parts(spec_b)
    identities_a, identities_b = spec_a.get("templates") or {}, spec_b.get("templates") or {}
    changes = {}
    for part in parts_a:
        old, new = parts_a[part], parts_b.get(part)
        if new is None or identities_a.get(old) == identities_b.get(new):
            continue
        changes[part] = _diff(a.templates().get(old), b.templates().get(new), old, new)
    return changes


def parts(spec: Mapping[str, Any]) -> dict[str, str]:
    """What a run's templates are for: part to name, of the parts that ask a model."""
    config = spec.get("config") or {}
    attributes, comparison = config.get("attributes") or {}, config.get("comparison") or {}
    found = {}
    for name in attributes.get("extractors") or ():
        if name in EXTRACTORS.names() and _TEMPLATE in EXTRACTORS.needs(name):
            found["extraction"] = str(attributes.get("template") or "")
    for name in comparison.get("comparators") or ():
        if name in COMPARATORS.names() and _TEMPLATE in COMPARATORS.needs(name):
            found[f"comparison by {name}"] = str(comparison.get("template") or f"compare/{name}")
    return found


def _spec(run: RunFolder) -> Mapping[str, Any]:
    spec = run.manifest().get("spec")
    return spec if isinstance(spec, Mapping) else {}


def _diff(old: object, new: object, name_a: str, name_b: str) -> str:
    files_a, files_b = _files(old), _files(new)
    if not (files_a and files_b):
        return f"{name_a} and {name_b} differ; a run that keeps no sources does not say how.\n"
    return "".join(
        _unified(files_a.get(name, ""), files_b.get(name, ""), name)
        for name in dict.fromkeys([*files_a, *files_b])
    )


def _files(kept: object) -> dict[str, str]:
    """The template's own file under one name, whatever it is called in a run; included files by theirs."""
    if not isinstance(kept, Mapping) or not isinstance(kept.get("source"), str):
        return {}
    included = kept.get("included") or {}
    return {"template": kept["source"], **{str(name): str(text) for name, text in included.items()}}


def _unified(old: str, new: str, name: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"A {name}", f"B {name}", lineterm="", n=2
    )
    return "".join(f"{line}\n" for line in lines)
