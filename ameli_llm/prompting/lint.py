"""What is wrong with a template, found by loading it and by rendering it on invented reviews."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ameli_llm.engines.engine import ChatRequest
from ameli_llm.errors import AmeliError
from ameli_llm.prompting.example import crowded, example
from ameli_llm.prompting.preview import estimate, preview
from ameli_llm.templates.load import Template, load_template, template_problems
from ameli_llm.templates.schema import unbounded_strings


@dataclass(frozen=True)
class Finding:
    """One thing to mend: ``code`` is stable, ``message`` is for people."""

    template: str
    code: str
    message: str


def lint(name: str, folder: Path | None = None) -> list[Finding]:
    """All findings for template ``name`` that can be seen at once, none for a sound one.

    ``invalid``: it does not load or render (syntax, sandbox, unknown variable, missing block, unused required
    variable). ``unused``: an allowed variable that is never used. ``no_none``: a list of candidates
    without a choice for none of them. ``unbounded``: a reply string without a length. ``not_delimited``: the
    review does not stand between <review> and </review>, where it is neither completed nor scored.
    ``over_budget``: more estimated prompt tokens than ``limits.prompt``, on a short example or on one with 10
    candidates of 23 attributes and a long review.
    """
    problems = template_problems(name, folder)
    if problems:
        return [Finding(name, "invalid", message) for message in dict.fromkeys(map(str, problems))]
    template = load_template(name, folder)
    requests, refused = _previews(name, folder)
    found = [*refused, *_static(template), *_rendered(template, requests)]
    return [Finding(name, code, message) for code, message in dict.fromkeys(found)]


def _previews(name: str, folder: Path | None) -> tuple[list[ChatRequest], list[tuple[str, str]]]:
    """What is sent for the examples that it renders on, and what it says of the others."""
    requests: list[ChatRequest] = []
    refused: list[tuple[str, str]] = []
    for task in (example(), crowded()):
        try:
            requests += preview(name, task, folder)
        except AmeliError as error:
            refused.append(("invalid", str(error)))
    return requests, refused


def _static(template: Template) -> Iterator[tuple[str, str]]:
    for variable in template.front.placeholders.allowed:
        if variable not in template.used:
            yield "unused", f"variable {variable!r} is allowed and never used"
    if template.front.method == "listwise" and template.front.none is None:
        yield "no_none", "no choice means 'none of these'; add one to choices and name it in none"


def _rendered(template: Template, requests: list[ChatRequest]) -> Iterator[tuple[str, str]]:
    limit = template.front.limits.prompt
    largest = max((estimate(request) for request in requests), default=0)
    if largest > limit:
        yield "over_budget", f"about {largest} prompt tokens on an example; limits.prompt is {limit}"
    for request in requests:
        for path in unbounded_strings(request.schema):
            yield "unbounded", f"the reply's string {path} has no maximal length"
        text = "\n".join(message.content for message in request.messages)
        if not (request.completion or request.scored) and not (
            "<review>\n" in text and "\n</review>" in text
        ):
            yield "not_delimited", "the review does not stand between lines <review> and </review>"
