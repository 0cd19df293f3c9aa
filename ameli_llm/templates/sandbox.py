"""The Jinja subset that a template may use, checked before anything runs.

Text, placeholders, their fields, ``if``, two nested ``for``, includes from the prompt folders, and a few
filters. No calls, assignments, macros, arithmetic or string building: what is left ends in time and memory
that the input bounds, so that a hostile template is a named error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jinja2 import BaseLoader, StrictUndefined, Undefined, meta, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ameli_llm.errors import AmeliError
from ameli_llm.templates.front import suggest

MAX_NESTED_LOOPS = 2
_LOOP_FIELDS = frozenset({"index", "index0", "first", "last", "length"})
_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Block, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr,
    nodes.Getitem, nodes.For, nodes.If, nodes.Include, nodes.Filter, nodes.Test, nodes.Compare,
    nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr,
)  # fmt: skip
_WORDS: dict[type[nodes.Node], str] = {
    nodes.Call: "a call such as range(...)",
    nodes.Assign: "set",
    nodes.AssignBlock: "set",
    nodes.Macro: "macro",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
}


def _join(values: Any, separator: str = ", ") -> str:
    return str(separator).join(str(value) for value in values)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "join": _join,
    "length": len,
    "lower": str.lower,
    "upper": str.upper,
}
TESTS = ("defined", "none", "string")


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """Strict and sandboxed; a dot reads a field of a mapping or of ``loop`` and nothing else."""

    def __init__(self, loader: BaseLoader) -> None:
        super().__init__(
            loader=loader,
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self.filters = dict(FILTERS)
        self.tests = {name: self.tests[name] for name in TESTS}
        self.globals = {}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Field ``attribute`` of a mapping. Raises SecurityError for any other object's attribute."""
        if isinstance(obj, Undefined):
            return super().getattr(obj, attribute)
        if isinstance(obj, LoopContext) and attribute in _LOOP_FIELDS:
            return getattr(obj, attribute)
        if isinstance(obj, Mapping):
            if attribute in obj:
                return obj[attribute]
            raise UndefinedError(f"no field {attribute!r}. {suggest(attribute, obj)}")
        raise SecurityError(f"{attribute!r} of a {type(obj).__name__} is not available in templates")

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Item of a list or field of a mapping, both by constant. Raises like ``getattr``."""
        if isinstance(obj, list | tuple) and isinstance(argument, int):
            if -len(obj) <= argument < len(obj):
                return obj[argument]
            raise UndefinedError(f"no item {argument}; the list has {len(obj)}")
        return self.getattr(obj, str(argument))


def parse(environment: PromptEnvironment, source: str, where: str) -> nodes.Template:
    """The syntax tree of ``source``. Raises AmeliError with file and line."""
    try:
        return environment.parse(source)
    except TemplateSyntaxError as error:
        raise _unsound(error, where) from error
    except RecursionError as error:
        raise AmeliError(f"Template {where}: expressions are nested too deeply.") from error


def _unsound(error: TemplateSyntaxError, where: str) -> AmeliError:
    message = (error.message or "syntax error").rstrip(".")
    return AmeliError(f"Template {where}, line {error.lineno}: {message}.")


def node_problems(tree: nodes.Template, where: str) -> Iterator[AmeliError]:
    """Every construct outside of the allowed subset, with file and line."""
    for node, loops in _walk(tree, 0):
        if not isinstance(node, _ALLOWED):
            word = _WORDS.get(type(node), type(node).__name__.lower())
            yield _refused(where, node, f"{word} is not available in templates")
        if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
            yield _refused(where, node, f"{node.attr!r} is not available in templates")
        if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const):
            yield _refused(where, node, "an index must be a constant")
        if isinstance(node, nodes.For):
            if loops >= MAX_NESTED_LOOPS:
                yield _refused(where, node, f"more than {MAX_NESTED_LOOPS} nested loops")
            if node.recursive:
                yield _refused(where, node, "a recursive loop is not available in templates")
            if isinstance(node.iter, nodes.Const):
                yield _refused(where, node, "a loop runs over a variable or one of its fields")
        if isinstance(node, nodes.Include):
            if not isinstance(node.template, nodes.Const) or not isinstance(node.template.value, str):
                yield _refused(where, node, "include takes one file name in quotes")
            if loops or node.ignore_missing or not node.with_context:
                yield _refused(where, node, "include stands outside of loops and has no options")
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            yield _refused(where, node, f"no filter named {node.name!r}. {suggest(node.name, FILTERS)}")
        if isinstance(node, nodes.Filter) and any(not isinstance(a, nodes.Const) for a in node.args):
            yield _refused(where, node, f"the arguments of {node.name!r} must be constants")
        if isinstance(node, nodes.Test) and node.name not in TESTS:
            yield _refused(where, node, f"no test named {node.name!r}. {suggest(node.name, TESTS)}")


def _walk(node: nodes.Node, loops: int) -> Iterator[tuple[nodes.Node, int]]:
    yield node, loops
    for child in node.iter_child_nodes():
        yield from _walk(child, loops + isinstance(node, nodes.For))


def _refused(where: str, node: nodes.Node, message: str) -> AmeliError:
    return AmeliError(f"Template {where}, line {node.lineno}: {message.rstrip('.')}.")


def block_problems(
    tree: nodes.Template, where: str, required: tuple[str, ...], allowed: tuple[str, ...] = ()
) -> Iterator[AmeliError]:
    """What keeps the file from being the ``required`` blocks and ``allowed`` ones, and nothing else."""
    found = []
    names = sorted({*required, *allowed}, key=("system", "user", "assistant").index)
    blocks = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    for node in tree.body:
        if isinstance(node, nodes.Block):
            found.append(node.name)
            if node.name not in names:
                yield _refused(where, node, f"no block named {node.name!r}; blocks are {blocks}")
            if any(isinstance(inner, nodes.Block) for part in node.body for inner, _ in _walk(part, 0)):
                yield _refused(where, node, "a block inside a block")
        elif not _is_blank(node):
            yield _refused(where, node, f"text outside of the blocks {blocks}")
    for name in required:
        if name not in found:
            yield AmeliError(
                f"Template {where}: block {name!r} is missing.",
                hint=f"Write {{% block {name} %}}...{{% endblock %}}.",
            )


def _is_blank(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Output) and all(
        isinstance(part, nodes.TemplateData) and not part.data.strip() for part in node.nodes
    )


def includes(tree: nodes.Template) -> list[str]:
    """Names of the files that ``tree`` includes, in order."""
    found = (node.template for node in tree.find_all(nodes.Include))
    return [str(name.value) for name in found if isinstance(name, nodes.Const)]


def variables(tree: nodes.Template, where: str) -> frozenset[str]:
    """The variables that ``tree`` uses.

    Jinja finds them by compiling, which computes constants: a tree with something that is not allowed is only
    looked through, and a name that it sets anywhere does not count. Raises AmeliError with file and line for
    what only shows then: a block that is there twice.
    """
    if next(node_problems(tree, where), None) is None:
        try:
            return frozenset(meta.find_undeclared_variables(tree))
        except TemplateSyntaxError as error:
            raise _unsound(error, where) from error
    names = list(tree.find_all(nodes.Name))
    made = {node.name for node in names if node.ctx != "load"} | {"loop"}
    return frozenset(node.name for node in names) - made


def variable_problems(tree: nodes.Template, where: str, allowed: frozenset[str]) -> Iterator[AmeliError]:
    """Every variable that is not ``allowed``, with file and first line; what is called is no variable."""
    called = [call.node for call in tree.find_all(nodes.Call)]
    for name in sorted(variables(tree, where) - allowed):
        uses = [node for node in tree.find_all(nodes.Name) if node.name == name]
        if uses and all(any(node is call for call in called) for node in uses):
            continue
        line = f", line {min(node.lineno for node in uses)}" if uses else ""
        yield AmeliError(f"Template {where}{line}: unknown variable {name!r}.", hint=suggest(name, allowed))
