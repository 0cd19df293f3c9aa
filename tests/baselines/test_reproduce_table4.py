"""``ameli-llm reproduce table4`` on a small twin, with a text encoder of one layer that the test makes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ameli_llm.cli import reproduce
from ameli_llm.config import RetrievalConfig, RunConfig
from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError
from eval.published import published
from eval.table4.models import ADAPTER, TEXT_MODEL
from eval.table4.reproduce import table4
from eval.tables import Table, json_object
from retrieval.encoders.sbert import create
from retrieval.texts import entity_text, query_text
from tests.retrieval.tiny_sbert import tiny_sbert
from tests.shared_setup import cache_of, twin_of

EPOCHS = 2


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        cache = cache_of(tmp_path_factory, tmp_path_factory.mktemp("cache"))
        patch.setenv("AMELI_LLM_CACHE", str(cache))
        yield


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twin_of(tmp_path_factory, products=30, reviews=60, seed=1)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return RunConfig(retrieval=RetrievalConfig(text_model=str(tiny_sbert(tmp_path_factory))))


def reproduced(twin: Path, out: Path, config: RunConfig, **changes: Any) -> Table:
    asked: dict[str, Any] = {"split": "test", "train_split": "train", "index": None, "seed": 0, "limit": None}
    asked |= {"epochs": EPOCHS, "progress": lambda *_: None, **changes}
    return table4(dataset=twin, out=out, config=config, **asked)


@pytest.fixture(scope="module")
def made(twin: Path, config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Table]:
    out = tmp_path_factory.mktemp("table4")
    return out, reproduced(twin, out, config)


def rows_of(made: Table) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in json_object(made)["rows"]}


def test_the_papers_rows_and_two_more_all_run(twin: Path, made: tuple[Path, Table]) -> None:
    rows = rows_of(made[1])
    assert list(rows)[:8] == list(published("table4").rows)[:8]
    assert list(rows)[8:] == ["tuned_sbert", "tuned_clip_tuned_sbert"]
    gold = load_dataset(twin).split("test").gold.values()
    n = sum(product is not None for product in gold)
    assert 0 < n < len(gold), "the twin has a review whose product is not in the KB"
    for row in rows.values():
        assert (row["n"], row["missing"]) == (n, "")
        recall = [row["recall"][k]["value"] for k in ("1", "10", "20", "50", "100")]
        assert recall == sorted(recall)
        assert all(row["recall"][k]["low"] <= row["recall"][k]["value"] for k in row["recall"])
        assert row["seconds"] > 0
    # 30 products: whoever ranks all of them has found every right one.
    assert rows["sbert"]["recall"]["50"]["value"] == 1.0


def test_recall_of_a_row_is_what_a_plain_ranking_gives(
    twin: Path, config: RunConfig, made: tuple[Path, Table]
) -> None:
    data = load_dataset(twin)
    split = data.split("test")
    reviews = [review for review in split.reviews if split.gold.get(review.id) is not None]
    products = list(data.products.values())
    encoder = create(config.retrieval.text_model)
    cosines = (
        encoder.encode(list(map(query_text, reviews))) @ encoder.encode(list(map(entity_text, products))).T
    )
    ids = np.array([product.id for product in products])[np.argsort(-cosines, axis=1)]
    gold = np.array([split.gold[review.id] for review in reviews])[:, None]
    recall = rows_of(made[1])["sbert"]["recall"]
    for k in (1, 10, 20):
        assert recall[str(k)]["value"] == pytest.approx((ids[:, :k] == gold).any(axis=1).mean(), abs=1e-6)


def test_published_figures_stand_beside_ours_and_second_hand_ones_in_brackets(
    made: tuple[Path, Table],
) -> None:
    _, table = made
    cells = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    last = cells["Adapted image descriptor + SBERT + P(e|m)"]
    assert (last["R@1 paper"], last["R@10 paper"], last["p"]) == ("28.00", "61.69", "-")
    assert cells["Pre-trained SBERT"]["R@100 paper"] == "51.40"
    assert cells["Fine-tuned SBERT"]["R@10 paper"] == "-"
    assert cells["Adapted image descriptor + fine-tuned SBERT"]["R@10 paper"] == "(85.84)"
    assert float(cells["P(e|m)"]["p"]) <= float(cells["P(e|m)"]["p corrected"]) <= 1
    assert "against Adapted image descriptor + SBERT + P(e|m), the paper's last row" in table.notes[0]
    test = rows_of(table)["sbert"]["test"]
    assert test["difference"]["low"] <= test["difference"]["value"] <= test["difference"]["high"]


def test_typed_again_it_trains_nothing(twin: Path, config: RunConfig, made: tuple[Path, Table]) -> None:
    out, table = made
    files = {path: path.stat().st_mtime_ns for path in (out / "models").rglob("*") if path.is_file()}
    assert {path.relative_to(out / "models").parts[0] for path in files} == {ADAPTER, TEXT_MODEL}
    again = reproduced(twin, out, config)
    assert {path: path.stat().st_mtime_ns for path in (out / "models").rglob("*") if path.is_file()} == files
    assert again.notes == table.notes
    for key, row in rows_of(again).items():
        assert {**row, "seconds": 0} == {**rows_of(table)[key], "seconds": 0}


@pytest.fixture
def changed(twin: Path, tmp_path: Path) -> Callable[..., Path]:
    """changed(split, change): the twin elsewhere, with the records of one split changed."""

    def make(split: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Path:
        root = tmp_path / "changed"
        shutil.copytree(twin, root)
        path = root / split / "reviews.json"
        path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), encoding="utf-8")
        return root

    return make


def rotated(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records, each with the gold of the next."""
    golds = [record["gold_entity_info"] for record in records]
    turned = [*golds[1:], golds[0]]
    return [{**record, "gold_entity_info": gold} for record, gold in zip(records, turned, strict=True)]


