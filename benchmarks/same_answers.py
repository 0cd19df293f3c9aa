"""Whether transformers and a vLLM server give the same greedy answers to the same prompts.

    python benchmarks/same_answers.py [--model smollm2-ameli] [--prompts 200] [--seed 13]

Extraction prompts of a synthetic twin, candidates by the closest titles. Prints Markdown: equal replies,
equal values, and the first replies that differ.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from served import server

from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.config import EngineConfig
from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.engines import transformers, vllm_server
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.models import is_known, model_folder
from ameli_llm.prompting.preview import preview
from ameli_llm.prompting.task import closest_titles

CANDIDATES = 10
SHOWN = 5
"""Differing replies that are printed."""


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-ameli", help="known model, or a model folder")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    folder = Path(model_folder(options.model) if is_known(options.model) else options.model)
    with tempfile.TemporaryDirectory() as work:
        requests = prompts(Path(work) / "twin", options.prompts, options.seed)
        local = transformers.create(EngineConfig(name="transformers", model=str(folder)))
        here = local.chat(requests)
        local.close()
        with server(folder, 16, Path(work)) as port:
            url = f"http://127.0.0.1:{port}/v1"
            remote = vllm_server.create(EngineConfig(name="vllm_server", base_url=url))
            there = remote.chat(requests)
            remote.close()
    report(here, there)


def prompts(twin: Path, count: int, seed: int) -> list[ChatRequest]:
    """Extraction requests for the first reviews of the test split."""
    write_twin(twin, products=300, reviews=5 * count, seed=seed)
    dataset = load_dataset(twin)
    products = list(dataset.products.values())
    sent: list[ChatRequest] = []
    for review in dataset.split("test").reviews[:count]:
        chosen = closest_titles(review, products, CANDIDATES)
        attributes = tuple(attribute_dictionary(product) for product in chosen)
        sent += preview("extract/json", ComparisonTask(review, chosen, attributes))
    return sent


def report(here: Sequence[ChatReply], there: Sequence[ChatReply]) -> None:
    """What is equal, and the first replies that are not."""
    pairs = list(zip(here, there, strict=True))
    failed = sum(bool(a.failure or b.failure) for a, b in pairs)
    same = [a.text == b.text for a, b in pairs]
    values = [_values(a) == _values(b) for a, b in pairs]
    print("| prompts | failed | same text | same values |\n|---:|---:|---:|---:|")
    print(f"| {len(pairs)} | {failed} | {sum(same)} | {sum(values)} |")
    differing = [pair for pair, equal in zip(pairs, same, strict=True) if not equal]
    for a, b in differing[:SHOWN]:
        print(f"\n- transformers: `{a.text}`\n  vLLM: `{b.text}`")


def _values(reply: ChatReply) -> dict[str, str]:
    content: dict[str, list[str]] = json.loads(reply.text) if not reply.failure else {}
    return {key: pair[1] for key, pair in content.items()}


if __name__ == "__main__":
    main()
