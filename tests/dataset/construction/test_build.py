"""A build finds everything that was planted, goes on where it was killed, and ends in a dataset."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.dataset.check import check_dataset
from ameli_llm.dataset.construction.build import Sources, build_dataset, work_folder
from ameli_llm.dataset.construction.settings import BuildSettings, read_settings
from ameli_llm.dataset.construction.similarity import Tools
from ameli_llm.dataset.construction.writing import Written
from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError
from tests.dataset.construction.conftest import content_of
from tests.dataset.construction.planting import Planted

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def built(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Written]:
    """The dump, built without a model, in one go."""
    from ameli_llm.dataset.construction.raw import raw_files
    from ameli_llm.dataset.importing.plan import plan_import
    from retrieval.chunker import RuleChunker

    out = tmp_path_factory.mktemp("built") / "set"
    plan = plan_import(raw_files(planted.raw))
    settings = read_settings(None, ["mentions.choose=longest", "batch=16"])
    return out, build_dataset(Sources(planted.raw, plan), out, settings, Tools(RuleChunker()))


def counted(written: Written, what: str) -> dict[str, int]:
    return {c["reason"]: c["number"] for c in written.account["steps"] if c["what"] == what}


def reviews_of(out: Path) -> dict[int, tuple[str, dict[str, Any]]]:
    """Split and record by review id."""
    return {
        record["review_id"]: (path.parent.name, record)
        for path in out.glob("*/reviews.json")
        for record in json.loads(path.read_text(encoding="utf-8"))
    }


def test_every_planted_review_is_found_under_its_name(built: tuple[Path, Written], planted: Planted) -> None:
    out, written = built
    wanted: dict[str, int] = {"repeats the id of an earlier review": 1}
    for reason in planted.reviews.values():
        wanted[reason] = wanted.get(reason, 0) + 1
    assert counted(written, "review dropped") == wanted
    assert sorted(reviews_of(out)) == planted.clean


def test_every_planted_product_is_found_under_its_name(built: tuple[Path, Written], planted: Planted) -> None:
    out, written = built
    assert counted(written, "product dropped") == {
        "no_images: names no image": 1,
        "readable_images: has no image that can be used": 1,
        "repeats the id of an earlier row": 1,
    }
    ids = {product["id"] for product in json.loads((out / "products.json").read_text(encoding="utf-8"))}
    assert len(ids) == 18
    assert not ids & planted.products.keys()


def test_what_is_mended_is_noted(built: tuple[Path, Written], planted: Planted) -> None:
    out, written = built
    reviews = reviews_of(out)
    for id_, right in planted.relinked.items():
        assert reviews[id_][1]["gold_entity_info"]["id"] == right
    wrong = "review was filed under another variant than its product details name"
    moved = f"variant: {wrong}, and is linked to that one"
    assert (
        counted(written, "review noted")[moved] == 2
    )  # one was filed wrongly alone, one beside the right row
    assert counted(written, "row dropped") == {"is not JSON": 1}
    images = {c["reason"] for c in written.account["steps"] if c["what"] == "image noted"}
    assert images >= {
        "readable_images: image is truncated",
        "readable_images: image has no file in the folder",
    }


def test_near_duplicates_stay_in_one_split(built: tuple[Path, Written], planted: Planted) -> None:
    out, written = built
    reviews = reviews_of(out)
    for pair in (planted.alike, planted.same_photo):
        golds = {reviews[id_][1]["gold_entity_info"]["id"] for id_ in pair}
        splits = {reviews[id_][0] for id_ in pair}
        assert (len(golds), len(splits)) == (2, 1)
    joined = {c["what"] for c in written.account["steps"] if c["step"] == "split"}
    assert joined == {"text noted", "image noted"}


def test_the_result_is_a_dataset_without_a_product_in_two_splits(built: tuple[Path, Written]) -> None:
    out, written = built
    check = check_dataset(load_dataset(out))
    assert check.passed
    kinds = {finding.code for finding in check.findings}
    assert not kinds & {"image_missing", "image_truncated", "no_mention", "no_gold", "gold_in_several_splits"}
    assert sum(written.reviews.values()) == len(reviews_of(out))


def test_the_account_says_where_it_comes_from(built: tuple[Path, Written], planted: Planted) -> None:
    out, _ = built
    account = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    files = {source["file"]: source["sha256"] for source in account["sources"]}
    assert files.keys() == {"products.json", "reviews.jsonl"}
    assert all(len(digest) == 64 for digest in files.values())
    assert account["licence"].startswith("not stated")
    assert account["columns"]["found"] == {
        "helpful": "helpfulVotes",
        "unhelpful": "unhelpfulVotes",
        "details": "productDetails",
    }
    page = (out / "build.html").read_text(encoding="utf-8")
    assert str(planted.raw) not in page
    assert "profanity: has a word of the block list" in page
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


def test_a_build_killed_at_every_step_comes_to_the_same_bytes(
    built: tuple[Path, Written], sources: Sources, settings: BuildSettings, tools: Tools, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    seen: list[tuple[str, int]] = []

    def kill(stage: str, done: int, total: int) -> None:
        if (stage, done) not in seen:
            seen.append((stage, done))
            raise KeyboardInterrupt

    for _ in range(100):
        try:
            build_dataset(sources, out, settings, tools, progress=kill)
            break
        except KeyboardInterrupt:
            assert not out.exists()
    assert {stage for stage, _ in seen} >= {"products", "reviews", "images", "mentions", "duplicates"}
    assert content_of(out) == content_of(built[0])
    assert not work_folder(out).exists()


@pytest.mark.slow
def test_a_killed_process_leaves_what_the_next_one_goes_on_from(
    built: tuple[Path, Written],
    planted: Planted,
    sources: Sources,
    settings: BuildSettings,
    tools: Tools,
    tmp_path: Path,
) -> None:
    out = tmp_path / "set"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from ameli_llm.dataset.construction.build import Sources, build_dataset\n"
        "from ameli_llm.dataset.construction.raw import raw_files\n"
        "from ameli_llm.dataset.construction.settings import read_settings\n"
        "from ameli_llm.dataset.construction.similarity import Tools\n"
        "from ameli_llm.dataset.importing.plan import plan_import\n"
        "from retrieval.chunker import RuleChunker\n"
        "raw, out = map(Path, sys.argv[1:])\n"
        "def kill(stage, done, total):\n"
        "    if stage == 'images': os.kill(os.getpid(), signal.SIGKILL)\n"
        "settings = read_settings(None, ['mentions.choose=longest', 'batch=16'])\n"
        "sources = Sources(raw, plan_import(raw_files(raw)))\n"
        "build_dataset(sources, out, settings, Tools(RuleChunker()), progress=kill)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(planted.raw), str(out)], cwd=ROOT, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(AmeliError, match=r"unfinished build .* other settings"):
        build_dataset(sources, out, settings.model_copy(update={"seed": 1}), tools)
    build_dataset(sources, out, settings, tools)
    assert content_of(out) == content_of(built[0])


def test_an_occupied_folder_is_left_alone(
    sources: Sources, settings: BuildSettings, tools: Tools, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(AmeliError, match="exists"):
        build_dataset(sources, tmp_path, settings, tools)
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine"
