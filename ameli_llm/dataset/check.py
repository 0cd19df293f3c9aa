"""Counts and names everything degraded in a dataset, before a result is built on it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.images import ImageProblem, open_image, probe_image
from ameli_llm.dataset.leaks import leak_problems, quotes
from ameli_llm.dataset.load import Dataset, Problem, Split
from ameli_llm.dataset.statistics import KBStatistics, SplitStatistics, kb_statistics, split_statistics
from ameli_llm.ids import EntityId, id_order
from ameli_llm.types import Progress

_IMAGES_AT_ONCE = 512


@dataclass(frozen=True)
class Finding:
    """All problems of one kind: how many, and where in the order they were met."""

    code: str
    severity: Literal["warning", "error"]
    count: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Check:
    """The outcome of checking a dataset; ``findings`` has errors first, then most frequent first."""

    digest: str
    kb: KBStatistics
    splits: tuple[SplitStatistics, ...]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """False when something found makes every result on the dataset meaningless."""
        return not any(finding.severity == "error" for finding in self.findings)


@dataclass(frozen=True)
class _ImageUse:
    """An image that a record names, and its file."""

    where: str
    name: str
    path: Path | None


def check_dataset(dataset: Dataset, *, decode: bool = True, progress: Progress | None = None) -> Check:
    """Statistics and problems of a dataset and all its splits.

    ``decode`` decodes every image, in threads; without it only the headers are read, which cannot tell a
    truncated file. Raises AmeliError when a split cannot be read at all.
    """
    splits = [dataset.split(name) for name in dataset.splits()]
    problems = list(dataset.problems)
    problems += _kb_problems(dataset)
    for split in splits:
        problems += (_in_split(problem, split.name) for problem in split.problems)
        problems += (_in_split(problem, split.name) for problem in _review_problems(dataset, split))
    problems += _split_problems(splits)
    problems += leak_problems(dataset, splits)
    problems += _image_problems(_images(dataset, splits), decode, progress)
    return Check(
        digest=dataset.digest,
        kb=kb_statistics(dataset),
        splits=tuple(split_statistics(split) for split in splits),
        findings=_grouped(problems),
    )


def _grouped(problems: Iterable[Problem]) -> tuple[Finding, ...]:
    by_code: dict[str, list[Problem]] = {}
    for problem in problems:
        by_code.setdefault(problem.code, []).append(problem)
    findings = (Finding(code, group[0].severity, len(group), tuple(group)) for code, group in by_code.items())
    return tuple(sorted(findings, key=lambda f: (f.severity != "error", -f.count, f.code)))


def _in_split(problem: Problem, split: str) -> Problem:
    return Problem(problem.code, f"{split} {problem.where}", problem.message, problem.severity)


def _kb_problems(dataset: Dataset) -> Iterator[Problem]:
    if not dataset.products:
        yield Problem("no_products", "the KB", "holds no product", "error")
    for product in dataset.products.values():
        where = f"product {product.id}"
        if not product.name:
            yield Problem("no_name", where, "has no name", "warning")
        if not product.description:
            yield Problem("no_description", where, "has no description", "warning")
        if not attribute_dictionary(product):
            yield Problem("no_attributes", where, "has no attribute", "warning")


def _review_problems(dataset: Dataset, split: Split) -> Iterator[Problem]:
    for review in split.reviews:
        where = f"review {review.id}"
        if not review.text:
            yield Problem("empty_text", where, "has neither header nor body", "warning")
        if not review.mention:
            yield Problem("no_mention", where, "has no mention", "warning")
        if review.id not in split.gold:
            yield Problem("no_gold", where, "has no gold product: linked, not scored", "warning")
        gold = split.gold.get(review.id)
        name = split.gold_names.get(review.id, "") if gold is None else dataset.products[gold].name
        if quotes(review.text, name):
            message = f"quotes the name of its gold product: {name!r}"
            yield Problem("gold_title_in_review", where, message, "warning")


def _split_problems(splits: Sequence[Split]) -> Iterator[Problem]:
    if not any(split.reviews for split in splits):
        yield Problem("no_reviews", "the dataset", "holds no review in train, dev or test", "error")
    homes: dict[EntityId, list[str]] = {}
    for split in splits:
        for product in {gold for gold in split.gold.values() if gold is not None}:
            homes.setdefault(product, []).append(split.name)
    for product, names in sorted(homes.items(), key=lambda home: id_order(home[0])):
        if len(names) > 1:
            message = f"is a gold product in {' and '.join(names)}: what is trained or tuned on one leaks"
            yield Problem("gold_in_several_splits", f"product {product}", message, "warning")


# Images


def _images(dataset: Dataset, splits: Sequence[Split]) -> list[_ImageUse]:
    uses = [
        _ImageUse(f"product {product.id}", name, dataset.product_image(name))
        for product in dataset.products.values()
        for name in product.images
    ]
    return uses + [
        _ImageUse(f"{split.name} review {review.id}", name, dataset.review_image(name))
        for split in splits
        for review in split.reviews
        for name in review.images
    ]


def _image_problems(uses: Sequence[_ImageUse], decode: bool, progress: Progress | None) -> Iterator[Problem]:
    done = 0
    remaining = iter(uses)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        while batch := list(islice(remaining, _IMAGES_AT_ONCE)):
            inspected = pool.map(lambda use: _inspect(use, decode), batch)
            yield from (problem for problem in inspected if problem is not None)
            done += len(batch)
            if progress is not None:
                progress("images", done, len(uses))


def _inspect(use: _ImageUse, decode: bool) -> Problem | None:
    if use.path is None:
        return Problem("image_missing", use.where, f"no file {use.name!r}", "warning")
    try:
        if decode:
            open_image(use.path).close()
        else:
            probe_image(use.path)
    except ImageProblem as problem:
        return Problem(f"image_{problem.reason}", use.where, problem.message, "warning")
    return None
