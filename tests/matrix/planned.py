"""A model behind HTTP whose answers are planned, over a knowledge base and reviews made for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.engines.scripted import Answer, ScriptedServer

COLOURS = ("Red", "Blue", "Green", "White", "Black", "Brown")
PRODUCTS = {10 * n: f"Lamp {colour}" for n, colour in enumerate(COLOURS, start=1)}
REVIEWS = 24

Say = Callable[[str, int], str]
"""What the model says to a template's variant about a review: "right", "wrong", or the reply itself."""


def gold(review: int) -> int:
    """The right product of a review."""
    return 10 * (1 + review % len(COLOURS))


def write_dataset(root: Path) -> Path:
    """Six lamps of which each is a candidate of every review, and reviews that name none."""
    products = [
        {
            "id": id_,
            "product_name": name,
            "product_category": f"Shop -> Lamps {id_ // 30}",
            "Spec": [
                {"subsection": "General", "text": [{"specification": "Color", "value": name.split()[1]}]}
            ],
        }
        for id_, name in PRODUCTS.items()
    ]
    reviews = [
        {
            "review_id": number,
            "header": "Nice",
            "body": f"This is case {number}: the lamp gives light.",
            "mention": "lamp",
            "gold_entity_info": {"id": gold(number), "product_name": PRODUCTS[gold(number)]},
        }
        for number in range(REVIEWS)
    ]
    (root / "dev").mkdir(parents=True)
    (root / "products.json").write_text(json.dumps(products), encoding="utf-8")
    (root / "dev" / "reviews.json").write_text(json.dumps(reviews), encoding="utf-8")
    return root


TEMPLATE = """---
description: Which lamp
task: compare
method: listwise
choices: [labels, "0"]
none: "0"
sampling: {max_tokens: 1}
limits: {prompt: 650, review: 240, keys: 8, value: 24, name: 48}
placeholders: {required: [review, candidates, keys, none_label], allowed: [mention, stated]}
---
COMMENT{% block system %}
Variant VARIANT. Answer with a letter, or with {{ none_label }}.
{% endblock %}
{% block user %}
{% include "shared/review.j2" %}
{% for key in keys %}{{ key }}{% endfor %}

{% for candidate in candidates %}
{{ candidate.label }}. {{ candidate.name }}
{% endfor %}
{% endblock %}
"""


def write_template(path: Path, variant: str, comment: str = "") -> Path:
    """A listwise template that tells the model its variant."""
    path.write_text(TEMPLATE.replace("VARIANT", variant).replace("COMMENT", comment), encoding="utf-8")
    return path


def _said(text: str, letters: list[str], prompt: int) -> Answer:
    top = [{"token": one, "logprob": -0.1 if one == text else -5.0, "bytes": None} for one in letters]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": {"content": [{"token": text, "logprob": -0.1, "top_logprobs": top}]} if top else None,
    }
    usage = {"prompt_tokens": prompt, "completion_tokens": 1}
    return Answer(body={"id": "x", "choices": [choice], "usage": usage})


class PlannedModel(ScriptedServer):
    """Says what is planned to every listwise question; passes the canary; counts words as tokens.

    ``questions`` are the listwise requests, ``seconds`` how long an answer takes. It finds no attribute, and
    ``extractions`` counts how often it was asked for some.
    """

    def __init__(self, say: Say, models: tuple[str, ...] = ("tiny",)) -> None:
        super().__init__()
        self.say = say
        self.seconds = 0.0
        self.counts = True
        self.questions: list[dict[str, Any]] = []
        self.extractions = 0
        self.models = Answer(body={"data": [{"id": name, "root": name} for name in models]})

    def next_answer(self, path: str, body: dict[str, Any]) -> Answer:
        words = sum(len(message["content"].split()) for message in body["messages"])
        if path == "/tokenize":
            return Answer(body={"count": words}) if self.counts else Answer(404, {"detail": "Not Found"})
        if "response_format" in body and "ready" in json.dumps(body["response_format"]):
            return _said('{"state": "ready"}', [], words)
        if "response_format" in body:
            with self.lock:
                self.extractions += 1
            return _said("{}", [], words)
        letters = body["structured_outputs"]["choice"]
        user = body["messages"][-1]["content"]
        if "case" not in user:
            return _said("A", letters, words)
        with self.lock:
            self.questions.append(body)
        variant = re.search(r"Variant (\w+)", body["messages"][0]["content"])
        review = re.search(r"case (\d+)", user)
        lines = re.findall(r"^([A-Z])\. (Lamp \w+)$", user, re.MULTILINE)
        assert variant is not None
        assert review is not None
        assert len(lines) == len(PRODUCTS)
        name = PRODUCTS[gold(int(review[1]))]
        said = self.say(variant[1], int(review[1]))
        if said in ("right", "wrong"):
            said = next(letter for letter, lamp in lines if (lamp == name) is (said == "right"))
        answer = _said(said, letters, words)
        return Answer(answer.status, answer.body, seconds=self.seconds)


@contextmanager
def planned(say: Say, models: tuple[str, ...] = ("tiny",)) -> Iterator[PlannedModel]:
    """A running model that says what is planned."""
    model = PlannedModel(say, models)
    try:
        yield model
    finally:
        model.stop()
