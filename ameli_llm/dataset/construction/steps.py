"""The steps of a build that take one product or review at a time: each goes on where it was killed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ameli_llm.dataset.construction.knowledge import KnowledgeBase, plain_name
from ameli_llm.dataset.construction.raw import RawReview, RawRow, RawTables, Record
from ameli_llm.dataset.construction.rules.rule import Rule
from ameli_llm.dataset.construction.store import BuildStore
from ameli_llm.dataset.importing.fields import Kind
from ameli_llm.dataset.importing.losses import LeftOutError, Losses, What
from ameli_llm.dataset.importing.records import Note
from ameli_llm.types import Progress

PRODUCTS, READING = "products", "reviews"
"""Names of the steps that read tables."""


@dataclass(frozen=True)
class Judged:
    """A review after a step: as it goes on, or the reason why it does not, and what was noted of it."""

    review: RawReview
    dropped: str = ""
    notes: tuple[tuple[str, str], ...] = ()


def read_products(
    tables: RawTables, rules: Mapping[str, Rule], store: BuildStore, batch: int, progress: Progress
) -> None:
    """Reads the rows of products into the store, and drops what a rule is against."""

    def add(row: RawRow) -> None:
        note = _noting(store, PRODUCTS, row.place)
        try:
            record, product = tables.product(row, note)
        except LeftOutError as reason:
            store.count(PRODUCTS, "product dropped", _alike(reason), row.place)
            return
        record, dropped = _product(record, tables.folders("products", row.table), rules, note)
        name, kept = plain_name(product.name), None if dropped else record
        if not store.add_product(row.number, str(product.id), name, row.table, kept):
            dropped = "repeats the id of an earlier row"
        what = "product dropped" if dropped else "product kept"
        store.count(PRODUCTS, what, dropped, row.place, product.name)

    _read(tables, "products", PRODUCTS, store, batch, progress, add)


def _product(
    record: Record, folders: Sequence[Path], rules: Mapping[str, Rule], note: Note
) -> tuple[Record, str]:
    """A product's record after all rules, and why it is dropped, "" if it is not."""
    for name, rule in rules.items():

        def named(what: What, reason: str, name: str = name) -> None:
            note(what, f"{name}: {what} {reason}")

        try:
            record = rule.product(record, folders, named)
        except LeftOutError as reason:
            return record, f"{name}: {reason}"
    return record, ""


def read_reviews(
    tables: RawTables,
    knowledge: KnowledgeBase,
    rules: Mapping[str, Rule],
    store: BuildStore,
    batch: int,
    progress: Progress,
) -> None:
    """Reads the rows of reviews into the store: those that all rules let pass, each id once."""

    def add(row: RawRow) -> None:
        try:
            review = tables.review(row)
        except LeftOutError as reason:
            store.count(READING, "review dropped", _alike(reason), row.place)
            return
        judged = judge(review, rules, tables)
        step = READING
        for what, noted in judged.notes:
            store.count(step, what, noted, review.place, review.text)
        dropped = judged.dropped or _without_product(judged.review, knowledge)
        if not dropped:
            gold, product = _with_gold(judged.review, knowledge)
            if not store.add_review(gold, product):
                dropped = "repeats the id of an earlier review"
        if dropped:
            store.count(step, "review dropped", dropped, review.place, review.text)
        else:
            store.count(step, "review kept", "", review.place, review.text)

    _read(tables, "reviews", READING, store, batch, progress, add)


def judge(review: RawReview, rules: Mapping[str, Rule], tables: RawTables) -> Judged:
    """The review after all rules, or the first that is against it, by name."""
    notes: list[tuple[str, str]] = []
    folders = tables.folders("reviews", review.table)
    for name, rule in rules.items():

        def note(what: What, reason: str, name: str = name) -> None:
            notes.append((f"{what} noted", f"{name}: {what} {reason}"))

        try:
            review = rule.review(review, folders, note)
        except LeftOutError as reason:
            return Judged(review, f"{name}: {reason}", tuple(notes))
    return Judged(review, notes=tuple(notes))


def sweep(
    step: str,
    store: BuildStore,
    batch: int,
    progress: Progress,
    work: Callable[[list[RawReview]], Sequence[Judged]],
) -> None:
    """Passes all reviews through ``work``, ``batch`` at a time; keeps what it gives and drops what it drops.

    ``work`` answers in the order of the reviews; what it writes into the store is kept with its answers.
    Batches are cut by what was in the store when the step began, so that a step that goes on sees the same.
    """
    cursor, finished = store.standing(step)
    if finished:
        return
    total, done = store.number("reviews"), 0
    while reviews := store.reviews(cursor - 1, batch):
        cursor = reviews[-1].position + 1
        with store.batch():
            for review, judged in zip(reviews, work(reviews), strict=True):
                _settle(store, step, review, judged)
            store.advance(step, cursor)
        done += len(reviews)
        progress(step, done, max(total, done))
    with store.batch():
        store.advance(step, cursor, finished=True)


def _settle(store: BuildStore, step: str, before: RawReview, judged: Judged) -> None:
    for what, reason in judged.notes:
        store.count(step, what, reason, before.place, before.text)
    if judged.dropped:
        store.drop_review(before.position)
        store.count(step, "review dropped", judged.dropped, before.place, before.text)
        return
    if judged.review.record is not before.record:
        store.replace_review(judged.review)
    store.count(step, "review kept", "", before.place, before.text)


def _read(
    tables: RawTables,
    kind: Kind,
    step: str,
    store: BuildStore,
    batch: int,
    progress: Progress,
    add: Callable[[RawRow], None],
) -> None:
    """Adds every row, ``batch`` at a time; what could not be read as a row at all is counted in the end."""
    done, finished = store.standing(step)
    if finished:
        return
    losses = Losses()
    rows = tables.each(kind, losses, skip=done)
    total = tables.rows(kind)
    while some := list(islice(rows, batch)):
        with store.batch():
            for row in some:
                add(row)
            done = some[-1].number + 1
            store.advance(step, done)
        progress(step, done, total)
    with store.batch():
        for loss in losses.all():
            store.count(step, f"{loss.what} dropped", loss.reason, ", ".join(loss.places), number=loss.count)
        store.advance(step, done, finished=True)


def _alike(reason: LeftOutError) -> str:
    """The reason without the numbers of list items, so that all like it count as one."""
    return re.sub(r"\[\d+\]", "", str(reason))


def _noting(store: BuildStore, step: str, place: str) -> Note:
    return lambda what, reason: store.count(step, f"{what} noted", reason, place)


def _without_product(review: RawReview, knowledge: KnowledgeBase) -> str:
    """Why a review has no product to be linked to, "" if it has."""
    if review.product is None:
        return "names no product"
    if knowledge.row(review.product) is not None:
        return ""
    gone = knowledge.was_dropped(review.product)
    return "its product was dropped" if gone else "names a product that is not among the products"


def _with_gold(review: RawReview, knowledge: KnowledgeBase) -> tuple[RawReview, int]:
    """The review with its product as the knowledge base has it, and the product's row."""
    row = knowledge.row(review.product)
    assert row is not None
    product = knowledge.product(row)
    gold = {
        "id": product.id,
        "product_name": product.name,
        "product_category": " -> ".join(product.category),
    }
    return review.having(gold_entity_info=gold), row
