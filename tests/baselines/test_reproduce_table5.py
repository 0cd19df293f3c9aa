"""``ameli-llm reproduce table5`` on a small twin, and a scorer without a preference on all of its path."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ameli_llm import cli
from ameli_llm.cli.table5_models import Asked, split_folds
from ameli_llm.config import RunConfig
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.runs import CandidateRow, GoldRow, PredictionRow, RunFolder
from ameli_llm.types import Review, State
from eval.baselines.answers import answers
from eval.baselines.baseline import Scored
from eval.baselines.tasks import tasks
from eval.evaluation import evaluate
from eval.judged import judge
from eval.metrics import Metrics, metrics
from eval.statistics import Interval, exact_mcnemar
from tests.retrieval.tiny_sbert import write_tiny_sbert

K, DEPTH, REVIEWS = 10, 20, 1500

Lists = list[tuple[int, list[int]]]
"""(gold, ids of all candidates) of each review, the review's id being its place."""

ORDERS: dict[str, Callable[[int, list[int]], list[int]]] = {
    "gold first": lambda gold, others: [gold, *others],
    "gold last": lambda gold, others: [*others, gold],
    "smallest id first": lambda gold, others: sorted([gold, *others]),
    "greatest id first": lambda gold, others: sorted([gold, *others], reverse=True),
}
NUMBERINGS: dict[str, Callable[[int], tuple[int, int]]] = {
    "gold has the smallest ids": lambda n: (n, 10_000 + 100 * n),
    "gold has the greatest ids": lambda n: (1_000_000 + n, 100 * n),
}


def made_lists(order: str, numbering: str) -> Lists:
    made = []
    for number in range(REVIEWS):
        gold, first = NUMBERINGS[numbering](number)
        made.append((gold, ORDERS[order](gold, [first + i for i in range(DEPTH - 1)])))
    return made


def found(review: int, ids: Sequence[int]) -> PredictionRow:
    """What a retrieval without a preference leaves behind: equal scores, in some order."""
    return PredictionRow(
        review_id=review,
        state=State.LINKED,
        entity_id=ids[0],
        confidence=0.9,
        candidates=tuple(CandidateRow(entity_id=i, retrieval_score=0.5, score=0.5) for i in ids),
        compared=K,
    )


def answered(
    lists: Lists, scorer: Callable[[int], Scored], backwards: bool = False
) -> tuple[list[PredictionRow], dict[int, GoldRow]]:
    """The whole path of a baseline, from candidates over tasks and scores to answers; and gold."""
    step = -1 if backwards else 1
    rows = [found(review, ids) for review, (_, ids) in enumerate(lists)][::step]
    reviews = [Review(id=review) for review in range(len(lists))][::step]
    made = tasks(rows, reviews, K)
    scored = [scorer(len(task.candidates)) for task in made]
    gold = {review: GoldRow(gold=right) for review, (right, _) in enumerate(lists)}
    return answers({row.review_id: row for row in rows}, made, scored, seconds=1.0), gold


def measured(lists: Lists, scorer: Callable[[int], Scored]) -> Metrics:
    return metrics(*answered(lists, scorer), K, depth=DEPTH, samples=20)


def constant(size: int) -> Scored:
    same = np.full(size, 0.25, dtype=np.float32)
    return Scored(same, text=same, image=same)


def silent(size: int) -> Scored:
    return Scored(np.full(size, np.nan, dtype=np.float32))


def near(share: float, chance: float, n: int = REVIEWS) -> bool:
    """Within four standard errors of ``n`` draws."""
    return abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / n)


@pytest.mark.parametrize("scorer", [constant, silent], ids=["constant", "silent"])
@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_scorer_without_a_preference_is_at_chance(
    order: str, numbering: str, scorer: Callable[[int], Scored]
) -> None:
    m = measured(made_lists(order, numbering), scorer)
    for cut in (1, 10):
        recall = m.recall[str(cut)]
        assert recall is not None
        assert near(recall.value, cut / DEPTH)
    assert near(m.end_to_end_f1.value, 1 / DEPTH)
    assert near(m.precision.value, 1 / DEPTH)
    assert near(m.accuracy.value, 1 / DEPTH)
    assert near(m.disambiguation_f1.value, 1 / K, m.disambiguation_f1.n)
    assert near(m.disambiguation_f1.n / REVIEWS, K / DEPTH)
    assert m.states["linked"] == REVIEWS


