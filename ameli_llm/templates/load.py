"""Templates by name (``extract/json``) or by path (``my/prompt.j2``), parsed, checked and identified."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from jinja2 import FunctionLoader
from jinja2 import Template as CompiledTemplate
from jinja2.nodes import Block
from jinja2.nodes import Template as Tree

from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.templates.front import LIKELIHOOD, FrontMatter, Method, read_front_matter
from ameli_llm.templates.sandbox import (
    PromptEnvironment,
    block_problems,
    includes,
    node_problems,
    parse,
    variable_problems,
    variables,
)

SUFFIX = ".j2"
SHARED = "shared"
"""Folder of the files that templates include; they are no templates themselves."""

MAX_BYTES = 64 * 1024
MAX_INCLUSIONS = 100
"""Files that a template may include in all, one that is included twice counted twice."""

_FRONT = re.compile(r"\A---[ \t]*\n(.*?\n)---[ \t]*\n", re.DOTALL)


@dataclass(frozen=True)
class Template:
    """A checked template.

    ``identity`` is the sha256 of the source, of every included file, and of the front matter with its
    defaults filled in (schema, choices, sampling, limits): two templates with one identity ask the same.
    ``included`` maps the names of included files to their source.
    """

    name: str
    path: Path
    source: str
    front: FrontMatter
    used: frozenset[str]
    included: Mapping[str, str]
    identity: str
    compiled: CompiledTemplate = field(repr=False, compare=False)

    @property
    def short_identity(self) -> str:
        """The first twelve digits of the identity, for tables."""
        return self.identity[:12]


def prompts_folder() -> Path:
    """The packaged templates: inside the installed package, or ``prompts/`` of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_prompts"
    return installed if installed.is_dir() else package.parent / "prompts"


def template_names(folder: Path | None = None) -> list[str]:
    """Names of all templates, packaged ones and those of ``folder``, in alphabetical order."""
    names = set()
    for root in _roots(folder):
        for path in root.rglob(f"*{SUFFIX}"):
            name = path.relative_to(root).with_suffix("").as_posix()
            if not name.startswith(f"{SHARED}/"):
                names.add(name)
    return sorted(names)


def load_template(name: str, folder: Path | None = None) -> Template:
    """The template called ``name``: from ``folder`` if it is there, else packaged; or the file ``name``.j2.

    A name that ends in ``.j2`` is a path. Raises UnknownNameError, and AmeliError with file and line for
    whatever is wrong in the file or in what it includes.
    """
    return _load(name, template_path(name, folder), _roots(folder))


def template_path(name: str, folder: Path | None = None) -> Path:
    """The file of a template, by name or path as ``load_template`` takes it; nothing in it is looked at."""
    if name.endswith(SUFFIX):
        if not Path(name).is_file():
            raise AmeliError(
                f"No template file {name}.", hint="Give a path to a .j2 file or a template's name."
            )
        return Path(name)
    if name not in template_names(folder):
        raise UnknownNameError("template", name, template_names(folder))
    return next(path for root in _roots(folder) if (path := root / f"{name}{SUFFIX}").is_file())


def template_problems(name: str, folder: Path | None = None) -> list[AmeliError]:
    """Everything that ``load_template`` would refuse, as far as it can be seen at once; none: it loads."""
    try:
        return _examine(name, template_path(name, folder), _roots(folder))[1]
    except AmeliError as error:
        return [error]


def require_method(template: Template, method: Method) -> Template:
    """``template`` itself. Raises AmeliError when it was written for another method."""
    if template.front.method != method:
        raise AmeliError(
            f"Template {template.name!r} is for {template.front.method}, not for {method}.",
            hint="ameli-llm prompts list shows what each template is for.",
        )
    return template


def _roots(folder: Path | None) -> list[Path]:
    if folder is None:
        return [prompts_folder()]
    if not folder.is_dir():
        raise AmeliError(f"No prompt folder {folder}.", hint="It holds files such as extract/mine.j2.")
    return [folder, prompts_folder()]


def _load(name: str, path: Path, roots: list[Path]) -> Template:
    template, problems = _examine(name, path, roots)
    if template is None or problems:
        raise problems[0]
    return template


