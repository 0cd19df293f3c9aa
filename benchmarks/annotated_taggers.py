"""Extraction from annotated texts by trained taggers: trained on one half, asked about the other.

    python benchmarks/annotated_taggers.py FILE --out DIR [--rows jave uls_l_par] [--limit 120] [--half 0]

FILE, halves and counting are those of benchmarks/annotated_extraction.py, so that the tables can be read side
by side: a prediction is right when it is one of the marked values, letter for letter; of several values of an
attribute a tagger's first counts, and one of an attribute that the category lacks is wrong where "all" are
counted. Beside the taggers stand the rules, which look for the values of the half that was trained on, and a
constant tagger: of each attribute that at least half of a category's training texts have, their commonest
value. A tenth of the half that is trained on chooses the epoch. Prints Markdown: the scores, then neighbours
of the papers' order against each other on the same texts. What is in DIR is not trained again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from annotated_extraction import by_rules

from ameli_llm.attributes import mjave, uls_dram
from ameli_llm.attributes.tagging.examples import Corpus, LabelledText
from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.attributes.tagging.pictures import LoadRegions
from ameli_llm.attributes.tagging.settings import made_of
from ameli_llm.attributes.tagging.tags import Found
from ameli_llm.attributes.tagging.trained import load_trained
from ameli_llm.attributes.tagging.training import train
from ameli_llm.attributes.tagging.weak import of_annotated
from ameli_llm.instruction.annotated import AnnotatedText, read_annotated
from eval.measures.statistics import ClusteredBootstrap, Interval, exact_mcnemar
from retrieval.regions import load_regions

Changes = Mapping[str, Any]
Counts = npt.NDArray[np.float64]

SHARED: Changes = {"image_encoder": "none", "max_tokens": 64, "fewest": 3}
JAVE: Changes = {**SHARED, "batch_size": 32, "epochs": 60, "learning_rate": 1e-3}
TUNED: Changes = {**SHARED, "batch_size": 8, "epochs": 10}
ROWS: Mapping[str, tuple[Kind, Changes]] = {
    "jave_apart": (mjave.KIND, {**JAVE, "without": ("multitask",)}),
    "jave": (mjave.KIND, JAVE),
    "jave_without_kl": (mjave.KIND, {**JAVE, "without": ("kl",)}),
    "jave_tuned": (mjave.KIND, {**TUNED, "frozen": False}),
    "uls_l": (uls_dram.KIND, {**TUNED, "attributes": "all"}),
    "uls_l_par": (uls_dram.KIND, TUNED),
}
PAIRS = (
    ("constant", "jave"),
    ("rules", "jave_apart"),
    ("rules", "jave"),
    ("rules", "uls_l"),
    ("rules", "uls_l_par"),
    ("jave_apart", "jave"),
    ("jave", "uls_l"),
    ("uls_l", "uls_l_par"),
)
"""What is compared, the second with the first."""


@dataclass(frozen=True)
class Answered:
    """What an extractor says of each text, attribute to value; ``title`` is what papers call it."""

    title: str
    values: Sequence[Mapping[str, str]]
    milliseconds: float


@dataclass(frozen=True)
class Tested:
    """The texts that are asked about, as pictures and spans have them and as they are marked.

    ``clusters`` are resampled together; None is a text of its own.
    """

    labelled: Sequence[LabelledText]
    marked: Sequence[AnnotatedText]
    clusters: Sequence[Hashable | None]


def main() -> None:
    """The tables."""
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
    known, asked = halves[1 - options.half], halves[options.half][: options.limit or None]
    made = of_annotated(known, Counter())
    corpus = Corpus(
        "annotated",
        {
            "train": tuple(text for at, text in enumerate(made) if at % 10),
            "dev": tuple(text for at, text in enumerate(made) if at % 10 == 0),
        },
    )
    tested = Tested(of_annotated(asked, Counter()), asked, [None] * len(asked))
    print(f"{len(asked)} texts of half {options.half}, trained on {len(known)} of the other.\n", flush=True)
    answers = untrained(tested, known)
    for name in options.rows:
        folder = options.out / f"{name}-{options.half}"
        answers[name] = trained(*ROWS[name], corpus, tested, folder, load_regions, options.seed)
    print_scores(tested, answers)
    print_pairs(tested, answers, PAIRS)


def untrained(tested: Tested, known: Sequence[AnnotatedText]) -> dict[str, Answered]:
    """The constant tagger and the rules, which both know the texts of the other side."""
    found, seconds = by_rules(tested.marked, known)
    return {
        "constant": Answered("constant", constant(tested.marked, known), 0.0),
        "rules": Answered("rules", found, 1000 * seconds),
    }


def constant(asked: Sequence[AnnotatedText], known: Sequence[AnnotatedText]) -> list[Mapping[str, str]]:
    """The same for all texts of a category, whatever they say."""
    answer: dict[str, dict[str, str]] = {}
    for category in {text.category for text in known}:
        texts = [text for text in known if text.category == category]
        for key in {key for text in texts for key in text.values}:
            counts = Counter(text.values[key][0] for text in texts if text.values.get(key))
            if counts and 2 * counts.total() >= len(texts):
                answer.setdefault(category, {})[key] = min(counts, key=lambda one: (-counts[one], one))
    return [answer.get(text.category, {}) for text in asked]


def trained(
    kind: Kind,
    changes: Changes,
    corpus: Corpus,
    tested: Tested,
    folder: Path,
    regions: LoadRegions,
    seed: int,
) -> Answered:
    """What the tagger of these settings says, after its training on the corpus."""
    train(kind, corpus, folder, made_of(kind.settings, changes), regions, seed=seed, progress=_told)
    tagger = load_trained(kind, folder, regions)
    began = time.perf_counter()
    found = tagger.found(tested.labelled)
    milliseconds = 1000 * (time.perf_counter() - began) / len(found)
    values = [_first(text, one) for text, one in zip(tested.labelled, found, strict=True)]
    described = tagger.description
    sys.stderr.write(f"{described.title}: epoch {described.best} of {described.history[-1].number}\n")
    return Answered(described.title, values, milliseconds)


def _first(text: LabelledText, found: Found) -> dict[str, str]:
    values: dict[str, str] = {}
    for span in found.spans:
        values.setdefault(span.attribute, text.text[span.start : span.end])
    return values


def print_scores(
    tested: Tested, answers: Mapping[str, Answered], only: Callable[[str], bool] = lambda key: True
) -> None:
    """Precision, recall and F1; "marked" counts attributes that have a value, "all" every one."""
    bootstrap = ClusteredBootstrap(tested.clusters)
    print("| extractor | counted | precision % [95 %] | recall % [95 %] | F1 % [95 %] | ms a text |")
    print("|---|---|---:|---:|---:|---:|")
    for one in answers.values():
        for counted in ("marked", "all"):
            right, said, marked = counts(tested.marked, one.values, counted, only)
            shown = " | ".join(
                map(
                    _percent,
                    (
                        bootstrap.ratio(right, said),
                        bootstrap.ratio(right, marked),
                        bootstrap.ratio(2 * right, said + marked),
                    ),
                )
            )
            print(f"| {one.title} | {counted} | {shown} | {one.milliseconds:.0f} |", flush=True)


def print_pairs(
    tested: Tested,
    answers: Mapping[str, Answered],
    pairs: Sequence[tuple[str, str]],
    only: Callable[[str], bool] = lambda key: True,
) -> None:
    """The second of each pair minus the first, over all attributes, and what of the marked values changed."""
    bootstrap = ClusteredBootstrap(tested.clusters)
    print("\n| | F1, points [95 %] | precision, points [95 %] | found now | lost | exact p |")
    print("|---|---:|---:|---:|---:|---:|")
    for first, second in pairs:
        if not {first, second} <= answers.keys():
            continue
        (right, said, marked), (right_2, said_2, _) = (
            counts(tested.marked, answers[name].values, "all", only) for name in (first, second)
        )
        f1 = bootstrap.difference((2 * right, said + marked), (2 * right_2, said_2 + marked))
        precision = bootstrap.difference((right, said), (right_2, said_2))
        before, after = (slots(tested.marked, answers[name].values, only) for name in (first, second))
        won, lost = int((after & ~before).sum()), int((before & ~after).sum())
        print(
            f"| {answers[second].title} against {answers[first].title} | {f1.percent()} "
            f"| {precision.percent()} | {won} | {lost} | {exact_mcnemar(before, after):.2g} |",
            flush=True,
        )


def counts(
    texts: Sequence[AnnotatedText],
    found: Sequence[Mapping[str, str]],
    counted: str,
    only: Callable[[str], bool] = lambda key: True,
) -> tuple[Counts, Counts, Counts]:
    """Of each text how many values are right, how many are said, how many are marked."""
    right, said, marked = np.zeros((3, len(texts)))
    for at, (text, values) in enumerate(zip(texts, found, strict=True)):
        there = {key: listed for key, listed in text.values.items() if listed and only(key)}
        right[at] = sum(values.get(key) in listed for key, listed in there.items())
        said[at] = len(there.keys() & values.keys() if counted == "marked" else [*filter(only, values)])
        marked[at] = len(there)
    return right, said, marked


def slots(
    texts: Sequence[AnnotatedText], found: Sequence[Mapping[str, str]], only: Callable[[str], bool]
) -> npt.NDArray[np.bool_]:
    """Of each marked attribute of each text whether its value was found."""
    return np.array(
        [
            values.get(key) in listed
            for text, values in zip(texts, found, strict=True)
            for key, listed in text.values.items()
            if listed and only(key)
        ],
        bool,
    )


def _percent(one: Interval) -> str:
    return f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def _told(stage: str, done: int, total: int) -> None:
    if done == total or done % 50 == 0:
        sys.stderr.write(f"{stage}: {done}/{total}\n")


if __name__ == "__main__":
    main()
