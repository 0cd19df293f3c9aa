from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.files import write_json
from ameli_llm.parallel import in_parallel
from ameli_llm.runner import fingerprint, finished, resume, review_key, run, start_or_resume
from ameli_llm.runs import PredictionRow, RunFolder
from ameli_llm.types import Link, Review, State

SPEC = {"config": {"seed": 0, "engine": {"base_url": "a", "timeout": 1.0, "model": "m"}}, "templates": {}}


def row(review: int, state: State = State.LINKED, key: str = "k") -> PredictionRow:
    return PredictionRow(review_id=review, state=state, entity_id=None, confidence=None, key=key)


def changed(**engine: object) -> dict[str, object]:
    config = SPEC["config"]
    return SPEC | {"config": config | {"engine": config["engine"] | engine}}


class Log:
    """A linker that notes the batches it was given."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.batches: list[list[int]] = []
        self.fail_at = fail_at
        self.lock = threading.Lock()

    def __call__(self, reviews: Sequence[Review]) -> list[Link]:
        ids = [review.id for review in reviews]
        if self.fail_at in ids:
            raise AmeliError("stop")
        with self.lock:
            self.batches.append(ids)
        return [Link(review, State.LINKED) for review in ids]


def go(path: Path, link: Log, count: int, *, batch_size: int = 2, workers: int = 1) -> tuple[int, list[int]]:
    """Fresh reviews and the ids in the folder after a run over the reviews 0 to ``count``."""
    reviews = [Review(i) for i in range(count)]
    keys = {review.id: "k" for review in reviews}
    with RunFolder(path) as folder:
        done = resume(folder, keys)
        fresh = run(
            lambda batches: in_parallel(link, batches, workers),
            reviews,
            keys,
            folder,
            done,
            batch_size=batch_size,
            progress=lambda done, total: None,
        )
        return fresh, [r.review_id for r in folder.predictions()]


def test_a_new_folder_holds_the_spec(tmp_path: Path) -> None:
    assert start_or_resume(RunFolder(tmp_path), SPEC) == {"spec": SPEC}


@pytest.mark.parametrize("name", ["base_url", "concurrency", "timeout", "max_error_rate"])
def test_how_the_engine_is_reached_may_change(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / "run.json", {"spec": SPEC, "start": "then"})
    asked = changed(**{name: 7})
    assert start_or_resume(RunFolder(tmp_path), asked) == {"spec": asked, "start": "then"}


@pytest.mark.parametrize(
    ("asked", "difference"),
    [
        (changed(model="n"), 'config.engine.model was "m", now "n"'),
        (SPEC | {"templates": {"extract/json": "1"}}, 'templates.extract/json was null, now "1"'),
        ({"config": SPEC["config"]}, "templates was {}, now null"),
        (SPEC | {"templates": "x" * 100}, f'templates was {{}}, now "{"x" * 56}...'),
    ],
)
def test_another_run_is_refused_and_the_difference_named(
    tmp_path: Path, asked: dict[str, object], difference: str
) -> None:
    write_json(tmp_path / "run.json", {"spec": SPEC})
    with pytest.raises(AmeliError) as caught:
        start_or_resume(RunFolder(tmp_path), asked)
    assert str(caught.value) == (
        f"{tmp_path} holds another run: {difference}. Choose another --out, or delete that folder."
    )


def test_the_order_of_the_keys_is_no_difference(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"spec": dict(reversed(SPEC.items()))})
    start_or_resume(RunFolder(tmp_path), SPEC)
    assert fingerprint(SPEC) == fingerprint(dict(reversed(SPEC.items())))


def test_what_need_not_be_done_again() -> None:
    rows = [
        row(1),
        row(2, State.ENGINE_ERROR),
        row(3, State.INVALID_OUTPUT),
        row(4, key="old"),
        row(5),
        row(1),
        row(6, State.NIL),
        row(7, State.ABSTAINED),
    ]
    keys = dict.fromkeys([1, 2, 3, 4, 6, 7], "k")
    assert [r.review_id for r in finished(rows, keys)] == [1, 3, 6, 7]


def test_everything_that_decides_a_row_is_in_its_key(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"1")
    review = Review(1, "h", "b", "m", ("a.jpg",))
    here: Callable[[str], Path | None] = lambda name: tmp_path / name  # noqa: E731
    keys = [
        review_key(review, "s", here),
        review_key(review, "t", here),
        review_key(review, "s", lambda name: None),
        review_key(review, "s", lambda name: tmp_path / "none"),
    ]
    keys += [
        review_key(Review(*parts), "s", here)
        for parts in [(2, "h", "b", "m", ("a.jpg",)), (1, "hb", "", "m", ("a.jpg",)), (1, "h", "b", "m", ())]
    ]
    picture.write_bytes(b"2")
    keys.append(review_key(review, "s", here))
    assert len(set(keys)) == len(keys)
    sliced = Review(1, "h", "b", "m", ("a.jpg",), slices=("is_hard",))
    assert review_key(sliced, "s", here) == keys[-1], "slices decide nothing"


def test_batches_are_cut_by_position(tmp_path: Path) -> None:
    log = Log()
    assert go(tmp_path / "run", log, 5) == (5, [0, 1, 2, 3, 4])
    assert log.batches == [[0, 1], [2, 3], [4]]


def test_a_finished_run_does_nothing(tmp_path: Path) -> None:
    go(tmp_path / "run", Log(), 5)
    path = tmp_path / "run" / "predictions.jsonl"
    before = path.stat()
    log = Log()
    assert go(tmp_path / "run", log, 5) == (0, [0, 1, 2, 3, 4])
    assert log.batches == []
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_an_interrupted_run_links_whole_batches_and_writes_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match="stop"):
        go(tmp_path / "run", Log(fail_at=4), 6)
    path = tmp_path / "run" / "predictions.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    path.write_bytes(b"".join(lines[:3]) + lines[3][:-7])
    log = Log()
    assert go(tmp_path / "run", log, 6) == (3, [0, 1, 2, 3, 4, 5])
    assert log.batches == [[2, 3], [4, 5]]


@pytest.mark.parametrize("torn", [b"{", b'{"review_id": 0', b"\xc3"])
def test_a_torn_line_is_removed_before_the_run_goes_on(tmp_path: Path, torn: bytes) -> None:
    go(tmp_path / "run", Log(), 2)
    with (tmp_path / "run" / "predictions.jsonl").open("ab") as stream:
        stream.write(torn)
    assert go(tmp_path / "run", Log(), 4) == (2, [0, 1, 2, 3])
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["review_id"] for line in lines] == [0, 1, 2, 3]


def test_more_reviews_go_on_and_fewer_are_refused(tmp_path: Path) -> None:
    run_ = tmp_path / "run"
    go(run_, Log(), 2)
    assert go(run_, Log(), 4) == (2, [0, 1, 2, 3])
    before = (run_ / "predictions.jsonl").read_bytes()
    with pytest.raises(AmeliError) as caught:
        go(run_, Log(), 3)
    assert str(caught.value) == (
        f"{run_} holds 1 reviews beyond the 3 asked for. Raise --limit, or choose another --out."
    )
    assert (run_ / "predictions.jsonl").read_bytes() == before


def test_no_reviews(tmp_path: Path) -> None:
    assert go(tmp_path / "run", Log(), 0) == (0, [])


def test_several_workers_lose_and_repeat_nothing(tmp_path: Path) -> None:
    log = Log()
    fresh, ids = go(tmp_path / "run", log, 101, batch_size=3, workers=5)
    assert (fresh, sorted(ids)) == (101, list(range(101)))
    assert sorted(log.batches)[-1] == [99, 100]
