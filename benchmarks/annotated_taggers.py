"""Extraction from annotated texts by trained taggers: trained on one half, asked about the other.

    python benchmarks/annotated_taggers.py FILE --out DIR [--rows jave uls_l_par] [--limit 120] [--half 0]

FILE, halves and counting are those of benchmarks/annotated_extraction.py, so that the tables can be read side
by side: a prediction is right when it is one of the marked values, letter for letter; of several values of an
attribute a tagger's first counts, and one of an attribute that the category lacks is wrong where "all" are
counted. A tenth of the half that is trained on chooses the epoch. Prints Markdown.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ameli_llm.attributes import mjave, uls_dram
from ameli_llm.attributes.tagging.examples import Corpus
from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.attributes.tagging.settings import made_of
from ameli_llm.attributes.tagging.tags import Found
from ameli_llm.attributes.tagging.trained import load_trained
from ameli_llm.attributes.tagging.training import train
from ameli_llm.attributes.tagging.weak import of_annotated
from ameli_llm.instruction.annotated import AnnotatedText, read_annotated
from eval.measures.statistics import ClusteredBootstrap, Interval
from retrieval.regions import load_regions

SHARED: Mapping[str, Any] = {"image_encoder": "none", "max_tokens": 64, "fewest": 3}
TUNED: Mapping[str, Any] = {**SHARED, "batch_size": 8, "epochs": 10}
ROWS: Mapping[str, tuple[Kind, Mapping[str, Any]]] = {
    "jave": (mjave.KIND, {**SHARED, "batch_size": 32, "epochs": 60, "learning_rate": 1e-3}),
    "jave_without_kl": (
        mjave.KIND,
        {**SHARED, "batch_size": 32, "epochs": 60, "learning_rate": 1e-3, "without": ("kl",)},
    ),
    "jave_tuned": (mjave.KIND, {**TUNED, "frozen": False}),
    "uls_l": (uls_dram.KIND, {**TUNED, "attributes": "all"}),
    "uls_l_par": (uls_dram.KIND, TUNED),
}


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the models")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--half", type=int, default=0, choices=(0, 1), help="the half that is tested")
    parser.add_argument("--limit", type=int, default=0, help="texts of it; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    texts = read_annotated(options.file)
    order = np.random.default_rng(options.seed).permutation(len(texts))
    halves = [[texts[at] for at in order[side::2]] for side in (0, 1)]
    trained, tested = halves[1 - options.half], halves[options.half][: options.limit or None]
    print(f"{len(tested)} texts of half {options.half}, trained on {len(trained)} of the other.\n")
    print("| extractor | counted | precision % [95 %] | recall % [95 %] | F1 % [95 %] | ms a text |")
    print("|---|---|---:|---:|---:|---:|", flush=True)
    for name in options.rows:
        _rows(name, trained, tested, options.out / f"{name}-{options.half}", options.seed)


def _rows(
    name: str, trained: Sequence[AnnotatedText], tested: Sequence[AnnotatedText], out: Path, seed: int
) -> None:
    kind, changes = ROWS[name]
    made = of_annotated(trained, Counter())
    corpus = Corpus(
        "annotated",
        {
            "train": tuple(text for at, text in enumerate(made) if at % 10),
            "dev": tuple(text for at, text in enumerate(made) if at % 10 == 0),
        },
    )
    train(kind, corpus, out, made_of(kind.settings, changes), load_regions, seed=seed, progress=_told)
    tagger = load_trained(kind, out, load_regions)
    asked = of_annotated(tested, Counter())
    began = time.perf_counter()
    found = tagger.found(asked)
    milliseconds = 1000 * (time.perf_counter() - began) / len(asked)
    title = tagger.description.title
    values = [_first(text, one) for text, one in zip(tested, found, strict=True)]
    for counted in ("marked", "all"):
        shown = " | ".join(map(_percent, _measures(tested, values, counted)))
        print(f"| {title} | {counted} | {shown} | {milliseconds:.0f} |", flush=True)


def _first(text: AnnotatedText, found: Found) -> dict[str, str]:
    values: dict[str, str] = {}
    for span in found.spans:
        values.setdefault(span.attribute, text.text[span.start : span.end])
    return values


def _measures(
    texts: Sequence[AnnotatedText], found: Sequence[Mapping[str, str]], counted: str
) -> tuple[Interval, Interval, Interval]:
    """Precision, recall and F1; "marked" counts attributes that have a value, "all" every one."""
    bootstrap = ClusteredBootstrap([None] * len(texts))
    right, said, marked = np.zeros((3, len(texts)))
    for at, (text, values) in enumerate(zip(texts, found, strict=True)):
        asked = {key for key, listed in text.values.items() if listed or counted == "all"}
        right[at] = sum(values.get(key) in listed for key, listed in text.values.items() if listed)
        said[at] = len(asked & values.keys()) if counted == "marked" else len(values)
        marked[at] = sum(bool(listed) for listed in text.values.values())
    return (
        bootstrap.ratio(right, said),
        bootstrap.ratio(right, marked),
        bootstrap.ratio(2 * right, said + marked),
    )


def _percent(one: Interval) -> str:
    return f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def _told(stage: str, done: int, total: int) -> None:
    if done == total or done % 50 == 0:
        sys.stderr.write(f"{stage}: {done}/{total}\n")


if __name__ == "__main__":
    main()