def _examine(name: str, path: Path, roots: list[Path]) -> tuple[Template | None, list[AmeliError]]:
    where = path.as_posix() if name.endswith(SUFFIX) else name
    text = read_source(path, where)
    match = _FRONT.match(text)
    if match is None:
        hint = "It starts with a line ---, YAML, and a line ---; see ameli-llm prompts show extract/json."
        raise AmeliError(f"Template {where}: no front matter.", hint=hint)
    front, problems = read_front_matter(match.group(1), where)
    # Blank lines in place of the front matter keep the line numbers of messages right.
    source = "\n" * match.group(0).count("\n") + text[match.end() :]
    reading = _Reading(roots, front.names if front else None)
    tree = parse(reading.environment, source, where)
    problems += node_problems(tree, where)
    problems += block_problems(tree, where, *_blocks(front))
    used = reading.variables(tree, where, ())
    problems += reading.problems
    if front is None:
        return None, problems
    if reading.whole:
        problems += [
            AmeliError(f"Template {where}: required variable {variable!r} is never used.")
            for variable in front.placeholders.required
            if variable not in used
        ]
    if problems:
        return None, problems
    template = Template(
        name=name,
        path=path,
        source=text,
        front=front,
        used=used,
        included=dict(sorted(reading.files.items())),
        identity=_identity(text, reading.files, front),
        compiled=reading.environment.from_string(source),
    )
    return template, []


def _blocks(front: FrontMatter | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The blocks that a template must have, and those that it may have beside them."""
    if front is not None and front.method == LIKELIHOOD:
        return ("user", "assistant"), ("system",)
    if front is not None and front.method == "completion":
        return ("user",), ("system",)
    return ("system", "user"), ()


class _Reading:
    """Reads the files that a template includes, and keeps what is wrong with them.

    ``allowed`` are the variables that the template may use, None when that is not known. ``whole`` says
    whether every included file could be read.
    """

    def __init__(self, roots: list[Path], allowed: frozenset[str] | None) -> None:
        self.files: dict[str, str] = {}
        self.environment = PromptEnvironment(FunctionLoader(self.files.get))
        self.problems: list[AmeliError] = []
        self.whole = True
        self._roots = roots
        self._allowed = allowed
        self._inclusions = 0

    def variables(self, tree: Tree, where: str, stack: tuple[str, ...]) -> frozenset[str]:
        """The variables that ``tree`` uses, and those of what it includes."""
        used = variables(tree, where)
        if self._allowed is not None:
            self.problems += variable_problems(tree, where, self._allowed)
        for name in includes(tree):
            try:
                used |= self._included(name, where, stack)
            except AmeliError as error:
                self.whole = False
                self.problems.append(error)
        return used

    def _included(self, name: str, parent: str, stack: tuple[str, ...]) -> frozenset[str]:
        if name in stack:
            raise AmeliError(f"Template {parent}: {name} includes itself.")
        self._inclusions += 1
        if self._inclusions > MAX_INCLUSIONS:
            raise AmeliError(f"Template {parent}: more than {MAX_INCLUSIONS} inclusions.")
        path = _included_path(name, parent, self._roots)
        known = name in self.files
        text = self.files.setdefault(name, read_source(path, name))
        tree = parse(self.environment, text, name)
        if not known:
            self.problems += node_problems(tree, name)
            if tree.find(Block) is not None:
                self.problems.append(AmeliError(f"Template {name}: an included file has no blocks."))
        return self.variables(tree, name, (*stack, name))


def _included_path(name: str, parent: str, roots: list[Path]) -> Path:
    parts = PurePosixPath(name).parts
    if not name.endswith(SUFFIX) or name.startswith("/") or "\\" in name or ".." in parts or ":" in name:
        raise AmeliError(
            f"Template {parent}: cannot include {name!r}.",
            hint="An include is a .j2 file below the prompt folder, such as shared/review.j2.",
        )
    for root in roots:
        path = root / name
        if path.is_file() and path.resolve().is_relative_to(root.resolve()):
            return path
    raise AmeliError(f"Template {parent}: included file {name!r} is not in the prompt folder.")


def read_source(path: Path, where: str) -> str:
    """The text of a template's file, unchecked. Raises AmeliError, which says ``where``, when it has none."""
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise AmeliError(f"Template {where}: {len(content)} bytes; a template has at most {MAX_BYTES}.")
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise AmeliError(f"Cannot read template {where}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise AmeliError(f"Template {where} is not UTF-8 text.") from error


def _identity(source: str, files: dict[str, str], front: FrontMatter) -> str:
    parts = [source, sorted(files.items()), front.model_dump(mode="json")]
    content = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()
