"""The commands that link, from end to end, as a user types them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.config import FusionConfig
from ameli_llm.image_encoders import default_list
from ameli_llm.runs import RunFolder
from tests.linking.conftest import Start
from tests.linking.contract import conforms, lines, metrics_but_seconds


def test_the_index_command_says_what_it_made(index: Any) -> None:
    assert index.code == 0, index
    assert "24" in index.out
    assert "Traceback" not in index.err


def test_a_run_folder_is_what_the_contract_says(linked: tuple[Path, list[object]]) -> None:
    conforms(linked[0], 8)


def test_the_same_command_again_does_nothing(
    linked: tuple[Path, list[object]], here: Callable[..., Any]
) -> None:
    run, words = linked
    kept = {name: (run / name).read_bytes() for name in ("predictions.jsonl", "run.json", "metrics.json")}
    before = (run / "predictions.jsonl").stat()
    done = here(*words)
    assert done.code == 0, done
    assert f"run: {run} (0 linked now)" in done.out
    after = (run / "predictions.jsonl").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert {name: (run / name).read_bytes() for name in kept} == kept


def test_evaluate_compare_and_report_read_the_run(
    linked: tuple[Path, list[object]], here: Callable[..., Any], tmp_path: Path
) -> None:
    run, _ = linked
    before = (run / "metrics.json").read_bytes()
    assert here("evaluate", run, "--json").json == json.loads(before)
    assert (run / "metrics.json").read_bytes() == before
    compared = here("compare", run, run, "--json").json
    assert (compared["n"], compared["fixed"], compared["broken"]) == (8, [], [])
    page = tmp_path / "both.html"
    assert here("report", run, run, "--out", page, "--json").json == {"report": str(page)}
    assert page.stat().st_size > 10_000


def test_fewer_reviews_than_the_folder_holds_are_refused(
    linked: tuple[Path, list[object]], here: Callable[..., Any]
) -> None:
    run, words = linked
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert here(*words, "--limit", 3).error == (
        f"{run} holds 5 reviews beyond the 3 asked for. Raise --limit, or choose another --out."
    )
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_another_configuration_in_the_same_folder_is_refused(
    linked: tuple[Path, list[object]], here: Callable[..., Any]
) -> None:
    run, words = linked
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert here(*words, "--set", "fusion.text=2").error == (
        f"{run} holds another run: config.fusion.text was {FusionConfig().text}, now 2.0. "
        "Choose another --out, or delete that folder."
    )
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_second_process_on_the_folder_is_told(
    linked: tuple[Path, list[object]], ameli: Callable[..., Any]
) -> None:
    run, words = linked
    with RunFolder(run):
        done = ameli(*words)
    assert done.error == f"Another process is writing to {run}. Wait for it, or choose another --out."


def test_tune_link_and_compare(
    linked: tuple[Path, list[object]],
    here: Callable[..., Any],
    dataset: Path,
    cheap: tuple[str, ...],
    tmp_path: Path,
) -> None:
    tuned, run = tmp_path / "new" / "tuned.yaml", tmp_path / "tuned"
    chosen = here("tune", dataset, "--out", tuned, *cheap, "--precision", 0.9, "--json").json
    assert (chosen["split"], chosen["n"]) == ("dev", 5)
    assert set(chosen["chosen"]["retrieval"]["weights"]) == {"title", *default_list()}
    assert set(chosen["chosen"]["fusion"]["calibration"]) == {"link", "nil"}
    again = tmp_path / "again.yaml"
    here("tune", dataset, "--out", again, *cheap, "--precision", 0.9)
    assert again.read_bytes() == tuned.read_bytes()
    done = here("link", dataset, "--split", "test", "--out", run, "--config", tuned)
    assert done.code == 0, done
    conforms(run, 8)
    assert json.loads((run / "run.json").read_text())["spec"]["config"] == chosen["chosen"]
    changed = here("compare", linked[0], run, "--json").json["changed"]
    assert "config.retrieval.weights.descriptor" in changed


def test_ablate_has_a_row_for_each_source(
    linked: tuple[Path, list[object]],
    here: Callable[..., Any],
    dataset: Path,
    cheap: tuple[str, ...],
    tmp_path: Path,
) -> None:
    words = ("ablate", dataset, "--split", "test", "--out", tmp_path, "--limit", 4, *cheap)
    rows = here(*words, "--json").json["rows"]
    assert [row["row"] for row in rows] == ["full", "without attributes", "without text", "without image"]
    for row in rows:
        conforms(Path(row["run"]), 4)
        assert (row["difference"] is None) == (row["row"] == "full")
    table = here(*words)
    assert table.code == 0
    assert [line.split("  ")[0] for line in table.out.splitlines()[1:5]] == [row["row"] for row in rows]


def test_reviews_without_gold_are_linked_and_not_scored(
    here: Callable[..., Any],
    copied: Callable[..., Path],
    in_index: tuple[str, str],
    cheap: tuple[str, ...],
    tmp_path: Path,
) -> None:
    def without(reviews: list[dict[str, Any]]) -> None:
        for review in reviews:
            del review["gold_entity_info"]

    root, run = copied(without), tmp_path / "run"
    done = here("link", root, "--split", "test", "--out", run, *in_index, *cheap)
    assert (done.code, done.out) == (0, f"run: {run} (8 linked now)\n")
    assert len(lines(run)) == 8
    assert not (run / "gold.json").exists()
    assert not (run / "metrics.json").exists()


@pytest.mark.parametrize("limit", [(), ("--limit", 7)], ids=["all", "the first seven"])
def test_without_gold_there_is_nothing_to_tune_on_or_measure_with(
    here: Callable[..., Any],
    copied: Callable[..., Path],
    in_index: tuple[str, str],
    cheap: tuple[str, ...],
    tmp_path: Path,
    limit: tuple[object, ...],
) -> None:
    def without(reviews: list[dict[str, Any]]) -> None:
        for review in reviews[:7] if limit else reviews:
            del review["gold_entity_info"]

    root = copied(without)
    options = ("--split", "test", *in_index, *cheap, *limit)
    message = f"Split 'test' of {root} has no gold to "
    assert here("tune", root, *options, "--out", tmp_path / "t.yaml").error == f"{message}tune on."
    assert here("ablate", root, *options, "--out", tmp_path / "a").error == f"{message}measure with."


def test_a_full_disk_stops_the_run_and_the_next_one_goes_on(
    linked: tuple[Path, list[object]],
    ameli: Callable[..., Any],
    here: Callable[..., Any],
    dataset: Path,
    cheap: tuple[str, ...],
    tmp_path: Path,
) -> None:
    """A limit on the size of files stands for the full disk: the write fails in the middle of a line."""
    run = tmp_path / "run"
    words = ("link", dataset, "--split", "test", "--out", run, *cheap)
    done = ameli(*words, before=("sh", "-c", 'ulimit -f 40; exec "$@"', "sh"))
    assert done.error == (
        f"Cannot write {run / 'predictions.jsonl'}: File too large. "
        "Make room and type the same command again: finished reviews are kept."
    )
    assert here(*words).code == 0
    conforms(run, 8)
    assert metrics_but_seconds(run) == metrics_but_seconds(linked[0])


def repeated(reviews: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each review 5 times, under ids of their own: three batches."""
    return [review | {"review_id": 100 * n + i} for n in range(5) for i, review in enumerate(reviews)]


