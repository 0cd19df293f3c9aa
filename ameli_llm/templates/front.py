"""The front matter of a template: what it is for, what the model may answer, how much it may cost."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from ameli_llm.errors import AmeliError

Method = Literal["json", "completion", "listwise", "pairwise", "entail", "likelihood"]

GIVEN: Mapping[Method, frozenset[str]] = {
    "json": frozenset({"review", "mention", "attributes"}),
    "completion": frozenset({"review", "mention", "key"}),
    "listwise": frozenset({"review", "mention", "stated", "keys", "candidates", "none_label"}),
    "pairwise": frozenset({"review", "mention", "stated", "keys", "first", "second"}),
    "entail": frozenset({"review", "mention", "stated", "key", "value"}),
    "likelihood": frozenset({"review", "mention", "name", "category", "attributes", "description"}),
}
"""Placeholders that the code behind each method fills."""

EXTRACT: frozenset[Method] = frozenset({"json", "completion"})
LIKELIHOOD: Method = "likelihood"
"""Nothing is answered: the block assistant is scored."""

LABELS = "labels"
"""Stands in ``choices`` for one letter per candidate."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sampling(_Part):
    """How the reply is drawn. ``max_tokens`` is what the reply may cost."""

    max_tokens: int = Field(ge=1, le=4096)
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = 0


class ReplySchema(_Part):
    """The shape of a JSON reply: each key optional.

    ``quoted``: ``{"Color": ["red", "Red"]}``, a verbatim quotation of the review and the value it proves.
    ``plain``: ``{"Color": "Red"}``, the value alone, which must then occur in the review.
    ``open``: ``{"Color": "dark red"}``, a verbatim quotation alone; the candidates' value that it states is
    found in it.
    """

    form: Literal["quoted", "plain", "open"]
    keys: int = Field(ge=1, le=64, description="attributes that one reply may name")
    quote: int = Field(40, ge=4, le=400, description="characters of a quotation")


class Limits(_Part):
    """What may go into the prompt; ``prompt`` and ``review`` are estimated tokens."""

    prompt: int = Field(650, ge=1)
    review: int = Field(280, ge=8)
    keys: int = Field(12, ge=0, description="attributes shown")
    values: int = Field(10, ge=1, description="values shown for an attribute")
    value: int = Field(40, ge=4, description="characters of a value")
    name: int = Field(60, ge=4, description="characters of a product name")

    def shrunk(self, share: float) -> Limits:
        """What of a prompt depends on the review and its candidates, down to ``share``; 0: the least.

        ``prompt`` stays: most of a short prompt is what the template itself says.
        """
        least = {"review": 8, "keys": 0, "values": 1, "value": 4, "name": 4}
        smaller = {name: max(most, int(getattr(self, name) * share)) for name, most in least.items()}
        return self.model_copy(update=smaller)


class Placeholders(_Part):
    """Variables that the template must use, and those that it may use."""

    required: list[str]
    allowed: list[str] = []


class FrontMatter(_Part):
    """Everything a template says about itself, unknown keys refused."""

    description: str = Field(min_length=1)
    task: Literal["extract", "compare"]
    method: Method
    reply: ReplySchema | None = Field(None, alias="schema")
    choices: list[str] = []
    none: str | None = Field(None, description="the choice that means: none of these")
    keys: list[str] = Field([], description="completion only: the attributes asked for, one request each")
    sampling: Sampling
    limits: Limits = Limits()
    placeholders: Placeholders

    @model_validator(mode="after")
    def _consistent(self) -> FrontMatter:
        if (self.method in EXTRACT) != (self.task == "extract"):
            raise ValueError(f"method {self.method!r} does not belong to task {self.task!r}")
        if (self.reply is not None) != (self.method == "json"):
            raise ValueError("method 'json' needs a schema, and no other method has one")
        wanted = {"listwise": LABELS in self.choices, "pairwise": len(self.choices) == 2}
        wanted["entail"] = len(self.choices) >= 2
        if not wanted.get(self.method, not self.choices):
            raise ValueError(
                f"choices do not fit method {self.method!r}: 'labels' and others for listwise, two for "
                "pairwise, those for yes, no and others for entail, none for extraction and likelihood"
            )
        if len(set(self.choices)) != len(self.choices) or "" in self.choices:
            raise ValueError("choices must be different and not empty")
        if self.method == "listwise" and any(len(c) == 1 and c.isalpha() for c in self.choices):
            raise ValueError("choices: single letters stand for candidates; take a digit for another choice")
        if self.none is not None and (self.none not in self.choices or self.none == LABELS):
            raise ValueError(f"none: {self.none!r} is not one of the choices")
        return self

    @property
    def names(self) -> frozenset[str]:
        """Every variable that the template may use."""
        return frozenset(self.placeholders.required) | frozenset(self.placeholders.allowed)


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "sampling": Sampling,
    "schema": ReplySchema,
    "limits": Limits,
    "placeholders": Placeholders,
}


