"""Writes what the documentation says of the program: pages on configuration and commands, the module list.

    python docs/generate.py              writes what is out of date
    python docs/generate.py --check      only names it; exit code 1 when there is something to write

configuration.md comes from the models of ``ameli_llm.config``, commands.md from the help of the program,
library.md from the docstrings of ``ameli_llm.linker``, the module list of architecture.md from the first
lines of the modules, and the settings in baselines.md from ``eval.baselines``.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import typer
from library_page import library
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ameli_llm import cli
from ameli_llm.attributes.mjave.settings import MjaveSettings
from ameli_llm.attributes.uls_dram.settings import UlsDramSettings
from ameli_llm.config import RunConfig
from eval.baselines import v2tel, v2vel
from eval.baselines.amelink.settings import PRESETS, AmelinkSettings

ROOT = Path(__file__).resolve().parents[1]
MODULES = "modules"
AMELINK = "amelink settings"
TOWERS = "tower settings"
TAGGERS = "taggers"
FOLDERS = (
    *("ameli_llm", "ameli_llm/dataset", "ameli_llm/dataset/synth"),
    *("retrieval", "retrieval/retrievers", "retrieval/encoders", "retrieval/shared"),
    *("ameli_llm/attributes", "ameli_llm/attributes/values", "ameli_llm/attributes/matching"),
    *("ameli_llm/templates", "ameli_llm/engines", "ameli_llm/models"),
    *("ameli_llm/comparison", "ameli_llm/images", "ameli_llm/fusion", "ameli_llm/prompting"),
    *("eval", "eval/measures", "eval/official", "eval/tuning", "eval/report", "eval/table4", "eval/table5"),
    *("eval/matrix", "eval/watching", "eval/workbench"),
    *("eval/baselines", "eval/baselines/amelink", "ameli_llm/training", "ameli_llm/cli", "ameli_llm/service"),
)
"""Folders in the order in which a review passes through them; others follow."""

CONFIGURATION = """\
# Configuration

This page is made from the program by `python docs/generate.py`.

A configuration is one YAML file for `--config`. Every key has a default, so a file holds only what differs;
an unknown key or a value out of range is refused with its name. `ameli-llm tune` writes such a file, and
`link`, `tune`, `ablate`, `index`, `retrieve` and `train` read it. `run.json` in a run folder holds the whole
of it as it was used, with the parts that are chosen automatically filled in.

```yaml
engine:
  name: vllm_server
  model: my-model
fusion:
  text: 2.0
```

`link`, `tune` and `ablate` take single keys on the command line too, on top of the file: `--set KEY=VALUE`
with the dotted name and a YAML value, as often as needed. `--engine` and `--model` are short for
`engine.name` and `engine.model`.

```sh
ameli-llm link DATASET --split dev --out runs/b --set fusion.text=2 --set retrieval.prior=filter
```

A few environment variables count. `AMELI_LLM_CACHE` names the folder for indexes, OCR results, model replies
and the models of `ameli-llm models add`, otherwise the user's cache folder; all of it can be deleted while
nothing runs, and is made again.
`VLLM_API_KEY` is the key that a server of `vllm_server` asks for, if it asks for one, `OPENAI_API_KEY` that
of `openai`,
`AMELI_LLM_CHROMA_TOKEN` the token of a Chroma server, and `AMELI_LLM_TOKEN` the one that `serve` asks for.
"""

COMMANDS = """\
# Commands

This page is made from the program by `python docs/generate.py`.

Results go to stdout or to the folder that is named, progress and messages to stderr. Commands that report
take `--json` and then print one JSON object. Exit codes: 0 done; 1 a check failed, or more reviews failed
than `engine.max_error_rate` allows; 2 wrong usage, configuration or input, said in one line; 3 a run that is
unfinished was evaluated, compared or reported.
"""


def main() -> int:
    """Writes or checks the pages; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    stale = [(path, text) for path, text in pages(options.folder) if _read(path) != text]
    for path, text in stale:
        if not options.check:
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.name}: {'out of date' if options.check else 'written'}\n")
    if stale and options.check:
        sys.stdout.write("Write them with: python docs/generate.py\n")
    return 1 if stale and options.check else 0


