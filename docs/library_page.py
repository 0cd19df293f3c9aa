"""The page of the library, from the docstrings of what a program meets: ``library()`` is its text."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from ameli_llm import errors, types
from ameli_llm.dataset import objects
from ameli_llm.linker import Linker

START = """\
# Library

This page is made from the docstrings by `python docs/generate.py`, and the tests run its examples in the
order in which they stand. `DATASET` is a dataset folder ([datasets](datasets.md)).

`import ameli_llm` imports nothing heavy, `from ameli_llm import Linker` what is installed without extras.
Linking needs the extra `retrieval`, and `ocr` for photos ([installation](installation.md)). From a shell,
`ameli-llm link-one` does the same ([commands](commands.md)).
"""

METHODS = (
    *("open", "link", "link_many", "alink", "alink_many", "link_batch", "check", "changed", "close"),
    "attributes",
)
VALUES = (
    *(types.Link, types.State, types.RankedCandidate, types.AttributeValue, types.Evidence, types.Verdict),
    *(types.Usage, types.Review, types.Product, types.SpecRow),
)
ERRORS = (errors.AmeliError, errors.MissingDependencyError)


def library() -> str:
    """The whole page."""
    parts = [START, "## Linker\n", _markdown(Linker)]
    parts += [f"### {name}\n\n```\n{_signature(name)}\n```\n\n{_markdown(_member(name))}" for name in METHODS]
    parts += ["### Properties\n", *_properties(Linker)]
    parts += ["## Products as dictionaries\n", _markdown(objects.read_product)]
    parts += ["## Reviews as dictionaries\n", _markdown(objects.read_review)]
    parts.append("## Values\n")
    parts += [part for value in VALUES for part in _value(value)]
    parts.append("## Errors\n")
    parts += [f"### {error.__name__}\n\n{_markdown(error)}" for error in ERRORS]
    return "\n".join(parts)


def _member(name: str) -> Callable[..., Any]:
    member: Callable[..., Any] = getattr(Linker, name)
    return member


def _signature(name: str) -> str:
    """As it is called; one argument a line when there are many."""
    signature = inspect.signature(_member(name))
    shown = [_shown(one) for one in signature.parameters.values() if one.name != "self"]
    keywords = [i for i, one in enumerate(signature.parameters.values()) if one.kind is one.KEYWORD_ONLY]
    if keywords:
        shown.insert(keywords[0], "*")
    owner = "Linker" if inspect.ismethod(_member(name)) else "linker"
    end = f" -> {signature.return_annotation}"
    line = f"{owner}.{name}({', '.join(shown)}){end}"
    return line if len(line) < 100 else f"{owner}.{name}(\n    " + ",\n    ".join(shown) + f",\n){end}"


def _shown(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return f"{parameter.name}: {parameter.annotation}"
    return f"{parameter.name}: {parameter.annotation} = {parameter.default!r}"


def _properties(owner: type) -> Iterator[str]:
    for name, member in vars(owner).items():
        if isinstance(member, property):
            yield f"- `{name}`: {' '.join(_markdown(member).split())}"
    yield ""


def _value(value: type) -> Iterator[str]:
    """A class of values: what it is, and its fields or members."""
    yield f"### {value.__name__}\n\n{_markdown(value)}"
    if issubclass(value, enum.Enum):
        yield ", ".join(f"`{member.value}`" for member in value) + "\n"
        return
    fields = ((f"`{one.name}`", f"`{one.type}`", _default(one)) for one in dataclasses.fields(value))
    rows = [
        "| field | type | default |",
        "| --- | --- | --- |",
        *(f"| {' | '.join(_cells(r))} |" for r in fields),
    ]
    yield "\n".join(rows) + "\n"
    if any(isinstance(member, property) for member in vars(value).values()):
        yield from _properties(value)


def _cells(row: tuple[str, ...]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in row]


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{field.default!r}`"
    return "`{}`" if field.default_factory is not dataclasses.MISSING else ""


def _markdown(documented: object) -> str:
    """The docstring; outside of its code blocks, names in two backticks have one."""
    text = inspect.getdoc(documented) or ""
    parts = re.split(r"(^```python\n.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else part.replace("``", "`") for part in parts) + "\n"
