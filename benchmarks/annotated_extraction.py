"""Extraction from texts whose values somebody marked: an adapter trained on one half, asked about the other.

    python benchmarks/annotated_extraction.py FILE --out DIR [--minutes 15] [--limit 120] [--half 0]

FILE: JSON lines (docs/models.md). The halves are drawn by a seed; the tested one is read only when the
training is over. Beside the model stand the rules, which look for the values of the half that was trained on.
A prediction is right when it is one of the marked values, letter for letter. "Marked" counts attributes that
have a value; "all" counts a value for any other attribute as wrong too. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.attributes.rules import RulesExtractor
from ameli_llm.config import EngineConfig
from ameli_llm.engines import transformers as transformers_engine
from ameli_llm.instruction.annotated import Annotated, AnnotatedText, read_annotated, told_of
from ameli_llm.instruction.exercises import Exercises
from ameli_llm.instruction.tuning import TuningSettings, tune
from ameli_llm.models import merge_adapter
from ameli_llm.types import Review
from eval.measures.statistics import ClusteredBootstrap, Interval

Found = Mapping[str, str]
"""Attribute to predicted value."""


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the adapter and the merged model")
    parser.add_argument("--template", default="extract/open")
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--start", type=Path, help="an adapter of the base to begin with")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--exchange", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--half", type=int, default=0, choices=(0, 1), help="the half that is tested")
    parser.add_argument("--limit", type=int, default=0, help="texts of it; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    texts = read_annotated(options.file)
    order = np.random.default_rng(options.seed).permutation(len(texts))
    halves = [[texts[at] for at in order[side::2]] for side in (0, 1)]
    trained, tested = halves[1 - options.half], halves[options.half]
    tested = tested[: options.limit or None]
    model = _trained(trained, options)
    print(f"{len(tested)} texts of half {options.half}, trained on {len(trained)} of the other.\n")
    print("| extractor | counted | precision % [95 %] | recall % [95 %] | F1 % [95 %] | s a text |")
    print("|---|---|---:|---:|---:|---:|")
    _rows("rules", tested, *by_rules(tested, trained))
    _rows(options.template, tested, *_by_model(tested, trained, model, options.template))


def _trained(texts: Sequence[AnnotatedText], options: argparse.Namespace) -> Path:
    """The folder of the model; one that was trained before is taken as it is."""
    adapter = options.out / "adapter"
    merged: Path = options.out / "merged"
    if not merged.exists():
        held = texts[:: max(2, len(texts) // 40)]
        rest = [text for text in texts if text not in held]
        settings = TuningSettings(
            minutes=options.minutes,
            rounds=options.rounds,
            learning_rate=options.learning_rate,
            rank=options.rank,
            seed=options.seed,
            dev=8,
        )
        tune(
            options.base,
            [Annotated(rest, options.seed, options.exchange)],
            [Annotated(held, options.seed)],
            [Exercises(options.template)],
            settings,
            adapter,
            _quiet,
            options.start,
        )
        merge_adapter(options.base, adapter, merged, _quiet)
    return merged


def by_rules(texts: Sequence[AnnotatedText], trained: Sequence[AnnotatedText]) -> tuple[list[Found], float]:
    """What the rules find of each text, with the values of ``trained`` as vocabulary; seconds a text."""
    known: dict[str, dict[str, dict[str, None]]] = {}
    for text in trained:
        for key, values in text.values.items():
            known.setdefault(text.category, {}).setdefault(key, {}).update(dict.fromkeys(values))
    tasks = [
        ExtractionTask(
            Review(number, "", text.text, text.category),
            {key: tuple(values) for key, values in known.get(text.category, {}).items() if values},
        )
        for number, text in enumerate(texts)
    ]
    began = time.perf_counter()
    found = RulesExtractor().extract(tasks)
    seconds = (time.perf_counter() - began) / len(texts)
    return [{value.key: value.value for value in one.values} for one in found], seconds


def _by_model(
    texts: Sequence[AnnotatedText], trained: Sequence[AnnotatedText], model: Path, template: str
) -> tuple[list[Found], float]:
    rng = np.random.default_rng(0)
    engine = transformers_engine.create(EngineConfig(name="transformers", model=str(model)))
    found: dict[str, Found] = {}
    began = time.perf_counter()
    try:
        for group in _by_category(texts):
            beside = [text for text in trained if text.category == group[0].category]
            exercise = Exercises(template).of(told_of(group, beside), rng)
            if exercise is None:
                continue  # nothing was trained on in this category: no values are known
            replies = engine.chat([example.request for example in exercise.examples])
            for text, reply in zip(group, replies, strict=True):
                said = {} if reply.failure else json.loads(reply.text)
                found[text.text] = {
                    key: one[1] if isinstance(one, list) else one for key, one in said.items()
                }
    finally:
        engine.close()
    return [found.get(text.text, {}) for text in texts], (time.perf_counter() - began) / len(texts)


def _by_category(texts: Sequence[AnnotatedText]) -> Iterator[list[AnnotatedText]]:
    for category in sorted({text.category for text in texts}):
        yield [text for text in texts if text.category == category]


def _rows(name: str, texts: Sequence[AnnotatedText], found: Sequence[Found], seconds: float) -> None:
    bootstrap = ClusteredBootstrap([None] * len(texts))
    for counted in ("marked", "all"):
        right, said, marked = np.zeros((3, len(texts)))
        for at, (text, values) in enumerate(zip(texts, found, strict=True)):
            asked = {key for key, listed in text.values.items() if listed or counted == "all"}
            right[at] = sum(values.get(key) in listed for key, listed in text.values.items() if listed)
            said[at] = len(asked & values.keys())
            marked[at] = sum(bool(listed) for listed in text.values.values())
        measures = (
            bootstrap.ratio(right, said),
            bootstrap.ratio(right, marked),
            bootstrap.ratio(2 * right, said + marked),
        )
        print(f"| {name} | {counted} | {' | '.join(map(_percent, measures))} | {seconds:.2f} |")


def _percent(one: Interval) -> str:
    return f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def _quiet(stage: str, done: int, total: int) -> None:
    """Says nothing."""


if __name__ == "__main__":
    main()
