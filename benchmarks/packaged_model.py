"""The packaged instruction model on synthetic twins that it has not seen, part by part, beside the rules.

    python benchmarks/packaged_model.py [--model NAME] [--reviews 60] [--products 300] [--seed 101 ...]

Test split, transformers engine; with several seeds one twin after the other, in the end the links of all. The
twin knows what each review states, so that extraction and comparison are measured by themselves: values that
the review states of its product are right, all others wrong; comparison is over the ten candidates that
retrieval finds, where they hold the product and what the review states fits no other. Prints Markdown;
end-to-end rows are `ameli-llm link` without and with the model, by default weights (part link) or each by its
own, tuned on dev (part tuned).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ameli_llm.attributes import llm
from ameli_llm.attributes._proof import ProvenValues
from ameli_llm.attributes.extractor import Extraction, ExtractionTask
from ameli_llm.attributes.llm import LlmExtractor
from ameli_llm.attributes.matching.sense import Sense
from ameli_llm.attributes.merge import merge
from ameli_llm.attributes.values.normalise import agreement, alternatives, normalise, normalise_all
from ameli_llm.comparison import entail, listwise
from ameli_llm.comparison.comparator import Comparator, ComparisonTask
from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import Dataset, load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.dataset.synth.catalogue import load_catalogue
from ameli_llm.dataset.synth.layout import drafts, make_plan
from ameli_llm.engines.engine import ChatRequest, Engine
from ameli_llm.flow import vocabulary
from ameli_llm.instruction.told import Fact, Told
from ameli_llm.pipeline import Pipeline, open_pipeline
from ameli_llm.prompting.preview import Recorder
from ameli_llm.ties import chance
from ameli_llm.types import AttributeValue, Review, no_progress
from eval.experiment import link_variants, tune_pipeline
from eval.measures.statistics import ClusteredBootstrap, exact_mcnemar
from eval.paired import compare_runs
from retrieval.encoders import text_encoder

BESIDES = frozenset({"Brand", "Product Name", "Model Number", "Model Version", "Color Category"})
"""Keys that a review may state without the twin's record of it: not counted, right or wrong."""

NEAR = 0.75
"""Cosine from which a phrase counts for a value where no model has chosen it."""


@dataclass(frozen=True)
class Asked:
    """A review with its candidates and what it states of its product, by key."""

    review: Review
    task: ComparisonTask
    stated: Mapping[str, str]
    told: Told
    gold: int | str | None


def main() -> None:
    """The tables, part by part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-ameli")
    parser.add_argument("--products", type=int, default=300)
    parser.add_argument("--reviews", type=int, default=60, help="of the test split")
    parser.add_argument("--seed", type=int, nargs="+", default=[101])
    parser.add_argument("--comparators", default="entail,listwise", help="of the model; may be empty")
    parser.add_argument("--set", action="append", default=[], help="setting of every run")
    parser.add_argument("--parts", default="extraction,comparison,free,link")
    options = parser.parse_args()
    changed = [one for one in (twin(seed, options) for seed in options.seed) if one is not None]
    if len(changed) > 1:
        fixed, broken = (sum(counts) for counts in zip(*changed, strict=True))
        p = exact_mcnemar([False] * fixed + [True] * broken, [True] * fixed + [False] * broken)
        print(f"\nOver all seeds the model fixes {fixed} links and breaks {broken} (exact p {p:.2g}).")


def twin(seed: int, options: argparse.Namespace) -> tuple[int, int] | None:
    """The tables of one twin; how many links the model fixes and breaks, None without part link."""
    parts = options.parts.split(",")
    found = None
    print(f"\nSeed {seed}, {options.reviews} reviews.")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "twin"
        write_twin(folder, products=options.products, reviews=5 * options.reviews, seed=seed)
        dataset = load_dataset(folder)
        served = ["engine.name=transformers", f"engine.model={options.model}"]
        off, config = override(RunConfig(), options.set), override(RunConfig(), [*served, *options.set])
        with open_pipeline(dataset, override(config, ["comparison.comparators=[rules,entail]"])) as pipeline:
            pipeline.canary()
            asked = reviews_of(dataset, pipeline, seed, options)
            if "extraction" in parts:
                extraction(pipeline, asked)
            if "phrases" in parts:
                by_phrases(pipeline, asked)
            if "comparison" in parts:
                comparison(pipeline, asked, [name for name in options.comparators.split(",") if name])
            if "free" in parts:
                unconstrained(pipeline, asked)
        if "link" in parts:
            found = end_to_end(dataset, {"off": off, "model": config}, Path(work) / "runs")
        if "tuned" in parts:
            tuned = {"off, tuned": off, "model, tuned": config}
            tuned = {name: tuned_on_dev(dataset, one) for name, one in tuned.items()}
            end_to_end(dataset, tuned, Path(work) / "tuned")
    return found


def reviews_of(dataset: Dataset, pipeline: Pipeline, seed: int, options: argparse.Namespace) -> list[Asked]:
    """The reviews of the test split, each with its ten candidates and the twin's own record."""
    catalogue = load_catalogue()
    plan = make_plan(catalogue, options.products, 5 * options.reviews, seed, 0.5)
    records = {number: draft.provenance for number, draft in enumerate(drafts(plan, catalogue), start=1)}
    split = dataset.split("test")
    reviews = split.reviews[: options.reviews]
    found = []
    for review, candidates in zip(reviews, pipeline.flow.retrieve(reviews), strict=True):
        ids = [one.entity_id for one in candidates[: pipeline.flow.candidates]]
        attributes = tuple(pipeline.flow.attributes[one] for one in ids)
        products = tuple(pipeline.flow.products[one] for one in ids)
        record = records[int(review.id)]
        facts = (*_facts(record.stated, False), *_facts(record.shared, False), *_facts(record.denied, True))
        told = Told(review, facts, products, attributes)
        task = ComparisonTask(review, products, attributes)
        found.append(Asked(review, task, {**record.stated, **record.shared}, told, split.gold[review.id]))
    return found