def test_the_order_of_reviews_and_candidates_changes_nothing() -> None:
    config = RunConfig.model_validate({"retrieval": {"candidates": K, "depth": DEPTH}})
    forth = answered(made_lists("gold first", "gold has the smallest ids"), constant)
    back = answered(made_lists("gold last", "gold has the smallest ids"), constant, backwards=True)
    assert [row.review_id for row in forth[0]] == [row.review_id for row in back[0]][::-1]
    first, second = (evaluate(*one, config).document() for one in (forth, back))
    assert first.pop("seconds") == pytest.approx(second.pop("seconds"))
    assert first == second
    assert near(first["calibration"]["ece"] + 1 / DEPTH, 1 / K)


def test_the_measure_sees_a_preference() -> None:
    def first_is_best(size: int) -> Scored:
        return Scored(-np.arange(size, dtype=np.float32))

    lists = made_lists("gold first", "gold has the smallest ids")
    ordered = [(gold, sorted(ids)) for gold, ids in lists]
    chance = measured(ordered, first_is_best).disambiguation_f1
    assert near(chance.value, 1 / K, chance.n)
    assert measured([(gold, [gold]) for gold, _ in lists], first_is_best).end_to_end_f1.value == 1.0


# The command, on a small twin


ROWS = [
    *("random", "v2vel", "v2tel", "v2vtel"),
    *("amelink-without-attribute", "amelink-without-image", "amelink-without-text", "amelink"),
    *("amelink-with-title", "ameli-llm"),
]


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


def command(*words: object) -> Done:
    """The real entry point in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["ameli-llm", *map(str, words)])
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMELI_LLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "twin"
    write_twin(root, products=30, reviews=80, seed=1)
    return root


@pytest.fixture(scope="module")
def cheap(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Options for a table in seconds: no OCR, two epochs, a text encoder of one layer."""
    model = write_tiny_sbert(tmp_path_factory.mktemp("tiny") / "model")
    weights = "retrieval.weights={title: 5.0, image: 20.0}"
    settings = [f"retrieval.text_model={model}", weights, "attributes.extractors=[rules]"]
    return ["--epochs", 2, "--encoder", model, *(word for one in settings for word in ("--set", one))]


