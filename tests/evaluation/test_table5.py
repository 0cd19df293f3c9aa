"""Rows of Table 5 against AMELINK, on runs whose scores are visible by eye."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom

from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval.baselines.declared import Wanted
from eval.measures.statistics import exact_against_chance, exact_mcnemar, false_discovery
from eval.published import published
from eval.table5.rows import Measured, Missing, Row, baseline_rows, measure
from eval.table5.view import COLUMNS, table
from eval.tables import json_object, markdown

N = 20
RIGHT = {"random": {0, 1}, "v2vel": set(range(6)), "amelink": set(range(4, 16))}
"""Reviews that each row links to their product, which is 100 + the review; all others go to 200."""

Write = Callable[..., RunFolder]


def rows_by_key() -> dict[str, Row]:
    return {row.key: row for row in baseline_rows(published("table5"), Wanted())}


@pytest.fixture
def make_run(predict: Callable[..., PredictionRow], write_run: Write) -> Callable[..., RunFolder]:
    def make(key: str, right: set[int], **spec: Any) -> RunFolder:
        rows = [
            predict(review, 100 + review, {100 + review: 1.0, 200: 0.5})
            if review in right
            else predict(review, 200, {200: 1.0, 100 + review: 0.5})
            for review in range(N)
        ]
        gold = {review: GoldRow(gold=100 + review) for review in range(N)}
        described = {"title": key, "encoder": f"encoder of {key}", "training": {"epochs": 1}}
        content = {"config": {}, "baseline": {"name": key, "variant": "", "described": described}, **spec}
        return write_run(rows, gold, key, content)

    return make


@pytest.fixture
def measured(make_run: Callable[..., RunFolder]) -> dict[str, Measured]:
    rows = rows_by_key()
    made = measure([(rows[key], make_run(key, right)) for key, right in RIGHT.items()])
    return {one.row.key: one for one in made}


def test_rows_in_the_papers_order() -> None:
    rows = baseline_rows(published("table5"), Wanted())[:8]
    assert [(row.key, row.baseline, row.variant) for row in rows] == [
        ("random", "random", ""),
        ("v2vel", "v2vel", ""),
        ("v2tel", "v2tel", ""),
        ("v2vtel", "v2vtel", ""),
        ("amelink-without-attribute", "amelink", "without attribute"),
        ("amelink-without-image", "amelink", "without image"),
        ("amelink-without-text", "amelink", "without text"),
        ("amelink", "amelink", "full"),
    ]
    assert [(row.modality, row.attribute) for row in rows[:5]] == [
        *(("-", False), ("V", False), ("T", False), ("T+V", False), ("T+V", False)),
    ]


def test_the_title_ablation_is_the_other_way_round_where_titles_do_not_count() -> None:
    for preset, row in (
        ("official", ("amelink-without-title", "AMELINK_w/o_Title", "without title")),
        ("paper", ("amelink-with-title", "AMELINK_with_Title", "with title")),
    ):
        last = baseline_rows(published("table5"), Wanted(preset=preset))[-1]
        assert (last.key, last.name, last.variant) == row
        assert (last.modality, last.attribute, last.published) == ("T+V", True, "")


def test_every_row_is_paired_with_amelink(measured: dict[str, Measured]) -> None:
    assert measured["amelink"].against is None
    assert measured["amelink"].metrics["end_to_end_f1"].value == pytest.approx(12 / 20)
    against = measured["v2vel"].against
    assert against is not None
    assert (against.fixed, against.broken) == (4, 10)
    assert against.difference.value == pytest.approx(6 / 20 - 12 / 20)
    assert against.difference.low < against.difference.value < against.difference.high
    right = [[review in RIGHT[key] for review in range(N)] for key in ("amelink", "v2vel")]
    assert against.p == exact_mcnemar(*right)
    assert against.difference.detectable > 0


def test_every_row_is_measured_against_guesses(measured: dict[str, Measured]) -> None:
    for key, right in RIGHT.items():
        against = measured[key].against_chance
        assert (against.n, against.hits, against.chance) == (N, len(right), 0.5)
        assert against.p == pytest.approx(binom.sf(len(right) - 1, N, 0.5))


def test_guesses_are_among_the_candidates_of_each_review(
    predict: Callable[..., PredictionRow], write_run: Write
) -> None:
    long = {product: 1.0 - product / 100 for product in range(12)}
    rows = [
        predict(1, 0, {0: 1.0}),
        predict(2, 0, {0: 1.0, 1: 0.5}),
        predict(3, 3, long),  # K = 10 of 12
        predict(4, None, {0: 1.0, 1: 0.5}),  # abstained: a miss
        predict(5, 0, {0: 1.0, 1: 0.5}, state="engine_error", entity_id=None, error="no reply"),
        predict(6, 0, long),  # gold is the eleventh
        predict(7, 0, {0: 1.0}),  # gold was not retrieved
    ]
    gold = {**dict.fromkeys(range(1, 6), 0), 3: 3, 6: 10, 7: 99}
    run = write_run(rows, {review: GoldRow(gold=product) for review, product in gold.items()}, "run")
    [made] = measure([(rows_by_key()["random"], run)])
    chances = [1, 1 / 2, 1 / 10, 1 / 2, 1 / 2]
    against = made.against_chance
    assert (against.n, against.hits, against.chance) == (5, 3, pytest.approx(sum(chances) / 5))
    assert against.p == exact_against_chance([1, 1, 1, 0, 0], chances)


def test_p_is_corrected_for_all_rows_of_the_table(measured: dict[str, Measured]) -> None:
    found = [measured[key].against for key in ("random", "v2vel")]
    assert None not in found
    p, q = zip(*((one.p, one.q) for one in found if one), strict=True)
    assert list(q) == pytest.approx(false_discovery(p))
    assert q[0] > p[0]


def test_without_amelink_nothing_is_compared(make_run: Callable[..., RunFolder]) -> None:
    rows = rows_by_key()
    made = measure([(rows[key], make_run(key, RIGHT[key])) for key in ("random", "v2vel")])
    assert [one.against for one in made] == [None, None]


def test_the_official_protocol_drops_the_same_reviews_for_every_row(
    make_run: Callable[..., RunFolder],
) -> None:
    rows = rows_by_key()
    spec = {"protocol": "official", "official": ["gold_inserted"]}
    made = measure([(rows[key], make_run(key, RIGHT[key], **spec)) for key in ("amelink", "v2vel")])
    assert {one.metrics["protocol"].reviews_dropped for one in made} == {N % 16}
    against = made[1].against
    assert against is not None
    assert against.difference.n == made[0].metrics["end_to_end_f1"].n == 16
    assert against.difference.value == pytest.approx(6 / 16 - 12 / 16)
    assert (against.fixed, against.broken) == (4, 10)
    shown = table(made, published("table5"), folder=Path("."), dataset="d", split="test", same_data=False)
    assert "official code's protocol" in shown.caption
    assert "last incomplete one dropped (4 reviews)" in shown.caption
    assert "gold inserted into short lists" in shown.caption


def test_leaks_of_training_stand_at_the_row_that_has_them(make_run: Callable[..., RunFolder]) -> None:
    def run(key: str, **described: Any) -> tuple[Row, RunFolder]:
        baseline = {"name": key, "variant": "", "described": described}
        official = {"protocol": "official", "official": ["gold_inserted"]}
        return rows_by_key()[key], make_run(key, RIGHT[key], baseline=baseline, **official)

    leaking = ["image_chosen_with_gold", "attributes_from_gold"]
    made = measure([run("random"), run("v2vel", leaks=leaking[:1]), run("amelink", leaks=leaking)])
    shown = table(made, published("table5"), folder=Path("."), dataset="d", split="test", same_data=False)
    assert "F1 as accuracy, gold inserted into short lists." in shown.caption
    ran = [note.partition(".")[2] for note in shown.notes if "was run with" in note]
    assert ran == [
        "",
        " Of the official code it also has: image pair chosen with gold.",
        " Of the official code it also has: image pair chosen with gold, "
        "attributes filled from gold for training.",
    ]
    content = json_object(shown)
    assert content["protocol"]["reproduced"] == ["gold inserted into short lists"]
    assert [len(row["protocol"]["reproduced"]) for row in content["rows"]] == [1, 2, 3]
    assert not any("image pair" in missing for missing in content["protocol"]["not_reproduced"])


@pytest.fixture
def shown(measured: dict[str, Measured], tmp_path: Path) -> dict[str, Any]:
    rows = [*measured.values(), Missing(rows_by_key()["v2tel"], "needs images.")]
    made = table(
        rows,
        published("table5"),
        folder=tmp_path,
        dataset="twin",
        split="test",
        same_data=False,
        remarks=["A remark."],
        facts={"seed": 3},
    )
    return {"table": made, "json": json.loads(json.dumps(json_object(made), allow_nan=False))}


def cells(made: Any, name: str) -> dict[str, str]:
    """Cells by column."""
    (row,) = [row for row in made.rows if row[0] == name]
    return dict(zip(COLUMNS, row, strict=True))


def test_ours_stand_beside_the_published(shown: dict[str, Any]) -> None:
    row = cells(shown["table"], "V2VEL")
    assert row["End-to-end F1"].startswith("30.00 [")
    assert (row["n end-to-end"], row["K"], row["Modality"], row["Attribute"]) == (str(N), "10", "V", "no")
    assert (row["v1 disamb."], row["v1 end-to-end"]) == ("28.46", "18.13")
    assert (row["EACL disamb.*"], row["EACL end-to-end*"]) == ("-", "-")
    assert (row["chance"], row["p vs chance"]) == ("50.00", "0.979")
    assert row["Difference to AMELINK"].startswith("-30.00 [")
    reference = cells(shown["table"], "AMELINK")
    assert (reference["v1 end-to-end"], reference["EACL end-to-end*"]) == ("33.47", "51.54")
    assert [reference[name] for name in ("Difference to AMELINK", "p", "q", "detectable")] == ["-"] * 4


def test_the_caption_says_that_the_data_are_others(shown: dict[str, Any], measured: Any) -> None:
    assert "not on the same data" in shown["table"].caption
    same = table(
        list(measured.values()),
        published("table5"),
        folder=Path("."),
        dataset="v6",
        split="test",
        same_data=True,
    )
    assert "not on the same data" not in same.caption
    assert "an AMELI release" in same.caption


def test_notes_say_what_was_run_with_what(shown: dict[str, Any]) -> None:
    notes = shown["table"].notes
    assert "V2VEL was run with: encoder encoder of v2vel." in notes
    assert "V2TEL was not run: needs images." in notes
    assert "A remark." in notes
    assert any(note.startswith("* EACL, second-hand, unverified: ") for note in notes)
    assert sum(note.startswith("Published only: ") for note in notes) == 3


def test_json_has_all_of_it(shown: dict[str, Any]) -> None:
    content = shown["json"]
    assert [row["key"] for row in content["rows"]] == list(RIGHT)
    row = content["rows"][1]
    assert row["run"] == "v2vel"
    assert row["run_with"]["training"] == {"epochs": 1}
    assert row["against_chance"] == {"n": N, "hits": 6, "chance": 0.5, "p": pytest.approx(0.97930527)}
    assert row["against_amelink"].keys() == {"difference", "fixed", "broken", "p", "q"}
    assert [figures["second_hand"] for figures in content["rows"][2]["published"]["figures"]] == [False, True]
    assert content["not_run"] == [{"key": "v2tel", "name": "V2TEL", "reason": "needs images."}]
    assert content["seed"] == 3
    assert {row["key"] for row in content["published_only"]} == {"amelink_gold_attributes", "human"}


def test_a_row_that_was_not_run_keeps_its_published_figures(shown: dict[str, Any]) -> None:
    row = cells(shown["table"], "V2TEL")
    assert [row[name] for name in ("K", "p vs chance", "End-to-end F1", "seconds")] == ["-"] * 4
    assert (row["v1 disamb."], row["v1 end-to-end"]) == ("31.12", "19.64")
    assert "| V2TEL | T | no | - |" in markdown(shown["table"])