def read_front_matter(text: str, where: str) -> tuple[FrontMatter | None, list[AmeliError]]:
    """The front matter, None when it cannot be used, and everything that is wrong with it.

    Errors name the file, the key and what was expected.
    """
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            message = f"Template {where}: YAML aliases (*name) are not allowed in the front matter."
            return None, [AmeliError(message)]
        content: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return None, [AmeliError(f"Template {where}{_yaml_problem(error)}")]
    if not isinstance(content, dict):
        return None, [AmeliError(f"Template {where}: front matter is not a list of 'key: value' lines.")]
    try:
        front = FrontMatter.model_validate(content)
    except ValidationError as error:
        return None, [AmeliError(f"Template {where}: {_explain(one)}") for one in _telling(error)]
    return front, list(_placeholder_problems(front, where))


def _telling(error: ValidationError) -> list[ErrorDetails]:
    """Unknown keys first, and without the missing keys of which they are misspelt."""
    unknown = [each for each in error.errors() if each["type"] == "extra_forbidden"]
    meant = {(*each["loc"][:-1], _near(str(each["loc"][-1]), _known(each))) for each in unknown}
    rest = [each for each in error.errors() if each["type"] != "extra_forbidden"]
    return [*unknown, *(e for e in rest if e["type"] != "missing" or e["loc"] not in meant)]


def _known(error: ErrorDetails) -> list[str]:
    """The keys that there are where an unknown one stands."""
    model = _SECTIONS.get(str(error["loc"][0]), FrontMatter) if len(error["loc"]) > 1 else FrontMatter
    return [field.alias or name for name, field in model.model_fields.items()]


def _explain(error: ErrorDetails) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown front-matter key {path!r}. {suggest(str(error['loc'][-1]), _known(error))}"
    if error["type"] == "missing":
        return f"front matter lacks {path!r}."
    message = error["msg"].removeprefix("Value error, ")
    found = error["input"]
    if isinstance(found, bool) and error["type"] == "string_type":
        message += f' but YAML reads yes, no, on, off as {found}; write it in quotes: "yes"'
    return f"front matter: {path + ': ' if path else ''}{message}."


def _placeholder_problems(front: FrontMatter, where: str) -> Iterator[AmeliError]:
    given = GIVEN[front.method]
    for name in sorted(front.names - given):
        yield AmeliError(
            f"Template {where}: variable {name!r} is not given to method {front.method!r}.",
            hint=suggest(name, given),
        )


def suggest(name: str, available: Iterable[str]) -> str:
    """What there is, and the nearest one: the hint of every unknown name in a template."""
    names = sorted(available)
    near = _near(name, names)
    return f"Available: {', '.join(names) or 'none'}." + (f" Did you mean {near!r}?" if near else "")


def _near(name: str, names: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), "")


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    # The front matter starts on the file's second line, and marks count from zero.
    line = f", line {mark.line + 2}" if mark else ""
    return f"{line}: front matter is not YAML: {getattr(error, 'problem', None) or type(error).__name__}."
