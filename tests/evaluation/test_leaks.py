"""None of the official code's leaks is in our evaluation, and a run says what its reviews give away.

L1 to L10 number the leaks; that their settings bring them back is tested in ``test_official``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.config import RunConfig
from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.check import check_dataset
from ameli_llm.dataset.folds import folds
from ameli_llm.dataset.load import Dataset, load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.flow import vocabulary
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from ameli_llm.types import Product, Review, SpecRow
from eval.baselines.tasks import examples
from eval.evaluation import evaluate, evaluate_run
from eval.leaks import FILE, ReviewTrace, Traces, read_traces, traces
from eval.measures.judged import judge
from eval.measures.leaks import RunLeaks, lines, run_leaks
from eval.official.leaks import Official

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]

COLOUR = {
    "key": "Color",
    "value": "Red",
    "source": "rules",
    "evidence": {"field": "body", "start": 0, "end": 3, "text": "red"},
}
STAGES: dict[str, dict[str, Any]] = {
    "L2 keys from gold": {
        "predicted_attribute": {"Color": "red"},
        "gold_attribute": {"Color": ["red"]},
        "gold_attribute_for_predicted_category": {"Color": "red"},
    },
    "L4 image pair": {"review_special_product_info": {"1": {"image_path": ["x.jpg"]}}},
    "L9 values from gold": {"attribute": {"Color": "Red", "Product Title": "Lamp 1"}},
    "L10 score dictionary": {
        "fused_candidate_list": [2],
        "fused_score_dict": {"2": {"fused_score": 0.4}, "1": {"gold_product_position_in_retrieval": 90}},
    },
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Dataset]:
    """write(fields, name=, **{split: gold products}): lamps, and reviews whose records have ``fields``."""

    def make(fields: dict[str, Any], name: str = "set", **splits: tuple[int, ...]) -> Dataset:
        root = tmp_path / name
        products = [
            {
                "id": i,
                "product_name": f"Lamp {i}",
                "product_category": "Lamps",
                "Spec": [
                    {"subsection": "All", "text": [{"specification": "Color", "value": "Red"}]},
                ],
            }
            for i in range(1, 10)
        ]
        files: dict[str, Any] = {"products.json": products}
        number = 0
        for split, gold in splits.items():
            records = []
            for product in gold:
                number += 1
                info = {"id": product, "product_name": f"Lamp {product}"}
                text = {"header": "Nice", "body": "A red one.", "mention": "lamp"}
                records.append({"review_id": number, **text, "gold_entity_info": info} | fields)
            files[f"{split}/reviews.json"] = records
        for file, content in files.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(json.dumps(content), encoding="utf-8")
        return load_dataset(root)

    return make


# L1 to L10


def test_l1_gold_that_was_not_retrieved_is_a_miss_however_short_the_list(
    predict: Predict, golds: Golds
) -> None:
    rows = [predict(1, 2, {2: 0.9}), predict(2, None, {}), predict(3, 3, {3: 0.9})]
    measured = evaluate(rows, golds({1: 1, 2: 1, 3: 3}), RunConfig()).metrics
    assert measured["recall"]["100"] is not None
    assert measured["recall"]["100"].value == pytest.approx(1 / 3)
    assert measured["disambiguation_f1"].n == 1
    assert measured["end_to_end_f1"].n == 3


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_l2_l4_l9_l10_stage_fields_reach_nothing_but_the_audit(
    write: Callable[..., Dataset], stage: str, split: str
) -> None:
    with_them = write(STAGES[stage], "with", **{split: (1, 2)}).split(split)
    without = write({}, "without", **{split: (1, 2)}).split(split)
    assert with_them.reviews == without.reviews
    assert (with_them.gold, with_them.digest) == (without.gold, without.digest)
    assert without.reviews[0] == Review(1, "Nice", "A red one.", "lamp")


def test_l2_keys_are_those_of_the_candidates() -> None:
    right = Product(3, "C", spec=(SpecRow("All", "Only gold has this", "x"),))
    others = [
        Product(i, "A", spec=(SpecRow("All", "Color", colour),)) for i, colour in ((1, "Red"), (2, "B"))
    ]
    assert set(vocabulary([attribute_dictionary(one) for one in others])) == {"Color"}
    assert set(attribute_dictionary(right)) == {"Only gold has this"}


def test_l3_no_choice_reads_the_test_split(write: Callable[..., Dataset]) -> None:
    data = write({}, train=(1, 2), dev=(3,), test=(4,))
    (data.root / "test" / "reviews.json").write_text("[", encoding="utf-8")
    train, choosing = folds(data, "train", seed=0)
    assert (train.name, choosing.name) == ("train", "dev")
    assert not set(train.gold.values()) & set(choosing.gold.values())
    with pytest.raises(AmeliError):
        data.split("test")


def test_l3_training_shares_no_gold_product_with_what_is_chosen_on(write: Callable[..., Dataset]) -> None:
    train, choosing = folds(write({}, train=(1, 2, 2, 5), dev=(2, 3)), "train", seed=0)
    assert sorted(train.gold.values()) == [1, 5]
    assert sorted(choosing.gold.values()) == [2, 3]


def test_l5_a_mention_from_the_gold_title_is_named(write: Callable[..., Dataset]) -> None:
    data = write({"mention": "Lamp 1"}, dev=(1, 2))
    counts = {finding.code: finding.count for finding in check_dataset(data).findings}
    assert counts["mention_in_gold_title"] == 1


def test_l6_the_title_is_no_attribute() -> None:
    product = Product(1, "Acme Breeze 300 Blender in Red", spec=(SpecRow("All", "Color", "Red"),))
    values = [value for held in attribute_dictionary(product).values() for value in held]
    assert product.name not in values


# L7, the order of options: test_official.test_options_are_shuffled_for_each_review and
# test_official.test_values_are_listed_alike_whatever_the_rank_of_their_candidates.


@pytest.mark.parametrize("count", [1, 15, 16, 17])
def test_l8_no_review_is_left_out(predict: Predict, golds: Golds, count: int) -> None:
    """Neither the hard ones (nothing found, nothing stated, failed) nor a last incomplete batch."""
    hard: list[dict[str, Any]] = [{"state": "engine_error"}, {"state": "abstained"}, {"state": "nil"}]
    rows = [predict(i, None, {}, **hard[i % 3]) for i in range(count)]
    measured = evaluate(rows, golds(dict.fromkeys(range(count), 1)), RunConfig()).metrics
    assert (measured["n"], measured["with_gold"], measured["end_to_end_f1"].n) == (count, count, count)
    assert (measured["end_to_end_f1"].value, measured["protocol"].reviews_dropped) == (0.0, 0)


def test_l9_training_and_testing_take_attributes_from_the_same_place(
    write: Callable[..., Dataset], predict: Predict
) -> None:
    data = write(STAGES["L9 values from gold"], train=(1, 2), dev=(3,))
    rows = [predict(1, 1, {1: 0.9}), predict(2, 2, {2: 0.9}, attributes=[COLOUR]), predict(3, 3, {3: 0.9})]
    train, choosing = folds(data, "train", seed=0)
    stated = {
        one.task.review.id: [(value.key, value.value) for value in one.task.extracted]
        for fold in (train, choosing)
        for one in examples(rows, fold, k=10)
    }
    assert stated == {1: [], 2: [("Color", "Red")], 3: []}


def test_l10_candidates_are_what_retrieval_found(write: Callable[..., Dataset], predict: Predict) -> None:
    data = write(STAGES["L10 score dictionary"], train=(1, 5), dev=(3,))
    rows = [predict(i, 4, {4: 0.9, 2: 0.8}) for i in (1, 2)]
    train, _ = folds(data, "train", seed=0)
    assert [one.task.entity_ids for one in examples(rows, train, k=10)] == [[4, 2], [4, 2]]
    measured = evaluate(rows, {1: GoldRow(gold=1), 2: GoldRow(gold=5)}, RunConfig()).metrics
    assert measured["recall"]["100"] is not None
    assert measured["recall"]["100"].value == 0.0


# The audit of a run


def counts(**changed: Any) -> RunLeaks:
    plain: dict[str, Any] = {
        "gold_in_other_splits": None,
        "quotes_title": None,
        "foreign_keys": None,
        "title_keys": 0,
        "short_lists": 0,
        "gold_inserted": 0,
        "chance_links": 0,
        "chance_links_with_gold": 0,
    }
    return RunLeaks(**(plain | changed))


def test_traces(predict: Predict) -> None:
    reviews = [
        Review(2, body="nothing"),
        Review(1, header="My LAMP  one!", body="x"),
        Review(3, body="a lamp onesie"),
        Review(4),
    ]
    attributes = {1: {"Color": ("Red",)}, 2: {"Size": ("M",)}, 9: {"Size": ("S",)}}
    rows = [
        predict(2, 1, {1: 0.9, 2: 0.8, 9: 0.1}, compared=2, attributes=[COLOUR]),
        predict(3, 2, {2: 0.9, 1: 0.1}, compared=1, attributes=[COLOUR]),
    ]
    found = traces(
        reviews,
        rows,
        titles=dict.fromkeys(range(1, 5), "Lamp one"),
        attributes=attributes,
        gold={1: 7, 2: 8, 3: 8, 4: None},
        other_gold={"train": frozenset({7}), "dev": frozenset({7, 8}), "test": None},
    )
    assert found == Traces(
        splits=("train", "dev", "test"),
        unread=("test",),
        reviews={
            "1": ReviewTrace(gold_in=("train", "dev"), quotes_title=True),
            "2": ReviewTrace(gold_in=("dev",)),
            "3": ReviewTrace(gold_in=("dev",), foreign_keys=("Color",)),
        },
    )
    assert list(found.reviews) == ["1", "2", "3"]


def test_what_linking_saw_is_counted_over_the_reviews_with_gold(predict: Predict, golds: Golds) -> None:
    rows = [predict(i, 1, {1: 0.9}) for i in range(1, 5)]
    seen = Traces(
        splits=("train", "dev", "test"),
        unread=("test",),
        reviews={
            "1": ReviewTrace(gold_in=("dev",), quotes_title=True),
            "2": ReviewTrace(gold_in=("dev",), foreign_keys=("Color", "Size")),
            "9": ReviewTrace(gold_in=("train",), quotes_title=True),
        },
    )
    found = run_leaks(judge(rows, golds({1: 1, 2: 1, 3: 1})), 1, seen)
    assert found == counts(gold_in_other_splits={"train": 0, "dev": 2}, quotes_title=1, foreign_keys=1)


def test_lists_shorter_than_k(predict: Predict, golds: Golds) -> None:
    rows = [predict(1, 1, {1: 0.9}), predict(2, 1, {1: 0.9, 2: 0.8}), predict(3, None, {})]
    assert run_leaks(judge(rows, golds({1: 1, 2: 1, 3: 1})), 2) == counts(short_lists=2)


def test_an_inserted_product_is_no_candidate_of_retrieval(predict: Predict, golds: Golds) -> None:
    row = predict(1, 1, {1: 0.9, 2: 0.8})
    scored = [one.model_copy(update={"scores": {"title": 1.0}}) for one in row.candidates]
    inserted = row.model_copy(update={"candidates": (scored[0], row.candidates[1])})
    judged = judge([inserted], golds({1: 2}))
    assert run_leaks(judged, 2, official=Official()) == counts(gold_inserted=1, short_lists=1)
    assert run_leaks(judged, 2) == counts()
    assert run_leaks(judge([inserted], golds({1: 1})), 2, official=Official()) == counts()


def test_links_that_chance_decided(predict: Predict, golds: Golds) -> None:
    rows = [
        predict(1, 1, {1: 0.9, 2: 0.9, 3: 0.1}),  # gold is one of the two
        predict(2, 1, {1: 0.9, 2: 0.9, 3: 0.1}),  # gold is neither
        predict(3, 1, {1: 0.9, 2: 0.8, 3: 0.8}),  # the tie is further down
        predict(4, None, {1: 0.9, 2: 0.9, 3: 0.1}),  # no link
    ]
    found = run_leaks(judge(rows, golds({1: 2, 2: 3, 3: 1, 4: 1})), 3)
    assert found == counts(chance_links=2, chance_links_with_gold=1)


def test_titles_among_the_attributes(predict: Predict, golds: Golds) -> None:
    title = COLOUR | {"key": "Product Name"}
    rows = [
        predict(1, 1, {1: 0.9}, attributes=[COLOUR, title, title]),
        predict(2, 1, {1: 0.9}, attributes=[COLOUR]),
    ]
    assert run_leaks(judge(rows, golds({1: 1, 2: 1})), 1) == counts(title_keys=1)


def test_the_audit_is_in_the_metrics(
    predict: Predict, golds: Golds, write_run: Callable[..., RunFolder]
) -> None:
    run = write_run([predict(1, 1, {1: 0.9})], golds({1: 1}))
    assert read_traces(run) is None
    assert evaluate_run(run).metrics["leaks"] == counts(short_lists=1)
    seen = Traces(splits=("dev",), reviews={"1": ReviewTrace(gold_in=("dev",))})
    (run.path / FILE).write_text(json.dumps(seen.model_dump(mode="json", exclude_defaults=True)), "utf-8")
    assert read_traces(run) == seen
    document = evaluate_run(run).document()
    assert document["leaks"] == {
        "gold_in_other_splits": {"dev": 1},
        "quotes_title": 0,
        "foreign_keys": 0,
        "title_keys": 0,
        "short_lists": 1,
        "gold_inserted": 0,
        "chance_links": 0,
        "chance_links_with_gold": 0,
    }
    assert list(lines(document["leaks"])) == [
        "1 reviews whose product is gold in dev too",
        "1 reviews have fewer than K candidates",
    ]


def test_a_broken_file_is_named(predict: Predict, golds: Golds, write_run: Callable[..., RunFolder]) -> None:
    run = write_run([predict(1, 1, {1: 0.9})], golds({1: 1}))
    (run.path / FILE).write_text('{"splits": 3}', encoding="utf-8")
    with pytest.raises(AmeliError, match=r"leaks\.json: splits: "):
        evaluate_run(run)


def test_nothing_found_is_nothing_said(predict: Predict, golds: Golds) -> None:
    config = RunConfig.model_validate({"retrieval": {"candidates": 1}})
    row = predict(1, 1, {1: 0.9})
    audit = evaluate([row], golds({1: 1}), config, traces=Traces(splits=("dev",)))
    assert list(lines(audit.document()["leaks"])) == []
