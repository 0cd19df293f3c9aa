"""``ameli-llm data build`` and the commands for people, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import command
from tests.dataset.construction.planting import Planted

PLAIN = ("--set", "mentions.choose=longest")


def test_a_build_prints_what_it_kept(planted: Planted, tmp_path: Path) -> None:
    out = tmp_path / "set"
    done = command("data", "build", planted.raw, "--out", out, *PLAIN)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert "  dropped: review profanity: has a word of the block list: 1" in lines
    assert "No photo was cropped: no cropper is named (rules.crop.cropper)." in lines
    assert "The filter of uninformative reviews was off: there were neither labels nor thresholds." in lines
    assert lines[-1] == str(out)
    again = command("data", "build", planted.raw, "--out", out, *PLAIN)
    assert again.error == f"{out} exists. Choose another --out, or delete it."


def test_json_and_rules_left_out(planted: Planted, tmp_path: Path) -> None:
    words = ("--without", "profanity", "--without", "length", "--set", "seed=4", "--json")
    done = command("data", "build", planted.raw, "--out", tmp_path / "set", *PLAIN, *words)
    content = done.json
    assert content["settings"]["rules"]["profanity"] is content["settings"]["rules"]["length"] is False
    reasons = {step["reason"] for step in content["steps"] if step["what"] == "review dropped"}
    assert not any(reason.startswith(("profanity", "length")) for reason in reasons)
    assert content["settings"]["seed"] == 4


def test_other_people_s_tables(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "items.csv").write_text("sku,title,category\n1,Acme Kettle,Kitchen > Kettles\n", encoding="utf-8")
    rows = "asin,text,helpful_votes,thumbs_down\n1,My kettle is hot,1,0\n1,A cold kettle,0,3\n"
    (raw / "reviews.tsv").write_text(rows.replace(",", "\t"), encoding="utf-8")
    words = ("--without", "no_images", "--set", "columns.unhelpful=thumbs_down", "--json")
    done = command("data", "build", raw, "--out", tmp_path / "set", *PLAIN, *words)
    assert done.code == 0, done.err
    assert done.json["columns"]["found"] == {"helpful": "helpful_votes", "unhelpful": "thumbs_down"}
    assert sum(done.json["reviews"].values()) == 1
    (path,) = (tmp_path / "set").glob("*/reviews.json")
    (record,) = json.loads(path.read_text(encoding="utf-8"))
    assert (record["mention"], record["gold_entity_info"]["product_category"]) == (
        "kettle",
        "Kitchen -> Kettles",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--without", "lenght"), "No rule named 'lenght'"),
        (("--set", "columns.details=nothing"), "No column of reviews named 'nothing'"),
        (("--labels", "absent.csv"), "Cannot read the labels absent.csv"),
        (("--set", "rules.crop.cropper=edgse"), "No cropper named 'edgse'"),
        (
            ("--set", "informative.thresholds={image: 0.8}", "--set", "models={text: none, image: none}"),
            "The threshold of image needs an encoder, and models.image is none.",
        ),
    ],
)
def test_what_is_wrong_is_one_line(
    words: tuple[str, ...], message: str, planted: Planted, tmp_path: Path
) -> None:
    done = command("data", "build", planted.raw, "--out", tmp_path / "set", *PLAIN, *words)
    assert message in done.error
    assert not (tmp_path / "set").exists()


def test_a_folder_without_tables(tmp_path: Path) -> None:
    assert command("data", "build", tmp_path, "--out", tmp_path / "set").error.startswith("No table in")


def test_a_threshold_filters_without_a_model(planted: Planted, tmp_path: Path) -> None:
    words = ("--set", "informative.thresholds={attributes: 1}", "--set", "models={text: none, image: none}")
    done = command("data", "build", planted.raw, "--out", tmp_path / "set", *PLAIN, *words, "--json")
    assert done.code == 0, done.err
    step = {c["what"]: c["number"] for c in done.json["steps"] if c["step"] == "informative"}
    assert step["review kept"] + step["review dropped"] == len(planted.clean)
    assert min(step.values()) > 0
    assert done.json["filter"] == {"model": "threshold", "thresholds": {"attributes": 1.0}}


@pytest.mark.slow
def test_built_with_models_checked_by_a_person_and_linked(planted: Planted, tmp_path: Path) -> None:
    """The whole way with the packaged encoders: labels, crops, sheets, answers, link."""
    labels = tmp_path / "labels.csv"
    lines = "".join(f"{id_},{int(number % 3 != 0)}\n" for number, id_ in enumerate(planted.clean))
    labels.write_text(f"review_id,informative\n{lines}", encoding="utf-8")
    out, clean = tmp_path / "set", tmp_path / "clean"
    words = (
        "--labels",
        labels,
        "--set",
        "rules.crop.cropper=edges",
        "--set",
        "split.ratios=[1,1,2]",
        "--json",
    )
    done = command("data", "build", planted.raw, "--out", out, *words)
    assert done.code == 0, done.err
    figures = done.json["filter"]
    assert figures["labels"] + figures["labels_of_reviews_not_there"] == len(planted.clean)
    assert figures["held_out"]["precision"]["n"] > 0
    assert any((out / "cleaned_review_images").iterdir())
    assert command("data", "check", out).code == 0
    sheets = command("data", "sheets", out, "--out", tmp_path / "sheets", "--json")
    assert sheets.code == 0, sheets.err
    key: dict[str, Any] = json.loads((tmp_path / "sheets" / "key.json").read_text(encoding="utf-8"))
    ((id_, sheet),) = key["sheets"].items()
    answers = {str(n): item["gold"] if n > 1 else "?" for n, item in enumerate(sheet["items"], start=1)}
    saved = tmp_path / "answers.json"
    saved.write_text(json.dumps({"sheet": id_, "annotator": "Ada", "answers": answers}), encoding="utf-8")
    words = ("--key", tmp_path / "sheets" / "key.json", "--out", clean, "--json")
    kept = command("data", "verify", out, saved, *words)
    assert kept.json["kept"] == len(answers) - 1
    run = command("link", clean, "--split", "test", "--engine", "none", "--out", tmp_path / "run")
    assert run.code == 0, run.err
    assert (
        len((tmp_path / "run" / "predictions.jsonl").read_text(encoding="utf-8").splitlines())
        == kept.json["kept"]
    )