@pytest.fixture(scope="module")
def made(twin: Path, cheap: list[object], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A folder with the whole table, and what the command printed."""
    out = tmp_path_factory.mktemp("out") / "table5"
    done = command("reproduce", "table5", twin, "--out", out, *cheap)
    assert done.code == 0, done.err
    return out, done


@pytest.fixture(scope="module")
def content(made: tuple[Path, Done]) -> Any:
    return json.loads((made[0] / "table5.json").read_text(encoding="utf-8"))


def folders(out: Path) -> dict[str, RunFolder]:
    """The run folder of each row."""
    rows = json.loads((out / "table5.json").read_text(encoding="utf-8"))["rows"]
    return {row["key"]: RunFolder(out / row["run"]) for row in rows}


def test_every_row_is_measured(content: Any, twin: Path) -> None:
    assert [row["key"] for row in content["rows"]] == ROWS
    assert content["not_run"] == []
    reviews = load_dataset(twin).split("test")
    for row in content["rows"]:
        assert row["end_to_end_f1"]["n"] == len(reviews.gold)
        assert 0 < row["disambiguation_f1"]["n"] < row["end_to_end_f1"]["n"]
        for score in (row["disambiguation_f1"], row["end_to_end_f1"]):
            assert score["low"] <= score["value"] <= score["high"]
        assert row["candidates"] == 10
        assert row["seconds"] > 0
        assert row["run_with"]
    names = {row["key"]: row["name"] for row in content["rows"]}
    assert (names["v2vel"], names["v2tel"]) == ("V2VEL (descriptor)", "V2TEL (descriptor, model)")


def test_the_table_is_printed_and_written_in_four_forms(made: tuple[Path, Done], content: Any) -> None:
    out, done = made
    assert sorted(path.name for path in out.glob("table5.*")) == [
        *("table5.csv", "table5.json", "table5.md", "table5.tex"),
    ]
    texts = [done.out, *((out / f"table5.{form}").read_text("utf-8") for form in ("md", "csv"))]
    for row in content["rows"]:
        cell = Interval(**row["end_to_end_f1"]).percent()
        for text in texts:
            lines = [line.strip('| "') for line in text.splitlines() if cell in line]
            assert any(line.startswith(row["name"]) for line in lines), row["name"]
    assert "not on the same data" in done.out
    assert "second-hand, unverified" in done.out


def test_every_row_is_a_run_of_the_same_candidates(made: tuple[Path, Done]) -> None:
    found = {
        key: {
            row.review_id: {c.entity_id: c.retrieval_score for c in row.candidates}
            for row in run.predictions()
        }
        for key, run in folders(made[0]).items()
    }
    start = found.pop("ameli-llm")
    assert start
    assert all(rows == start for rows in found.values())


def test_runs_can_be_evaluated_compared_and_reported(made: tuple[Path, Done], content: Any) -> None:
    runs = folders(made[0])
    scores = {row["key"]: row for row in content["rows"]}
    for key in ("random", "v2vtel"):
        done = command("evaluate", runs[key].path, "--json")
        assert done.code == 0, done.err
        again = json.loads(done.out)["end_to_end_f1"]
        assert again == pytest.approx(scores[key]["end_to_end_f1"], abs=1e-6)
    compared = command("compare", runs["random"].path, runs["v2vel"].path, "--json")
    assert compared.code == 0, compared.err
    changed = json.loads(compared.out)["changed"]
    assert changed["baseline.name"] == ["random", "v2vel"]
    assert command("report", runs["v2vel"].path).code == 0


def test_again_trains_and_scores_nothing(made: tuple[Path, Done], twin: Path, cheap: list[object]) -> None:
    out, first = made

    def times() -> dict[Path, int]:
        files = [path for name in ("models", "runs") for path in (out / name).rglob("*") if path.is_file()]
        return {path: path.stat().st_mtime_ns for path in files if path.name != ".lock"}

    before = times()
    candidates = (out / "candidates" / "test" / "predictions.jsonl").read_bytes()
    done = command("reproduce", "table5", twin, "--out", out, *cheap)
    assert done.code == 0
    assert done.out == first.out
    assert times() == before
    assert (out / "candidates" / "test" / "predictions.jsonl").read_bytes() == candidates


def test_rows_are_compared_with_amelink(made: tuple[Path, Done], content: Any) -> None:
    runs = folders(made[0])
    right = {
        key: {one.review_id: one.right for one in judge(run.predictions(), run.gold())}
        for key, run in runs.items()
    }
    for row in content["rows"]:
        against = row["against_amelink"]
        if row["key"] == "amelink":
            assert against is None
            continue
        pairs = [(right["amelink"][review], right[row["key"]][review]) for review in right["amelink"]]
        assert against["fixed"] == pairs.count((False, True))
        assert against["broken"] == pairs.count((True, False))
        assert against["p"] == pytest.approx(exact_mcnemar(*zip(*pairs, strict=True)))
        assert against["q"] >= against["p"]
        assert against["difference"]["value"] == pytest.approx(
            row["end_to_end_f1"]["value"] - content["rows"][7]["end_to_end_f1"]["value"], abs=1e-6
        )


def test_only_the_rows_asked_for(twin: Path, cheap: list[object], tmp_path: Path) -> None:
    words = ["reproduce", "table5", twin, "--out", tmp_path / "few", *cheap, "--json", "--limit", 5]
    done = command(*words, "--rows", "ameli-llm", "--rows", "random")
    assert done.code == 0, done.err
    content = json.loads(done.out)
    assert [row["key"] for row in content["rows"]] == ["random", "ameli-llm"]
    assert {row["end_to_end_f1"]["n"] for row in content["rows"]} == {5}
    assert content["trained_on"] is None
    assert not (tmp_path / "few" / "models").exists()
    first = (tmp_path / "few" / "runs" / "random" / "run.json").read_bytes()
    again = command(*words, "--rows", "random", "--seed", 1)
    assert again.code == 0, again.err
    changed = (tmp_path / "few" / "runs" / "random" / "run.json").read_bytes()
    assert json.loads(changed)["spec"]["baseline"]["described"] == {"seed": 1}
    assert changed != first


def test_the_official_preset_says_what_it_is(twin: Path, cheap: list[object], tmp_path: Path) -> None:
    words = ["--preset", "official", "--rows", "random", "--rows", "v2vel", "--rows", "ameli-llm"]
    done = command("reproduce", "table5", twin, "--out", tmp_path / "official", *cheap, *words, "--json")
    assert done.code == 0, done.err
    content = json.loads(done.out)
    assert "official code's protocol" in content["caption"]
    assert "gold inserted into short lists" in content["caption"]
    assert content["protocol"]["name"] == "official"
    assert {row["end_to_end_f1"]["n"] % 16 for row in content["rows"]} == {0}
    assert content["rows"][1]["run_with"]["training"]["settings"]["form"] == "official"


def test_with_an_engine_our_linker_with_its_model_is_a_row(
    twin: Path, cheap: list[object], tiny_model: Path, tmp_path: Path
) -> None:
    words = ["--engine", "transformers", "--model", tiny_model, "--limit", 2, "--json"]
    done = command(
        "reproduce", "table5", twin, "--out", tmp_path, *cheap, *words, "--rows", "ameli-llm-model"
    )
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)["rows"]
    assert row["name"] == f"ameli-llm, {tiny_model.name}"
    assert row["run_with"]["engine"]["name"] == "transformers"
    run, start = RunFolder(tmp_path / row["run"]), RunFolder(tmp_path / "candidates" / "test")
    for with_model, without in zip(run.predictions(), start.predictions(), strict=True):
        assert {c.entity_id: c.retrieval_score for c in with_model.candidates} == {
            c.entity_id: c.retrieval_score for c in without.candidates
        }
    assert json.loads((start.path / "run.json").read_text("utf-8"))["spec"]["engine"] is None


BAD: dict[str, tuple[list[object], str]] = {
    "unknown row": (["--rows", "v2vl"], "No row named 'v2vl'."),
    "reported split is trained on": (["--split", "train"], "train is reported and trained on."),
    "reported split is chosen on": (["--split", "dev"], "dev is reported and chosen on."),
    "unknown split": (["--split", "tset"], "No split named"),
    "unknown engine": (["--engine", "gpt"], "No engine named 'gpt'."),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_words_are_one_line(case: str, twin: Path, cheap: list[object], tmp_path: Path) -> None:
    words, message = BAD[case]
    done = command("reproduce", "table5", twin, "--out", tmp_path / "bad", *cheap, *words)
    assert done.code == 2
    assert done.out == ""
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert message in line


def test_models_of_other_settings_are_not_taken_over(
    made: tuple[Path, Done], twin: Path, cheap: list[object]
) -> None:
    words = ["--rows", "v2vel", "--seed", 1]
    done = command("reproduce", "table5", twin, "--out", made[0], *cheap, *words)
    assert done.code == 2
    assert "holds weights of another training" in done.err


def test_without_images_the_rows_that_need_them_say_so(tmp_path: Path, cheap: list[object]) -> None:
    root = tmp_path / "blind"
    write_twin(root, products=24, reviews=40, seed=1, images=False)
    words = ["--rows", "v2vel", "--rows", "v2vtel", "--rows", "random", "--json"]
    done = command("reproduce", "table5", root, "--out", tmp_path / "out", *cheap, *words)
    assert done.code == 0, done.err
    content = json.loads(done.out)
    assert [row["key"] for row in content["rows"]] == ["random"]
    assert [row["key"] for row in content["not_run"]] == ["v2vel", "v2vtel"]
    assert all("needs product images" in row["reason"] for row in content["not_run"])


def test_reviews_whose_product_is_reported_are_left_out_of_training(twin: Path, tmp_path: Path) -> None:
    data = load_dataset(twin)
    whole = split_folds(data, data.split("test"), asked(tmp_path))
    assert whole.left_out == 0
    taken = whole.train.reviews[0]
    gold = whole.train.gold[taken.id]
    reported = replace(data.split("test"), gold={**data.split("test").gold, -1: gold})
    folds = split_folds(data, reported, asked(tmp_path))
    same_product = [review for review, product in whole.train.gold.items() if product == gold]
    assert folds.left_out == len(same_product)
    assert folds.train.gold.keys() == whole.train.gold.keys() - set(same_product)
    assert [review.id for review in folds.train.reviews] == list(folds.train.gold)
    assert folds.dev == whole.dev


def asked(out: Path) -> Asked:
    return Asked("test", "train", out, RunConfig(), None, "paper", "minilm", (), None, 0, None)
