"""Engine transformers against the plain way: requests a second, and whether the answers are the same.

    python benchmarks/transformers_engine.py MODEL [--reviews 16] [--repeats 2] [--candidates 10] [--seed 0]

MODEL is a name or a folder, as for --model. The plain way is what the engine was before: float32, prompts
to be continued eight at a time through transformers' own generate, every question with choices alone. Both
ways get the same requests, rendered by the code that sends them from reviews of a synthetic twin, with the
products of the closest titles as candidates: one extraction a review (JSON by a schema), one listwise
question, and an entailment question for every statement in which the candidates differ.

The ways take turns, kind by kind, and the fastest of the repeats counts, so that other work on the machine
falls on both. Compared are texts and first choices, and by how much the log-probabilities of choices differ
at most: from the plain way in float32 and in the engine's own number format. Prints Markdown; exit code 1
when the engine is not three times as fast over all requests together.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ameli_llm.attributes import rules
from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.config import EngineConfig
from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.engines import transformers
from ameli_llm.engines._reply import choice_reply, text_reply
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.models import instruction_model, is_known, model_folder
from ameli_llm.prompting.example import vocabulary_of
from ameli_llm.prompting.preview import preview
from ameli_llm.prompting.task import closest_titles
from ameli_llm.types import Usage, no_progress

GOAL = 3.0
PLAIN_BATCH = 8
KINDS = {
    "extraction": "extract/json",
    "listwise": "compare/listwise",
    "entailment": "compare/entail",
}
Chat = Callable[[Sequence[ChatRequest]], list[ChatReply]]


class Plain:
    """The engine as it was: no prefix shared, no choice scored beside another."""

    def __init__(self, folder: str) -> None:
        import transformers
        import xgrammar

        self._xgrammar = xgrammar
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
        self._network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._network.generation_config = transformers.GenerationConfig()
        self._end = self._tokenizer.eos_token_id
        size = self._network.get_output_embeddings().weight.shape[0]
        known = xgrammar.TokenizerInfo.from_huggingface(self._tokenizer, vocab_size=size)
        self._compiler = xgrammar.GrammarCompiler(known)

    @torch.inference_mode()
    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """Replies in order. Requests are all with choices or all with a schema."""
        size = 1 if requests[0].choices else PLAIN_BATCH
        parts = [requests[start : start + size] for start in range(0, len(requests), size)]
        return [reply for part in parts for reply in self._answer(part)]

    def _answer(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        prompts = [self._encode(request) for request in requests]
        return (
            [self._choose(requests[0], prompts[0])] if requests[0].choices else self._write(requests, prompts)
        )

    def _encode(self, request: ChatRequest) -> list[int]:
        turns = [{"role": message.role, "content": message.content} for message in request.messages]
        text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        tokens: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens

    def _choose(self, request: ChatRequest, prompt: list[int]) -> ChatReply:
        state = self._generate([prompt], max_new_tokens=1, output_logits=True)
        first = state.logits[0][0].float().log_softmax(dim=-1)
        scores = []
        for choice in request.choices:
            tokens = self._tokenizer(choice, add_special_tokens=False)["input_ids"]
            score = float(first[tokens[0]])
            if len(tokens) > 1:
                past = copy.deepcopy(state.past_key_values)
                more = self._network(input_ids=torch.tensor([tokens[:-1]]), past_key_values=past).logits[0]
                following = more.float().log_softmax(dim=-1)
                score += sum(float(following[at, token]) for at, token in enumerate(tokens[1:]))
            scores.append((choice, score))
        best = max(scores, key=lambda pair: pair[1])[0]
        return choice_reply(request, best, scores, "stop", Usage(len(prompt), 1))

    def _write(self, requests: Sequence[ChatRequest], prompts: Sequence[list[int]]) -> list[ChatReply]:
        grammars = [
            self._compiler.compile_json_schema(
                json.dumps(request.schema), any_whitespace=False, separators=(",", ":")
            )
            for request in requests
        ]
        constraint = self._xgrammar.contrib.hf.LogitsProcessor(grammars)
        state = self._generate(prompts, max_new_tokens=requests[0].max_tokens, logits_processor=[constraint])
        replies = []
        for request, prompt, row in zip(requests, prompts, state.sequences, strict=True):
            tokens = row[max(map(len, prompts)) :].tolist()
            length = tokens.index(self._end) + 1 if self._end in tokens else len(tokens)
            text = self._tokenizer.decode(tokens[:length], skip_special_tokens=True)
            finish = "stop" if self._end in tokens else "length"
            replies.append(text_reply(request, text, finish, Usage(len(prompt), length)))
        return replies

    def _generate(self, prompts: Sequence[list[int]], **options: Any) -> Any:
        batch = self._tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt")
        options |= {"pad_token_id": self._tokenizer.pad_token_id, "eos_token_id": self._end}
        return self._network.generate(**batch, do_sample=False, return_dict_in_generate=True, **options)


def main() -> int:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--reviews", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tasks = list(_tasks(Path(folder) / "twin", options.reviews, options.candidates, options.seed))
    requests = {
        kind: [sent for task in tasks for sent in preview(name, task)] for kind, name in KINDS.items()
    }
    known = is_known(options.model)
    place = str(model_folder(instruction_model(options.model).name, no_progress)) if known else options.model
    config = EngineConfig(name="transformers", model=options.model)
    engine = transformers.create(config)
    exact = transformers.create(config.model_copy(update={"dtype": "float32"}))
    dtype = engine.revision.rpartition("-")[2]
    ways: dict[str, Chat] = {"plain": Plain(place).chat, "engine": engine.chat, "float32": exact.chat}
    if dtype == "float32":
        del ways["float32"]
    for chat in ways.values():  # first calls initialise
        chat(requests["listwise"][:1])
    print(f"{options.model}: {len(tasks)} reviews, {torch.get_num_threads()} thread(s), auto is {dtype}\n")
    return _report(requests, ways, dtype, options.repeats)


def _tasks(root: Path, reviews: int, candidates: int, seed: int) -> Iterator[ComparisonTask]:
    # The dev split is a part of the reviews: enough are written that it holds as many as are asked for.
    write_twin(root, products=300, reviews=reviews * 12, seed=seed, images=False)
    dataset = load_dataset(root)
    products = list(dataset.products.values())
    extractor = rules.create()
    for review in dataset.split("dev").reviews[:reviews]:
        chosen = closest_titles(review, products, candidates)
        attributes = tuple(attribute_dictionary(product) for product in chosen)
        task = ComparisonTask(review, chosen, attributes)
        found = extractor.extract([ExtractionTask(review, vocabulary_of(task))])[0].values
        yield ComparisonTask(review, chosen, attributes, found)


def _report(requests: dict[str, list[ChatRequest]], ways: dict[str, Chat], dtype: str, repeats: int) -> int:
    names = {"engine": dtype, "float32": "float32"}
    head = ["requests", "number", "prompt tokens", "plain, 1/s"]
    for way in list(ways)[1:]:
        head += [f"{names[way]}, 1/s", "times plain", "other answers", "log-probability off, most"]
    print(f"| {' | '.join(head)} |")
    print(f"|---|{'---:|' * (len(head) - 1)}")
    totals = dict.fromkeys(ways, 0.0)
    for kind, asked in requests.items():
        best = dict.fromkeys(ways, float("inf"))
        replies: dict[str, list[ChatReply]] = {}
        for _ in range(repeats):
            for way, chat in ways.items():
                start = time.perf_counter()
                replies[way] = chat(asked)
                best[way] = min(best[way], time.perf_counter() - start)
        for way in ways:
            totals[way] += best[way]
        tokens = sum(reply.usage.prompt for reply in replies["plain"]) / len(asked)
        cells = [kind, f"{len(asked)}", f"{tokens:.0f}", f"{len(asked) / best['plain']:.2f}"]
        for way in list(ways)[1:]:
            cells += [f"{len(asked) / best[way]:.2f}", f"{best['plain'] / best[way]:.1f}"]
            cells += _differences(replies["plain"], replies[way])
        print(f"| {' | '.join(cells)} |", flush=True)
    number = sum(map(len, requests.values()))
    cells = ["all", f"{number}", "", f"{number / totals['plain']:.2f}"]
    for way in list(ways)[1:]:
        cells += [f"{number / totals[way]:.2f}", f"{totals['plain'] / totals[way]:.1f}", "", ""]
    print(f"| {' | '.join(cells)} |")
    ratio = totals["plain"] / totals["engine"]
    print(f"\nGoal: {GOAL:g} times the plain way; {ratio:.1f}: {'met' if ratio >= GOAL else 'missed'}")
    return 0 if ratio >= GOAL else 1


def _differences(plain: Sequence[ChatReply], ours: Sequence[ChatReply]) -> list[str]:
    failed = sum(reply.failure is not None for reply in ours)
    other = sum(one.text != two.text for one, two in zip(plain, ours, strict=True))
    off = max(
        (
            abs(logprob - (two.choice_logprobs or {})[choice])
            for one, two in zip(plain, ours, strict=True)
            for choice, logprob in (one.choice_logprobs or {}).items()
        ),
        default=None,
    )
    cell = f"{other} of {len(plain)}" + (f", {failed} failed" if failed else "")
    return [cell, "" if off is None else f"{off:.1g}"]


if __name__ == "__main__":
    sys.exit(main())
