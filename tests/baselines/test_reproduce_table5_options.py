"""``ameli-llm reproduce table5`` on a small twin with other options, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ameli_llm.config import RunConfig
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.runs import RunFolder
from eval.table5.models import Asked, split_folds
from tests.baselines.table5_world import World, small_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with small_world(tmp_path_factory) as made:
        yield made


def test_only_the_rows_asked_for(world: World, tmp_path: Path) -> None:
    few = ["--json", "--limit", 5]
    content = world.reproduce(tmp_path / "few", *few, "--rows", "ameli-llm", "--rows", "random").json
    assert [row["key"] for row in content["rows"]] == ["random", "ameli-llm"]
    assert {row["end_to_end_f1"]["n"] for row in content["rows"]} == {5}
    assert content["trained_on"] is None
    assert not (tmp_path / "few" / "models").exists()
    first = (tmp_path / "few" / "runs" / "random" / "run.json").read_bytes()
    again = world.reproduce(tmp_path / "few", *few, "--rows", "random", "--seed", 1)
    assert again.code == 0, again.err
    changed = (tmp_path / "few" / "runs" / "random" / "run.json").read_bytes()
    assert json.loads(changed)["spec"]["baseline"]["described"] == {"seed": 1}
    assert changed != first


def test_the_official_preset_says_what_it_is(world: World, tmp_path: Path) -> None:
    words = ["--preset", "official", "--rows", "random", "--rows", "v2vel", "--rows", "ameli-llm"]
    content = world.reproduce(tmp_path / "official", *words, "--json").json
    assert "official code's protocol" in content["caption"]
    assert "gold inserted into short lists" in content["caption"]
    assert content["protocol"]["name"] == "official"
    assert {row["end_to_end_f1"]["n"] % 16 for row in content["rows"]} == {0}
    random, v2vel, ours = content["rows"]
    assert v2vel["run_with"]["training"]["settings"]["form"] == "official"
    leak = "image pair chosen with gold"
    assert f"{leak} (the baseline is not trained)" in random["protocol"]["not_reproduced"]
    assert f"{leak} (link trains nothing)" in ours["protocol"]["not_reproduced"]
    leaking = "image_chosen_with_gold" in v2vel["run_with"]["leaks"]
    assert (leak in v2vel["protocol"]["reproduced"]) == leaking


def test_with_an_engine_our_linker_with_its_model_is_a_row(
    world: World, tiny_model: Path, tmp_path: Path
) -> None:
    words = ["--engine", "transformers", "--model", tiny_model, "--limit", 2, "--json"]
    (row,) = world.reproduce(tmp_path, *words, "--rows", "ameli-llm-model").json["rows"]
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
def test_wrong_words_are_one_line(case: str, world: World, tmp_path: Path) -> None:
    words, message = BAD[case]
    done = world.reproduce(tmp_path / "bad", *words)
    assert done.code == 2
    assert done.out == ""
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert message in line


def test_without_images_the_rows_that_need_them_say_so(world: World, tmp_path: Path) -> None:
    root = tmp_path / "blind"
    write_twin(root, products=24, reviews=40, seed=1, images=False)
    words = ["--rows", "v2vel", "--rows", "v2vtel", "--rows", "random", "--json"]
    content = world.reproduce(tmp_path / "out", *words, dataset=root).json
    assert [row["key"] for row in content["rows"]] == ["random"]
    assert [row["key"] for row in content["not_run"]] == ["v2vel", "v2vtel"]
    assert all("needs product images" in row["reason"] for row in content["not_run"])


def test_reviews_whose_product_is_reported_are_left_out_of_training(world: World, tmp_path: Path) -> None:
    data = load_dataset(world.twin)
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