def test_a_killed_run_goes_on_to_the_same_result(
    start: Start,
    here: Callable[..., Any],
    copied: Callable[..., Path],
    in_index: tuple[str, str],
    cheap: tuple[str, ...],
    tmp_path: Path,
) -> None:
    root = copied(repeated)
    words = ["link", root, "--split", "test", *in_index, *cheap, "--out"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with start(*words, killed) as process:
        predictions = killed / "predictions.jsonl"
        while process.poll() is None and not (predictions.exists() and b"\n" in predictions.read_bytes()):
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    first = predictions.read_bytes().count(b"\n")  # the last line may be cut
    assert 0 < first < 40
    assert not (killed / "metrics.json").exists()
    assert here(*words, killed, "--json").json["fresh"] == 40 - first
    assert here(*words, whole).code == 0
    conforms(killed, 40)
    assert metrics_but_seconds(killed) == metrics_but_seconds(whole)
    spent = {"seconds", "stage_seconds"}
    for ours, theirs in zip(lines(killed), lines(whole), strict=True):
        assert {k: v for k, v in ours.items() if k not in spent} == {
            k: v for k, v in theirs.items() if k not in spent
        }


def test_the_official_protocol_is_a_switch_that_the_run_records(
    index: Any, dataset: Path, here: Callable[..., Any], tmp_path: Path
) -> None:
    settings = [
        "--set",
        "attributes.extractors=[]",
        "--set",
        "retrieval.candidates=30",
        "--set",
        "retrieval.depth=30",
    ]
    run = tmp_path / "run"
    done = here("link", dataset, "--split", "test", "--out", run, "--official", *settings)
    assert done.code == 0, done
    assert json.loads((run / "run.json").read_text())["spec"]["protocol"] == "official"
    # K is more than there are products: every list is short, and gold is in all of them.
    protocol = json.loads((run / "metrics.json").read_text())["protocol"]
    assert (protocol["name"], protocol["batch_size"]) == ("official", 16)
    assert "gold inserted into short lists" in protocol["reproduced"]
    refused = here("link", dataset, "--split", "test", "--out", run, *settings)
    assert refused.code == 2
    assert "holds another run: official was [" in refused.err


def render(here: Callable[..., Any], dataset: Path, run: Path, *more: object) -> Any:
    return here("prompts", "render", "compare/listwise", "--dataset", dataset, "--run", run, "--json", *more)


def test_prompts_render_has_the_candidates_of_the_run(
    linked: tuple[Path, list[object]], dataset: Path, here: Callable[..., Any]
) -> None:
    seen = 0
    for row in lines(linked[0]):
        compared = row["candidates"][: row["compared"]]
        order = sorted(compared, key=lambda one: -one["retrieval_score"])
        made = render(here, dataset, linked[0], "--review", row["review_id"]).json
        assert made["candidates"] == [one["entity_id"] for one in order]
        if made["requests"]:
            text = json.dumps(made["requests"])
            stated = [json.dumps(one["value"])[1:-1] for one in row["attributes"]]
            assert all(value in text for value in stated)
            seen += len(stated)
    assert seen > 0, "a run whose reviews state nothing shows nothing"
    first = lines(linked[0])[0]["review_id"]
    assert render(here, dataset, linked[0]).json["review_id"] == first


def test_prompts_render_of_a_run_of_something_else(
    linked: tuple[Path, list[object]], dataset: Path, here: Callable[..., Any], tmp_path: Path
) -> None:
    run = linked[0]
    assert "has no review '9999'" in render(here, dataset, run, "--review", 9999).err
    assert "A run has its own candidates" in render(here, dataset, run, "--candidates", "1,2").err
    assert "Add --dataset DIR" in here("prompts", "render", "compare/listwise", "--run", run).err
    assert "is not a run folder" in render(here, dataset, tmp_path).err
    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    products = json.loads((other / "products.json").read_text(encoding="utf-8"))
    (other / "products.json").write_text(json.dumps(products[:-1]), encoding="utf-8")
    assert "another state of the dataset" in render(here, other, run).err
