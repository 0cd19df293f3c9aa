"""Attribute values that an instruction model finds, kept only where a span of the review proves them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ameli_llm.attributes._proof import ProvenValues
from ameli_llm.attributes.asked import Asked, Order, ask_for
from ameli_llm.attributes.extractor import Extraction, ExtractionTask
from ameli_llm.attributes.matching.sense import Sense
from ameli_llm.attributes.values.normalise import alternatives, is_ignored
from ameli_llm.engines.engine import ChatReply, ChatRequest, Engine, Exchange
from ameli_llm.errors import AmeliError
from ameli_llm.templates.budget import cut_words, largest_fitting, review_excerpt
from ameli_llm.templates.fitting import fitted
from ameli_llm.templates.front import EXTRACT, Limits
from ameli_llm.templates.load import Template, load_template
from ameli_llm.templates.render import prompt_estimate, request
from ameli_llm.templates.schema import reply_schema
from ameli_llm.templates.text import one_line
from ameli_llm.types import Failure, State, Usage

_Quoted = TypeAdapter(dict[str, Annotated[list[str], Field(min_length=2, max_length=2)]])
_Plain = TypeAdapter(dict[str, str])


def create(
    engine: Engine, template: str = "", prompts: Path | None = None, sense: Sense | None = None
) -> LlmExtractor:
    """The extractor; ``template`` "" is extract/json, ``prompts`` a folder of further templates.

    ``sense`` tells what a quotation means; None lets any quotation prove a word.
    """
    loaded = load_template(template or "extract/json", prompts)
    if loaded.front.method not in EXTRACT:
        raise AmeliError(
            f"Template {loaded.name!r} is for {loaded.front.method}, not for extraction.",
            hint="ameli-llm prompts list shows what each template is for.",
        )
    return LlmExtractor(engine, loaded, sense=sense)


@dataclass(frozen=True)
class _Ask:
    """The requests for one review. ``keys`` maps keys as shown to raw keys."""

    asked: Asked
    keys: Mapping[str, str]
    requests: tuple[ChatRequest, ...]
    cut: bool


@dataclass(frozen=True)
class LlmExtractor:
    """One request per review, or with a completion template one per attribute of its list.

    ``dropped`` counts by reason: "no_span" (the quotation, or without one the value, is not in the review),
    "unknown_key", "unknown_value", "contradicted" (the quotation states another of the values, another amount
    or another colour), "unlike" (by ``sense`` it does not mean the value), "no_match" (a completion, or words
    copied, that state no value), and "review_cut" when the review was too long for the prompt.
    ``order`` is that in which values are listed: by the alphabet, so that it tells nothing. So are the
    attributes, of which those that are most worth asking are taken: prompts about the same candidates begin
    alike, and engines read what they share once.
    """

    engine: Engine
    template: Template
    order: Order = sorted
    sense: Sense | None = None

    @property
    def name(self) -> str:
        """The file name of the module."""
        return "llm"

    @property
    def lists_values(self) -> bool:
        """Whether the prompts list the values to choose from; a completion's do not."""
        return self.template.front.method != "completion"

    def extract(self, tasks: Sequence[ExtractionTask]) -> list[Extraction]:
        """One extraction per task; no request for a review without text or without anything to ask."""
        limits = self.template.front.limits
        asks = fitted(self.engine, tasks, limits, self._ask, lambda ask: ask.requests)
        replies = iter(self.engine.chat([sent for ask in asks for sent in ask.requests]))
        return [
            self._read(task, ask, [next(replies) for _ in ask.requests])
            for task, ask in zip(tasks, asks, strict=True)
        ]

    def _ask(self, task: ExtractionTask, limits: Limits) -> _Ask:
        review, cut = review_excerpt(task.review, limits.review)
        shared = {"review": review, "mention": cut_words(task.review.mention, limits.name)}
        asked = (
            ask_for(task.vocabulary, review, self._worth_asking(limits), self.order)
            if self.lists_values
            else _listed(task, self.template.front.keys)
        )
        if not review or not asked:
            return _Ask({}, {}, (), cut)
        if not self.lists_values:
            requests = tuple(request(self.template, {**shared, "key": key}) for key in asked)
            return _Ask(asked, {}, requests, cut)

        def values(count: int) -> dict[str, object]:
            shown = [{"key": key, "values": list(asked[key])} for key in sorted(list(asked)[:count])]
            return {**shared, "attributes": shown}

        count = largest_fitting(
            len(asked), lambda n: prompt_estimate(self.template, values(n)) <= limits.prompt
        )
        kept = {key: asked[key] for key in sorted(list(asked)[:count])}
        if not kept or self.template.front.reply is None:
            return _Ask({}, {}, (), cut)
        keys: dict[str, str] = {}
        for key in kept:
            keys.setdefault(one_line(key), key)
        shown = {shown: list(kept[key]) for shown, key in keys.items()}
        schema = reply_schema(self.template.front.reply, shown, self.template.front.sampling.max_tokens)
        return _Ask(kept, keys, (request(self.template, values(count), schema=schema),), cut)

    def _worth_asking(self, limits: Limits) -> Limits:
        """However little room there is, an attribute with two values that are not cut is asked for."""
        own = self.template.front.limits
        least = {"keys": min(own.keys, 1), "values": min(own.values, 2), "value": own.value}
        return limits.model_copy(
            update={name: max(getattr(limits, name), most) for name, most in least.items()}
        )

    def _read(self, task: ExtractionTask, ask: _Ask, replies: Sequence[ChatReply]) -> Extraction:
        proven = ProvenValues(task.review, self.name, self.sense)
        proven.dropped.update({"review_cut": 1} if ask.cut else {})
        usage = sum((reply.usage for reply in replies), Usage())
        failure = next((reply.failure for reply in replies if reply.failure), None)
        if failure is None and not self.lists_values:
            for key, reply in zip(ask.asked, replies, strict=True):
                proven.propose_text(key, ask.asked[key], reply.text)
        elif failure is None and replies:
            failure = self._read_json(ask, replies[0], proven)
        values = () if failure else tuple(proven.values)
        sent = zip(ask.requests, replies, strict=True)
        exchanges = tuple(Exchange(self.name, request, reply) for request, reply in sent)
        return Extraction(values, dict(proven.dropped), usage, failure, exchanges)

    def _read_json(self, ask: _Ask, reply: ChatReply, proven: ProvenValues) -> Failure | None:
        if reply.finish_reason == "length":
            return Failure(State.INVALID_OUTPUT, f"Reply cut off after {reply.usage.completion} tokens.")
        form = self.template.front.reply.form if self.template.front.reply else ""
        try:
            content = json.loads(reply.text, strict=False)
            if form == "quoted":
                stated = {key: (pair[0], pair[1]) for key, pair in _Quoted.validate_python(content).items()}
            else:
                stated = {key: (said, said) for key, said in _Plain.validate_python(content).items()}
        except (ValueError, RecursionError) as error:
            kind = "does not follow its schema" if isinstance(error, ValidationError) else "is not JSON"
            return Failure(State.INVALID_OUTPUT, f"Reply {kind}: {one_line(reply.text)[:60]!r}.")
        for shown, (quote, value) in stated.items():
            key = ask.keys.get(one_line(shown))
            if key is None:
                proven.dropped["unknown_key"] += 1
            elif form == "open":
                proven.propose_words(key, ask.asked[key], quote)
            else:
                proven.propose(key, ask.asked[key], value, quote if form == "quoted" else None)
        return None


def _listed(task: ExtractionTask, keys: Sequence[str]) -> Asked:
    """The vocabulary's keys that the template lists, in the template's order, whatever their case."""
    order = {key.casefold(): place for place, key in enumerate(keys)}
    found = sorted(
        (key for key in task.vocabulary if key.casefold() in order),
        key=lambda key: (order[key.casefold()], key),
    )
    return {key: {one_line(value): value for value in _values(task, key)} for key in found}


def _values(task: ExtractionTask, key: str) -> list[str]:
    parts = (part for raw in task.vocabulary[key] for part in alternatives(key, raw))
    return [part for part in parts if not is_ignored(part)]
