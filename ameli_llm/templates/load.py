"""Templates by name (``extract/json``) or by path (``my/prompt.j2``), parsed, checked and identified."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from jinja2 import FunctionLoader
from jinja2 import Template as CompiledTemplate
from jinja2.nodes import Block

from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.templates.front import FrontMatter, Method, parse_front_matter
from ameli_llm.templates.sandbox import (
    PromptEnvironment,
    check_blocks,
    check_nodes,
    check_variables,
    includes,
    parse,
)

SUFFIX = ".j2"
SHARED = "shared"
"""Folder of the files that templates include; they are no templates themselves."""

MAX_BYTES = 64 * 1024
_FRONT = re.compile(r"\A---[ \t]*\n(.*?\n)---[ \t]*\n", re.DOTALL)


@dataclass(frozen=True)
class Template:
    """A checked template.

    ``identity`` is the sha256 of the source, of every included file, and of the front matter with its
    defaults filled in (schema, choices, sampling, limits): two templates with one identity ask the same.
    """

    name: str
    path: Path
    source: str
    front: FrontMatter
    used: frozenset[str]
    included: tuple[str, ...]
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
    if name.endswith(SUFFIX):
        path = Path(name)
        if not path.is_file():
            raise AmeliError(
                f"No template file {name}.", hint="Give a path to a .j2 file or a template's name."
            )
        return _load(name, path, _roots(folder))
    if name not in template_names(folder):
        raise UnknownNameError("template", name, template_names(folder))
    roots = _roots(folder)
    path = next(p for p in (root / f"{name}{SUFFIX}" for root in roots) if p.is_file())
    return _load(name, path, roots)


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
    where = path.as_posix() if name.endswith(SUFFIX) else name
    text = _read(path, where)
    match = _FRONT.match(text)
    if match is None:
        raise AmeliError(
            f"Template {where}: no front matter.",
            hint="It starts with a line ---, YAML, and a line ---; see ameli-llm prompts show extract/json.",
        )
    front = parse_front_matter(match.group(1), where)
    # Blank lines in place of the front matter keep the line numbers of messages right.
    source = "\n" * match.group(0).count("\n") + text[match.end() :]
    files: dict[str, str] = {}
    environment = PromptEnvironment(FunctionLoader(files.get))
    tree = parse(environment, source, where)
    check_nodes(tree, where)
    blocks = ("user",) if front.method == "completion" else ("system", "user")
    check_blocks(tree, where, blocks)
    used = check_variables(tree, where, front.names)
    for include in includes(tree):
        used |= _collect(environment, include, where, roots, front, files, ())
    for variable in front.placeholders.required:
        if variable not in used:
            raise AmeliError(f"Template {where}: required variable {variable!r} is never used.")
    return Template(
        name=name,
        path=path,
        source=text,
        front=front,
        used=used,
        included=tuple(sorted(files)),
        identity=_identity(text, files, front),
        compiled=environment.from_string(source),
    )


def _collect(
    environment: PromptEnvironment,
    name: str,
    parent: str,
    roots: list[Path],
    front: FrontMatter,
    files: dict[str, str],
    stack: tuple[str, ...],
) -> frozenset[str]:
    """Checks an included file and what it includes, adds them to ``files``, gives the variables used."""
    if name in stack:
        raise AmeliError(f"Template {parent}: {name} includes itself.")
    path = _included_path(name, parent, roots)
    files[name] = _read(path, name)
    tree = parse(environment, files[name], name)
    check_nodes(tree, name)
    if tree.find(Block) is not None:
        raise AmeliError(f"Template {name}: an included file has no blocks.")
    used = check_variables(tree, name, front.names)
    for include in includes(tree):
        used |= _collect(environment, include, name, roots, front, files, (*stack, name))
    return used


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


def _read(path: Path, where: str) -> str:
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
