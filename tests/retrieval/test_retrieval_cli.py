from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from ameli_llm.cli.index import register
from ameli_llm.errors import AmeliError
from tests.shared_setup import cache_of

CONFIG = """
retrieval:
  image_encoders: [descriptor]
  weights: {bm25: 1.0, sbert: 1.0, title: 1.0, image: 1.0}
"""
PAPER = [
    "P(e|m)",
    "Pre-trained SBERT",
    "Image descriptor",
    "Image descriptor/SBERT",
    "Image descriptor/SBERT + P(e|m)",
    "Adapted image descriptor",
    "Adapted image descriptor + SBERT",
    "Adapted image descriptor + SBERT + P(e|m)",
]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def invoke(*words: object) -> Result:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, AmeliError):
        raise result.exception
    return result


def test_index_says_what_it_made(
    root: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMELI_LLM_CACHE", str(cache_of(tmp_path_factory, tmp_path / "cache")))
    (root / "product_images" / "20-0.png").write_bytes(b"")
    result = invoke("index", root, "--json")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert (summary["products"], summary["images"], summary["unusable_images"]) == (6, 4, {"empty": 1})
    assert Path(summary["folder"]).is_relative_to(tmp_path / "cache")
    assert "texts: 6/6" in result.stderr
    again = invoke("index", root)
    assert "texts" not in again.stderr
    assert "1 empty" in again.stdout


def test_retrieve_writes_candidates_and_prints_table_4(
    root: Path, folder: Path, settings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    options = ("--split", "dev", "--out", out, "--index", folder, "--config", settings)
    result = invoke("retrieve", root, *options)
    assert result.exit_code == 0
    assert result.stdout.startswith("dev: 4 reviews, 4 with their product among 6\n")
    assert "Adapted image descriptor: needs an adapter: ameli-llm train clip-adapter" in result.stdout
    lines = [json.loads(line) for line in (out / "candidates.jsonl").read_text().splitlines()]
    assert [line["review_id"] for line in lines] == [1, 2, 3, 4]
    assert [line["candidates"][0]["entity_id"] for line in lines[:3]] == [10, 30, 50]
    trec = [line.split() for line in (out / "run.trec").read_text().splitlines()]
    assert trec[0] == ["1", "Q0", "10", "1", "6", "ameli-llm"]
    assert (out / "qrels.trec").read_text() == "1 0 10 1\n2 0 30 1\n3 0 50 1\n4 0 40 1\n"


def test_retrieve_as_json_has_the_eight_rows_and_ours(
    root: Path, folder: Path, settings: Path, tmp_path: Path
) -> None:
    options = ("--split", "dev", "--out", tmp_path / "run", "--index", folder, "--config", settings, "--json")
    report = json.loads(invoke("retrieve", root, *options).stdout)
    assert [row["method"] for row in report["rows"]] == [*PAPER, "Configured sum"]
    rows = {row["method"]: row for row in report["rows"]}
    assert rows["Pre-trained SBERT"]["recall"]["10"][0] == 1
    assert rows["Image descriptor"]["recall"]["1"][0] == 0.25
    assert rows["P(e|m)"]["recall"]["10"][0] == 0.5
    assert not rows["Adapted image descriptor"]["recall"]
    assert json.loads((tmp_path / "run" / "retrieval.json").read_text()) == report


def test_clip_rows_without_an_image_encoder_say_what_is_missing(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("retrieval: {image_encoder: none, weights: {bm25: 1}}")
    options = ("--split", "dev", "--out", tmp_path / "run", "--index", tmp_path / "ix", "--config", path)
    stdout = invoke("retrieve", root, *options).stdout
    need = "needs CLIP weights: set retrieval.image_encoders to [clip:MODEL]"
    assert f"Pre-trained CLIP: {need}" in stdout
    assert f"Fine-tuned CLIP + SBERT + P(e|m): {need}" in stdout


def test_a_split_without_gold_has_candidates_and_no_recall(
    root: Path, folder: Path, settings: Path, tmp_path: Path
) -> None:
    reviews = [{"review_id": 5, "header": "h", "body": "blender", "mention": "", "review_image_path": []}]
    (root / "test").mkdir()
    (root / "test" / "reviews.json").write_text(json.dumps(reviews))
    options = ("--split", "test", "--out", tmp_path / "run", "--index", folder, "--config", settings)
    report = json.loads(invoke("retrieve", root, *options, "--json").stdout)
    assert {(row["n"], bool(row["recall"])) for row in report["rows"]} == {(0, False)}
    assert (tmp_path / "run" / "candidates.jsonl").read_text().startswith('{"review_id": 5')


def test_a_named_index_of_another_encoder_is_not_replaced(root: Path, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("retrieval: {image_encoder: none}")
    options = ("--split", "dev", "--out", tmp_path / "run", "--index", folder, "--config", path)
    with pytest.raises(AmeliError, match="the configuration asks for 'none'"):
        invoke("retrieve", root, *options)


def test_a_place_that_cannot_be_written(root: Path, folder: Path, settings: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    options = ("--split", "dev", "--out", tmp_path / "file" / "run", "--index", folder, "--config", settings)
    with pytest.raises(AmeliError, match="Cannot write to"):
        invoke("retrieve", root, *options)