def test_other_gold_on_the_reported_split_changes_no_weight(
    changed: Callable[..., Path], config: RunConfig, made: tuple[Path, Table]
) -> None:
    out, table = made
    other = reproduced(changed("test", rotated), out, config)
    assert other.data["weights"] == table.data["weights"]
    assert len(table.data["weights"]) == 3
    assert rows_of(other)["clip_sbert"]["recall"] != rows_of(table)["clip_sbert"]["recall"]


def test_other_gold_on_dev_changes_what_weights_are_chosen_by(
    changed: Callable[..., Path], config: RunConfig, made: tuple[Path, Table], tmp_path: Path
) -> None:
    other = reproduced(changed("dev", rotated), tmp_path / "out", config)
    chosen = [weight["recall_10"] for weight in other.data["weights"]]
    assert chosen != [weight["recall_10"] for weight in made[1].data["weights"]]


def test_without_images_the_rows_stay_with_the_reason(
    twin: Path, config: RunConfig, made: tuple[Path, Table], tmp_path: Path
) -> None:
    bare = config.retrieval.model_copy(update={"image_encoders": ()})
    table = reproduced(twin, tmp_path / "out", RunConfig(retrieval=bare), epochs=1, limit=5)
    rows = rows_of(table)
    assert len(rows) == 10
    split = load_dataset(twin).split("test")
    assert rows["sbert"]["n"] == sum(split.gold.get(review.id) is not None for review in split.reviews[:5])
    assert rows["sbert"]["test"] is None
    need = "needs CLIP weights: set retrieval.image_encoders to [clip:MODEL]"
    assert {row["missing"] for key, row in rows.items() if "clip" in key} == {need}
    assert f"Fine-tuned CLIP + SBERT + P(e|m): not run, {need}" in table.notes
    assert not (tmp_path / "out" / "models" / ADAPTER).exists()


def without_photos(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**record, "review_image_path": []} for record in records]


def test_reviews_without_photos_train_no_adapter(
    changed: Callable[..., Path], config: RunConfig, tmp_path: Path
) -> None:
    table = reproduced(changed("train", without_photos), tmp_path / "out", config, epochs=1)
    rows = rows_of(table)
    assert rows["tuned_clip"]["missing"] == "train has no two products with an image of both sides"
    assert rows["clip"]["missing"] == ""


@pytest.mark.parametrize(
    ("split", "train_split", "message"),
    [
        ("dev", "train", "dev is reported and what the weights are chosen on. Name other splits"),
        ("val", "train", "dev is reported and what the weights are chosen on. Name other splits"),
        ("train", "train", "train is reported and trained on. Name other splits"),
        ("tset", "train", "No split named 'tset'. Available: dev, test, train."),
    ],
)
def test_splits_that_cannot_be_reported(
    twin: Path, config: RunConfig, tmp_path: Path, split: str, train_split: str, message: str
) -> None:
    with pytest.raises(AmeliError) as caught:
        reproduced(twin, tmp_path, config, split=split, train_split=train_split)
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_models_of_another_seed_are_not_passed_off(
    twin: Path, config: RunConfig, made: tuple[Path, Table]
) -> None:
    with pytest.raises(AmeliError, match=f"{ADAPTER} holds a model that was trained otherwise: seed"):
        reproduced(twin, made[0], config, seed=1)


def test_a_fine_tuned_text_model_is_no_pre_trained_one(
    twin: Path, config: RunConfig, made: tuple[Path, Table], tmp_path: Path
) -> None:
    tuned = config.retrieval.model_copy(update={"text_model": str(made[0] / "models" / TEXT_MODEL)})
    with pytest.raises(AmeliError, match="is fine-tuned; the table has pre-trained rows"):
        reproduced(twin, tmp_path, RunConfig(retrieval=tuned))


def test_the_command_writes_and_prints_the_table(
    twin: Path, config: RunConfig, made: tuple[Path, Table]
) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    reproduce.register(app)
    model = f"retrieval.text_model={config.retrieval.text_model}"
    words = ["reproduce", "table4", str(twin), "--out", str(made[0]), "--set", model, "--epochs", str(EPOCHS)]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert [row["key"] for row in content["rows"]] == list(rows_of(made[1]))
    assert (made[0] / "table4.md").is_file()
    shown = CliRunner().invoke(app, words).stdout
    assert "Fine-tuned SBERT" in shown
    assert "P(e|m)" in shown
