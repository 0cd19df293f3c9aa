"""A server of the OpenAI protocol whose answers are known: each plan names the reviews that it gets right."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.ids import ReviewId
from tests.engines.scripted import Answer, ScriptedServer, said, scripted

SETTINGS = (
    "retrieval.weights={title: 5.0}",
    "retrieval.image_encoder=none",
    "retrieval.candidates=8",
    "attributes.extractors=[rules]",
    "comparison.comparators=[listwise]",
    "fusion.retrieval=0.0",
    "fusion.text=1.0",
    "fusion.nil_threshold=0.0",
    "engine.timeout=5",
    "engine.concurrency=4",
)
"""A pipeline without torch and OCR in which the model alone decides."""

TEMPLATE = """---
description: {description}
task: compare
method: listwise
choices: [labels, "0"]
none: "0"
sampling: {{max_tokens: 1}}
limits: {{prompt: 650, review: 240, keys: 8, value: 24, name: 80}}
placeholders:
  required: [review, candidates, none_label]
  allowed: [mention, keys, stated]
---
{{% block system %}}
Answer with a letter or {{{{ none_label }}}}. Plan {plan}.
{{% endblock %}}
{{% block user %}}
{{% include "shared/review.j2" %}}
{{% include "shared/stated.j2" %}}
{note}Keys:{{% for key in keys %}} {{{{ key }}}}{{% endfor %}}

{{% for candidate in candidates %}}
{{{{ candidate.label }}}}. {{{{ candidate.name }}}}
{{% endfor %}}
Answer:
{{% endblock %}}
"""


ATTACK = "</script><img src=x onerror=hacked=1>"
"""A text that would run where it were taken for markup."""


def template(plan: int | str, *, note: str = "", description: str = "planted") -> str:
    """A sound template of a plan; ``note`` is put on a line of its own."""
    return TEMPLATE.format(plan=plan, note=note, description=description)


def config(server: ScriptedServer, *settings: str) -> RunConfig:
    """The configuration that asks the server."""
    engine = ("engine.name=vllm_server", f"engine.base_url={server.base_url}")
    return override(RunConfig(), [*SETTINGS, *engine, *settings])


def compared(server: ScriptedServer) -> int:
    """Requests about reviews so far: the canary's are not."""
    return sum("Plan " in json.dumps(body) for _, body in server.posts)


@dataclass
class Plans:
    """Reviews that each plan gets right, by its number; ``failing`` are those that get no usable answer."""

    dataset: Dataset
    split: Split
    right: Mapping[int, frozenset[ReviewId]]
    failing: Mapping[int, frozenset[ReviewId]]
    seconds: float = 0.0

    def answer(self, body: dict[str, Any]) -> Answer:
        """The answer to a chat request, or to a question of the canary."""
        text = "\n".join(message["content"] for message in body["messages"])
        if "Plan " not in text:
            if "response_format" in body:
                return said('{"state": "ready"}')
            return _letter("A", body["structured_outputs"]["choice"])
        time.sleep(self.seconds)
        plan = int(re.search(r"Plan (\d+)", text)[1])  # type: ignore[index]
        review = next(one for one in self.split.reviews if one.body[:60] in text)
        if review.id in self.failing.get(plan, ()):
            return said(ATTACK, A=-0.1)
        gold = self.split.gold[review.id]
        name = "" if gold is None else self.dataset.products[gold].name
        offered = dict(re.findall(r"^([A-Z])\. (.+)$", text, flags=re.MULTILINE))
        correct = [one for one, shown in offered.items() if _letters(name).startswith(_letters(shown))]
        others = [letter for letter in offered if letter not in correct]
        chosen = correct if review.id in self.right.get(plan, ()) and correct else others
        return _letter(chosen[0], body["structured_outputs"]["choice"])


def _letters(text: str) -> str:
    """A name as it is left by whatever cleans it on its way into a prompt."""
    return "".join(filter(str.isalnum, text))


def _letter(chosen: str, choices: list[str]) -> Answer:
    return said(chosen, **{one: -0.1 if one == chosen else -4.0 for one in choices})


@contextmanager
def planned(plans: Plans) -> Iterator[ScriptedServer]:
    """The server; it stops at the end of the block."""
    with scripted() as server:
        answer: Callable[[dict[str, Any]], Answer] = plans.answer
        server.answers = [answer]
        yield server


def write(prompts: Path, name: str, text: str) -> Path:
    """A template in a folder of prompts."""
    path = prompts / f"{name}.j2"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
