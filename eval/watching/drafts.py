"""A version of a template that is being written: its text, whether or not it stands in a file yet."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jinja2 import DictLoader

from ameli_llm.errors import AmeliError
from ameli_llm.prompting.lint import Finding, lint
from ameli_llm.templates.load import (
    MAX_BYTES,
    SHARED,
    SUFFIX,
    Template,
    load_template,
    read_source,
    template_path,
)
from ameli_llm.templates.sandbox import PromptEnvironment

_FENCE = re.compile(r"^---[ \t]*\n", re.MULTILINE)


@dataclass(frozen=True)
class Draft:
    """The text of a template and the name that it goes by, such as compare/mine."""

    name: str
    source: str


def read_draft(template: str, prompts: Path | None = None) -> Draft:
    """The draft in a template's file, whatever is in it; ``template`` is a name, or the path of a .j2 file.

    A path outside the folder ``prompts`` gives the name of its file. Raises AmeliError when there is no file.
    """
    path = template_path(template, prompts)
    name = template
    if template.endswith(SUFFIX):
        inside = prompts is not None and path.resolve().is_relative_to(prompts.resolve())
        name = path.resolve().relative_to(prompts.resolve()).as_posix() if inside and prompts else path.name
    return Draft(name.removesuffix(SUFFIX), read_source(path, template))


@contextmanager
def laid_out(draft: Draft, prompts: Path | None = None) -> Iterator[Path]:
    """A folder of templates in which the draft stands under its name, and the others as in ``prompts``.

    It holds copies: what is saved meanwhile changes nothing in it. It is gone at the end. Raises AmeliError
    when the draft is too long or its name leads elsewhere, and when ``prompts`` cannot be read.
    """
    if not _is_name(draft.name):
        raise AmeliError(f"{draft.name[:80]!r} cannot be the name of a template.")
    text = draft.source.encode("utf-8", "replace")
    if len(text) > MAX_BYTES:
        raise AmeliError(f"Template {draft.name}: {len(text)} bytes; a template has at most {MAX_BYTES}.")
    with tempfile.TemporaryDirectory(prefix="ameli-llm-draft-") as made:
        folder = Path(made)
        for path, content in _files(prompts) if prompts else ():
            _write(folder / path, content)
        _write(folder / f"{draft.name}{SUFFIX}", text)
        yield folder


@dataclass(frozen=True)
class Examined:
    """What lint finds in a draft, and the ``identity`` of its template, "" when it is not sound."""

    findings: tuple[Finding, ...]
    identity: str

    @classmethod
    def of(cls, draft: Draft, folder: Path) -> Examined:
        """Of a draft in a folder that ``laid_out`` made."""
        findings = tuple(lint(draft.name, folder))
        sound = not any(one.code == "invalid" for one in findings)
        return cls(findings, load_template(draft.name, folder).identity if sound else "")


def examined(draft: Draft, prompts: Path | None = None) -> Examined:
    """What is known of a draft without a model. Raises AmeliError as ``laid_out`` does."""
    with laid_out(draft, prompts) as folder:
        return Examined.of(draft, folder)


def meaning(template: Template) -> str:
    """A digest of all that decides what a template asks: two that differ in comments only have the same."""
    environment = PromptEnvironment(DictLoader({}))
    parts = {"": _FENCE.split(template.source, 2)[-1], **template.included}
    tokens = {name: _tokens(environment, text) for name, text in parts.items()}
    front = template.front.model_dump(mode="json", exclude={"description"})
    return hashlib.sha256(json.dumps([tokens, front], sort_keys=True).encode()).hexdigest()


def _tokens(environment: PromptEnvironment, text: str) -> list[tuple[str, str]]:
    """What Jinja reads; text that a comment stands in is one piece, as it is without it."""
    found: list[tuple[str, str]] = []
    for _, kind, value in environment.lex(text):
        if kind == "whitespace" or "comment" in kind:
            continue
        if kind == "data" and found and found[-1][0] == "data":
            found[-1] = ("data", found[-1][1] + value)
        else:
            found.append((kind, value))
    return found


def _is_name(name: str) -> bool:
    parts = name.split("/")
    return not set(name) & set("\\\0") and not {"", ".", ".."} & set(parts) and parts[0] != SHARED


def _files(prompts: Path) -> Iterator[tuple[Path, bytes]]:
    """The templates of a folder, by their place in it; a link that leads out of it is not followed."""
    if not prompts.is_dir():
        raise AmeliError(f"No prompt folder {prompts}.", hint="It holds files such as extract/mine.j2.")
    home = prompts.resolve()
    for path in sorted(prompts.rglob(f"*{SUFFIX}")):
        if path.is_file() and path.resolve().is_relative_to(home):
            yield path.relative_to(prompts), read_source(path, path.as_posix()).encode()


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:  # a name longer than names of files may be, a full disk
        raise AmeliError(f"Cannot write {path.name[:80]}: {error.strerror}.") from error
