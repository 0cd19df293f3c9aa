"""A run takes from another what was found with the same inputs, and nothing else."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.attributes.extractor import Extraction, ExtractionTask
from ameli_llm.checksums import checksum_of
from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import load_dataset
from ameli_llm.engines.engine import ChatReply, ChatRequest, Exchange, Message
from ameli_llm.errors import AmeliError
from ameli_llm.pipeline import open_pipeline
from ameli_llm.runs import RunFolder
from ameli_llm.stages import FILE, KeptExtractor, Stages
from ameli_llm.types import AttributeValue, Evidence, Failure, Review, State, Usage, no_progress
from eval.experiment import Outcome, link_split
from tests.command import Done
from tests.shared_setup import twin_of

CHEAP = ("retrieval.weights={title: 1.0}", "retrieval.image_encoder=none", "attributes.extractors=[rules]")
ALL = {"extraction.rules": 12, "retrieval": 12}


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twin_of(tmp_path_factory, products=20, reviews=40, seed=2)


def linked(twin: Path, out: Path, *settings: str, reuse: Sequence[Path] = ()) -> Outcome:
    data = load_dataset(twin)
    with open_pipeline(data, override(RunConfig(), [*CHEAP, *settings])) as pipeline:
        return link_split(pipeline, data, data.split("train"), out, no_progress, 12, reuse=reuse)


@pytest.fixture(scope="module")
def first(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    assert linked(twin, out).taken == {}
    return out


def rows(run: RunFolder) -> list[dict[str, Any]]:
    seconds = {"seconds", "stage_seconds"}
    return [row.model_dump(exclude=seconds) for row in run.predictions()]


def test_links_are_what_they_would_be_without(twin: Path, first: Path, tmp_path: Path) -> None:
    fresh = linked(twin, tmp_path / "fresh", "fusion.text=2")
    reused = linked(twin, tmp_path / "reused", "fusion.text=2", reuse=[first])
    assert (fresh.taken, reused.taken) == ({}, ALL)
    assert rows(reused.folder) == rows(fresh.folder) != rows(RunFolder(first))
    again = linked(twin, tmp_path / "again", "fusion.text=3", reuse=[tmp_path / "reused"])
    assert again.taken == ALL, "what was taken is kept for the next run"


OPENED = """
import sys
from pathlib import Path
from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import load_dataset
from ameli_llm.pipeline import open_pipeline
with open_pipeline(load_dataset(Path(sys.argv[1])), override(RunConfig(), sys.argv[2:])):
    print(sorted({"bm25s", "numba", "sklearn", "scipy"} & sys.modules.keys()))
"""


def test_who_retrieves_nothing_imports_no_search_library(twin: Path) -> None:
    settings = (*CHEAP[1:], "retrieval.weights={bm25: 1, header: 1, prior: 1, tfidf: 1, title: 1}")
    with open_pipeline(load_dataset(twin), override(RunConfig(), settings)):
        pass  # the tables are made
    words = [sys.executable, "-c", OPENED, str(twin), *settings]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("setting", "taken"),
    [
        ("retrieval.pool=5000", {"extraction.rules": 12}),
        ("attributes.sense=0.2", {"retrieval": 12}),
        ("retrieval.candidates=3", {"retrieval": 12}),
        ("seed=5", ALL),
    ],
)
def test_a_stage_is_done_again_when_what_decides_it_changed(
    twin: Path, first: Path, tmp_path: Path, setting: str, taken: dict[str, int]
) -> None:
    assert linked(twin, tmp_path / "run", setting, reuse=[first]).taken == taken


def test_other_words_or_another_photo_are_another_review(twin: Path, first: Path, tmp_path: Path) -> None:
    changed = tmp_path / twin.name
    shutil.copytree(twin, changed)
    reviews = load_dataset(changed).split("train").reviews[:12]
    photo = next(review.images[0] for review in reviews if review.images)
    path = load_dataset(changed).review_image(photo)
    assert path is not None
    path.write_bytes(path.read_bytes() + b"\0")
    shown = sum(photo in review.images for review in reviews)
    left = linked(changed, tmp_path / "run", reuse=[first]).taken
    assert left == {"extraction.rules": 12 - shown, "retrieval": 12 - shown}


def test_a_damaged_entry_is_made_again(twin: Path, first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "damaged")
    with sqlite3.connect(tmp_path / "damaged" / FILE) as database:
        database.create_function("checksum_of", 2, checksum_of)
        database.execute("UPDATE texts SET value = substr(value, 1, length(value) / 2)")
        database.execute("UPDATE texts SET checksum = checksum_of(key, value)")
    damaged = linked(twin, tmp_path / "run", "fusion.text=2", reuse=[tmp_path / "damaged"])
    assert damaged.taken == {}
    fresh = linked(twin, tmp_path / "fresh", "fusion.text=2")
    assert rows(damaged.folder) == rows(fresh.folder)


class Scripted:
    """An extractor that answers from a list."""

    name = "llm"

    def __init__(self, *answers: Extraction) -> None:
        self.answers = list(answers)

    def extract(self, tasks: Sequence[ExtractionTask]) -> list[Extraction]:
        return [self.answers.pop(0) for _ in tasks]


FOUND = Extraction(
    (AttributeValue("Color", "Red", "llm", Evidence("image", 0, 3, "red", "a.jpg", (1, 2, 3, 4.5), 0.9)),),
    {"no_span": 2},
    Usage(10, 2, 4),
    exchanges=(
        Exchange(
            "llm",
            ChatRequest((Message("user", "half a pair \ud800"),), {"b": 1, "a": 2}, seed=3),
            ChatReply("{}", None, Usage(10, 2, 4), "stop", seconds=0.3),
        ),
    ),
)
FAILED = Extraction(failure=Failure(State.ENGINE_ERROR, "no answer"))


def test_a_failure_is_asked_again_and_a_reply_is_not(tmp_path: Path) -> None:
    tasks = [ExtractionTask(Review(n), {"Color": ("Red",)}) for n in (1, 2)]
    with Stages(tmp_path) as stages:
        scripted = Scripted(FOUND, FAILED, Extraction())
        kept = KeptExtractor(scripted, stages, lambda task: str(task.review.id))
        assert kept.extract(tasks) == [FOUND, FAILED]
        again = kept.extract(tasks)
        assert (again, scripted.answers) == ([FOUND, Extraction()], [])
        (asked,) = again[0].exchanges
        assert (asked.reply.from_cache, asked.reply.seconds, stages.taken) == (
            True,
            0.0,
            {"extraction.llm": 1},
        )
        assert list(asked.request.schema or ()) == ["b", "a"], "the order of keys is the model's"


def test_without_stages_there_is_nothing_to_take(
    here: Callable[..., Done], twin: Path, first: Path, tmp_path: Path
) -> None:
    with pytest.raises(AmeliError, match=r"no stages\.sqlite: nothing can be taken"):
        Stages(tmp_path / "own", [tmp_path])
    options = [word for setting in CHEAP for word in ("--set", setting)]
    line = ("link", twin, "--split", "train", "--limit", "12", "--out", tmp_path / "run", *options)
    for switch in ("--official", "--no-transcripts"):
        refused = here(*line, "--from", first, switch)
        assert (refused.code, "Leave out" in refused.err, (tmp_path / "run").exists()) == (2, True, False)
    done = here(*line, "--from", first)
    assert (done.code, "taken as it was: extraction.rules of 12, retrieval of 12" in done.out) == (0, True)