def pages(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every page that is made, whole or in part, with the text that it should have."""
    yield folder / "configuration.md", configuration()
    yield folder / "commands.md", commands()
    yield folder / "library.md", library()
    for name, parts in (
        ("architecture.md", {MODULES: modules()}),
        ("baselines.md", {TOWERS: tower_settings(), AMELINK: amelink_settings()}),
        ("extractors.md", {TAGGERS: tagger_settings()}),
    ):
        page = _read(folder / name)
        for mark, text in parts.items():
            begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
            before, _, rest = page.partition(begin)
            page = f"{before}{begin}\n\n{text}\n{end}{rest.partition(end)[2]}"
        yield folder / name, page


def tower_settings() -> str:
    """A table of the settings of V2VEL and V2TEL in both presets; "-" where one has no such setting."""
    columns = {
        f"{name}, {preset}": asdict(module.PRESETS[preset])
        for name, module in (("V2VEL", v2vel), ("V2TEL", v2tel))
        for preset in ("paper", "official")
    }
    names = dict.fromkeys(name for values in columns.values() for name in values)
    rows = [
        (f"`{name}`", *(_plain(values[name]) if name in values else "-" for values in columns.values()))
        for name in names
    ]
    return _table(("setting", *columns), rows)


def amelink_settings() -> str:
    """A table of AMELINK's settings with the values of both presets."""
    paper, official = (PRESETS[name].model_dump() for name in ("paper", "official"))
    rows = [
        (f"`{name}`", _plain(paper[name]), _plain(official[name]), field.description or "")
        for name, field in AmelinkSettings.model_fields.items()
    ]
    return _table(("setting", "paper", "official", "meaning and source"), rows)


def tagger_settings() -> str:
    """A table of the settings of M-JAVE and ULS-DRAM; "-" where one has no such setting."""
    kinds = (MjaveSettings, UlsDramSettings)
    names = dict.fromkeys(name for kind in kinds for name in kind.model_fields)
    rows = []
    for name in names:
        fields = [kind.model_fields.get(name) for kind in kinds]
        described = " ".join(dict.fromkeys(field.description or "" for field in fields if field))
        values = [
            "-" if field is None else _plain("none" if field.default in ("", ()) else field.default)
            for field in fields
        ]
        rows.append((f"`{name}`", *values, described))
    return _table(("setting", "mjave", "uls_dram", "meaning and source"), rows)


def _plain(value: Any) -> str:
    shown = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"`{shown}`"


def configuration() -> str:
    """A table for each section of the configuration."""
    parts = [CONFIGURATION]
    for name, field in RunConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            section = field.annotation
            parts.append(f"## {name}\n\n{_first_line(section.__doc__)}\n\n{_keys(name, section)}")
    rest = {n: f for n, f in RunConfig.model_fields.items() if not isinstance(f.default, BaseModel)}
    rows = [
        (f"`{n}`", _words(f), f"`{f.default}`", f.description or "of whatever is drawn at random")
        for n, f in rest.items()
    ]
    parts.append(f"## Outside of the sections\n\n{_table(('key', 'value', 'default', 'meaning'), rows)}")
    return "\n".join(parts)


def _keys(section: str, model: type[BaseModel]) -> str:
    rows = [
        (
            f"`{section}.{name}`",
            _words(field),
            f"`{json.dumps(field.get_default(call_default_factory=True), ensure_ascii=False)}`",
            field.description or "",
        )
        for name, field in model.model_fields.items()
    ]
    return _table(("key", "value", "default", "meaning"), rows)


def _words(field: FieldInfo) -> str:
    """What may be written for a key, with its range."""
    low = high = above = None
    for limit in field.metadata:
        if isinstance(limit, annotated_types.Ge):
            low = limit.ge
        elif isinstance(limit, annotated_types.Gt):
            above = limit.gt
        elif isinstance(limit, annotated_types.Le):
            high = limit.le
    words = _shape(field.annotation)
    if low is not None and high is not None:
        return f"{words}, {low} to {high}"
    if above is not None:
        return f"{words} above {above}"
    return f"{words}, at least {low}" if low is not None else words


def _shape(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join("`null`" if part is type(None) else _shape(part) for part in arguments)
    if origin in (tuple, dict):
        return f"`{_nested(annotation)}`"
    return _nested(annotation)


def _nested(annotation: Any) -> str:
    """As YAML is written: ``[text, ...]``, ``{name: number}``."""
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple:
        return f"[{_nested(arguments[0])}, ...]"
    if get_origin(annotation) is dict:
        return f"{{name: {_nested(arguments[1])}}}"
    return {bool: "true or false", str: "text", int: "whole number", float: "number"}[annotation]


def commands() -> str:
    """A section for each command, in the order of ``--help``."""
    cli._groups()
    root: Any = typer.main.get_command(cli.app)
    parts = [COMMANDS, *(_command(name, command) for name, command in _walk("ameli-llm", root))]
    return "\n".join(parts)


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    for child, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from _walk(f"{name} {child}", each)
        else:
            yield f"{name} {child}", each


def _command(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=name)
    usage, rows = [name], []
    for parameter in command.params:
        shown, meaning = parameter.get_help_record(context)
        if parameter.param_type_name == "argument":
            shown = shown.rpartition(" ")[0]
            usage.append(shown)
        elif parameter.required:
            usage.append(shown)
        rows.append((f"`{shown.replace(' range>', '>')}`", " ".join(meaning.split())))
    text = "\n".join(line.strip() for line in (command.help or "").splitlines())
    signature = " ".join([*usage, "[OPTIONS]"])
    return (
        f"## {name}\n\n```\n{signature}\n```\n\n{text}\n\n{_table(('argument or option', 'meaning'), rows)}"
    )


def modules() -> str:
    """A table for each folder of the three packages: a module and its first line."""
    found = {
        path.parent.relative_to(ROOT).as_posix()
        for package in ("ameli_llm", "retrieval", "eval")
        for path in (ROOT / package).rglob("*.py")
    }
    order = [folder for folder in FOLDERS if folder in found]
    return "\n".join(_folder(folder) for folder in [*order, *sorted(found - set(order))])


def _folder(folder: str) -> str:
    rows = [
        (f"`{path.name}`", _first_sentence(path))
        for path in sorted((ROOT / folder).glob("*.py"))
        if path.name != "__init__.py"
    ]
    start = f"### `{folder}/`\n\n{_first_sentence(ROOT / folder / '__init__.py')}\n"
    return f"{start}\n{_table(('module', 'what it does'), rows)}" if rows else start


def _first_sentence(path: Path) -> str:
    """The first paragraph of a module's docstring in one line."""
    return _first_line(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))))


def _first_line(text: str | None) -> str:
    paragraph = (text or "").split("\n\n")[0]
    return " ".join(paragraph.split()).replace("``", "`")


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(header), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main())