def _facts(values: Mapping[str, str], denied: bool) -> tuple[Fact, ...]:
    return tuple(Fact(key, value, value, denied) for key, value in values.items())


def extraction(pipeline: Pipeline, asked: Sequence[Asked]) -> None:
    """Precision, recall and F1 of values that the review states, each proven by its span."""
    print("\n| extractor | reviews | right | wrong | missed | precision % | recall % | F1 % | s a review |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    tasks = [ExtractionTask(one.review, vocabulary(one.task.attributes)) for one in asked]
    found: dict[str, list[Extraction]] = {}
    for name in ("rules", "llm"):
        began = time.perf_counter()
        found[name] = pipeline.flow.extractors[name].extract(tasks)
        _row(name, asked, [one.values for one in found[name]], (time.perf_counter() - began) / len(asked))
    values = {name: [one.values for one in extractions] for name, extractions in found.items()}
    both = [[*a, *b] for a, b in zip(values["rules"], values["llm"], strict=True)]
    _row("either", asked, both, 0.0)
    agreed = [
        [one for one in a if any(one.key == other.key and _same(one, other.value) for other in b)]
        for a, b in zip(values["rules"], values["llm"], strict=True)
    ]
    _row("both agree", asked, agreed, 0.0)
    _row("kept by the linker", asked, _kept(pipeline, found), 0.0)


def _kept(pipeline: Pipeline, found: Mapping[str, Sequence[Extraction]]) -> list[tuple[AttributeValue, ...]]:
    pairs = [dict(zip(found, pair, strict=True)) for pair in zip(*found.values(), strict=True)]
    return [merge(pair, pipeline.config.attributes.precision) for pair in pairs]


def by_phrases(pipeline: Pipeline, asked: Sequence[Asked]) -> None:
    """The same without a model: the phrase of up to four words that is nearest to a value of its key.

    Which phrases those are decides the sentence encoder alone, from the cosine on that is best on seed 302.
    """
    head = f"| rules, and phrases from cosine {NEAR}"
    print(f"\n{head} | reviews | right | wrong | missed | P % | R % | F1 % | s a review |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    began = time.perf_counter()
    encode = text_encoder("sbert").encode
    tasks = [ExtractionTask(one.review, vocabulary(one.task.attributes)) for one in asked]
    found = [list(one.values) for one in pipeline.flow.extractors["rules"].extract(tasks)]
    for task, values in zip(tasks, found, strict=True):
        proven = ProvenValues(task.review, "phrases", Sense(encode, NEAR))
        phrases = _phrases(task.review.body)
        vectors = encode(phrases)
        for key, cells in task.vocabulary.items():
            listed = {part: part for cell in cells for part in alternatives(key, cell)}
            if phrases and listed and key not in BESIDES:
                cosines = vectors @ encode(list(listed)).T
                phrase, value = np.unravel_index(int(cosines.argmax()), cosines.shape)
                proven.propose(key, listed, list(listed)[value], phrases[phrase])
        values += proven.values
    _row("rules and phrases", asked, found, (time.perf_counter() - began) / len(asked))


def _phrases(text: str) -> list[str]:
    words = text.split()
    spans = (" ".join(words[at : at + size]) for size in (1, 2, 3, 4) for at in range(len(words) - size + 1))
    return list(dict.fromkeys(span.strip(".,!?") for span in spans))


def _row(
    name: str, asked: Sequence[Asked], found: Sequence[Sequence[AttributeValue]], seconds: float
) -> None:
    right = wrong = missed = 0
    for one, values in zip(asked, found, strict=True):
        listed = vocabulary(one.task.attributes)
        stated = {key: value for key, value in one.stated.items() if key in listed}
        hit = set()
        counted = {(v.key, normalise(v.key, v.value)): v for v in values if not v.negated}
        for value in counted.values():
            if value.key in BESIDES:
                continue
            if value.key in stated and _same(value, stated[value.key]):
                hit.add(value.key)
            else:
                wrong += 1
        right += len(hit)
        missed += len(stated.keys() - hit)
    precision, recall = right / max(right + wrong, 1), right / max(right + missed, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    shares = " | ".join(f"{100 * share:.1f}" for share in (precision, recall, f1))
    print(f"| {name} | {len(asked)} | {right} | {wrong} | {missed} | {shares} | {seconds:.2f} |")


def _same(value: AttributeValue, other: str) -> bool:
    return agreement(normalise(value.key, value.value), normalise_all(value.key, (other,))) == 1


def comparison(pipeline: Pipeline, asked: Sequence[Asked], comparators: Sequence[str]) -> None:
    """How often the right candidate of ten is best, where the review's words leave it alone.

    Paired with the first row; "flips": reviews with another choice when the candidates are turned around.
    """
    print(
        "\n| comparator | reviews that decide | right | % [95 % interval] | fixed | broken | p | flips | s |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    decided = [one for one in asked if len(one.told.possible) == 1 and _gold_is_left(one)]
    engine = pipeline.engine
    assert engine is not None
    assert pipeline.flow.panel is not None
    makers: Mapping[str, Callable[[Engine], Comparator]] = {
        "entail": entail.create,
        "listwise": listwise.create,
    }
    asking = [ExtractionTask(one.review, vocabulary(one.task.attributes)) for one in decided]
    found_by = {name: pipeline.flow.extractors[name].extract(asking) for name in ("rules", "llm")}
    by_rules = _compared(decided, [one.values for one in found_by["rules"]])
    by_both = _compared(decided, _kept(pipeline, found_by))
    rules = pipeline.flow.panel.comparators["rules"]
    rows: dict[str, tuple[Comparator, Sequence[ComparisonTask]]] = {
        "rules, values by rules": (rules, by_rules),
        "rules, values by rules and model": (rules, by_both),
        **{name: (makers[name](engine), by_both) for name in comparators},
    }
    first: npt.NDArray[np.bool_] | None = None
    for name, (comparator, tasks) in rows.items():
        began = time.perf_counter()
        chosen = _choices(comparator, tasks)
        seconds = (time.perf_counter() - began) / max(len(tasks), 1)
        flips = sum(
            a != b for a, b in zip(chosen, _choices(comparator, [_turned(t) for t in tasks]), strict=True)
        )
        hits = np.array([choice == one.gold for choice, one in zip(chosen, decided, strict=True)])
        first = hits if first is None else first
        share = ClusteredBootstrap([one.gold for one in decided]).ratio(hits, np.ones(len(hits)))
        print(
            f"| {name} | {len(decided)} | {hits.sum()} | {100 * share.value:.1f} "
            f"[{100 * share.low:.1f}, {100 * share.high:.1f}] "
            f"| {(hits & ~first).sum()} | {(first & ~hits).sum()} "
            f"| {exact_mcnemar(first.tolist(), hits.tolist()):.2g} | {flips} | {seconds:.2f} |"
        )


def _choices(comparator: Comparator, tasks: Sequence[ComparisonTask]) -> list[int | str | None]:
    """The best candidate of each task, None where the comparison failed; equal scores by chance."""
    chosen: list[int | str | None] = []
    for task, result in zip(tasks, comparator.compare(tasks), strict=True):
        ids = [product.id for product in task.candidates]
        scored = zip(result.scores, ids, strict=True) if result.scores else ()
        chosen.append(
            min(scored, key=lambda one: (-one[0], chance(task.review.id, one[1])), default=(0, None))[1]
        )
    return chosen


def _turned(task: ComparisonTask) -> ComparisonTask:
    return replace(task, candidates=task.candidates[::-1], attributes=task.attributes[::-1])


def _compared(asked: Sequence[Asked], values: Sequence[Sequence[AttributeValue]]) -> list[ComparisonTask]:
    return [replace(one.task, extracted=tuple(found)) for one, found in zip(asked, values, strict=True)]


def _gold_is_left(one: Asked) -> bool:
    return one.task.candidates[one.told.possible[0]].id == one.gold


def unconstrained(pipeline: Pipeline, asked: Sequence[Asked]) -> None:
    """Replies to the extraction prompt without its schema: how many follow it all the same."""
    engine, extractor = pipeline.engine, pipeline.flow.extractors["llm"]
    assert engine is not None
    assert isinstance(extractor, LlmExtractor)
    recorder = Recorder()
    asking = llm.create(recorder, extractor.template.name)
    asking.extract([ExtractionTask(one.review, vocabulary(one.task.attributes)) for one in asked])
    sent: list[ChatRequest] = recorder.requests
    replies = engine.chat([replace(one, schema=None) for one in sent])
    found = Counter(_follows(one, reply.text) for one, reply in zip(sent, replies, strict=True))
    counts = ", ".join(f"{what} {count}" for what, count in found.most_common())
    print(f"\nOf {len(sent)} unconstrained replies: {counts}.")


def _follows(request: ChatRequest, text: str) -> str:
    """What is wrong first with a reply, by its schema."""
    try:
        content = json.loads(text)
    except ValueError:
        return "no JSON"
    if not isinstance(content, dict):
        return "no object"
    properties = (request.schema or {})["properties"]
    for key, pair in content.items():
        if key not in properties:
            return "unlisted attribute"
        if not isinstance(pair, list) or len(pair) != 2:
            return "no pair of quotation and value"
        if pair[1] not in properties[key]["prefixItems"][1]["enum"]:
            return "unlisted value"
    return "follow their schema"


def tuned_on_dev(dataset: Dataset, config: RunConfig) -> RunConfig:
    """The configuration with the weights that `ameli-llm tune` finds on dev."""
    dev = dataset.split("dev")
    with open_pipeline(dataset, config) as pipeline:
        found = tune_pipeline(pipeline, dev.reviews, dev.gold, no_progress).config
    print(f"\n{config.engine.model or 'no model'}: fusion {found.fusion.model_dump()}")
    return found


def end_to_end(dataset: Dataset, configs: Mapping[str, RunConfig], out: Path) -> tuple[int, int]:
    """Linking with each configuration, paired with the first; links that the last one fixes and breaks."""
    runs = dict(link_variants(dataset, dataset.split("test"), configs, out, no_progress))
    first = next(iter(runs.values()))
    print("\n| run | end-to-end F1 % [95 % interval] | fixed | broken | exact p | tokens a review |")
    print("|---|---:|---:|---:|---:|---:|")
    changed = (0, 0)
    for name, outcome in runs.items():
        paired = compare_runs(first.folder, outcome.folder).paired
        metrics = outcome.metrics or {}
        f1 = metrics["end_to_end_f1"]
        answered = paired.answered
        tokens = metrics["tokens"]
        changed = len(answered.fixed), len(answered.broken)
        total = (tokens["prompt"] + tokens["completion"]) / max(metrics["n"], 1)
        print(
            f"| {name} | {100 * f1['value']:.1f} [{100 * f1['low']:.1f}, {100 * f1['high']:.1f}] "
            f"| {changed[0]} | {changed[1]} | {answered.p:.3g} | {total:.0f} |"
        )
    return changed


if __name__ == "__main__":
    main()
