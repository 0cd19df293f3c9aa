from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.files import write_json
from ameli_llm.runs import LONGEST_LINE, PredictionRow, RunFolder
from ameli_llm.types import State


def row(review: int, state: State = State.LINKED, key: str = "k") -> PredictionRow:
    entity = 7 if state is State.LINKED else None
    return PredictionRow(review_id=review, state=state, entity_id=entity, confidence=0.5, key=key)


def write(path: Path, rows: Iterable[PredictionRow]) -> RunFolder:
    with RunFolder(path) as folder:
        folder.keep([])
        folder.open_predictions()
        for one in rows:
            folder.append([one])
    return folder


def test_rows_come_back_in_the_order_they_were_written(tmp_path: Path) -> None:
    rows = [row(3), row(1, State.ABSTAINED), row(2, State.ENGINE_ERROR)]
    assert list(write(tmp_path / "a" / "run", rows).predictions()) == rows


def test_no_predictions_yet(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert (list(folder.predictions()), folder.gold(), folder.texts("reviews")) == ([], {}, {})


@pytest.mark.parametrize("cut", [1, 2, 20, 60], ids=lambda n: f"{n} bytes short")
def test_a_torn_last_line_is_ignored(tmp_path: Path, cut: int) -> None:
    folder = write(tmp_path / "run", [row(1), row(2)])
    path = folder.path / "predictions.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert list(folder.predictions()) == [row(1)]


def test_a_line_torn_inside_a_character_is_ignored(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", [row(1)])
    with (folder.path / "predictions.jsonl").open("ab") as stream:
        stream.write('{"error": "é'.encode()[:-1])
    assert list(folder.predictions()) == [row(1)]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "Invalid JSON: EOF while parsing an object at line 2 column 0"),
        ("", "Invalid JSON: EOF while parsing a value at line 2 column 0"),
        ('{"review_id": 1}', "state: Field required"),
        (row(2).model_dump_json().replace('"linked"', '"lost"'), "state: Input should be 'linked', 'nil',"),
        (row(2).model_dump_json().replace('"seconds"', '"secs"'), "secs: Extra inputs are not permitted"),
        pytest.param('{"review_id": ' + 100_000 * "[", "Invalid JSON: recursion limit exceeded", id="deep"),
        (row(2).model_dump_json().replace('"seconds":0.0', '"seconds":NaN'), "NaN is no JSON number"),
        (row(2).model_dump_json().replace('"seconds":0.0', '"seconds":"inf"'), "seconds: Input should be"),
        (row(2).model_dump_json().replace('"orders":1', '"orders":-1'), "orders: Input should be greater"),
        pytest.param('"' + LONGEST_LINE * "x" + '"', "longer than 16777216 characters", id="long"),
    ],
)
def test_a_broken_line_in_the_middle_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    folder = write(tmp_path / "run", [row(1)])
    path = folder.path / "predictions.jsonl"
    with path.open("a") as stream:
        stream.write(f"{line}\n{row(3).model_dump_json()}\n")
    with pytest.raises(AmeliError) as caught:
        list(folder.predictions())
    assert str(caught.value).startswith(f"{path}: line 2: {complaint}")
    assert "\n" not in str(caught.value)


def test_many_threads_append_whole_lines(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.open_predictions()
        threads = [
            threading.Thread(target=lambda n=n: [folder.append([row(100 * n + i)]) for i in range(50)])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(r.review_id for r in folder.predictions()) == sorted(
        100 * n + i for n in range(8) for i in range(50)
    )


HOLD = """
import sys
from pathlib import Path
from ameli_llm.runs import RunFolder
with RunFolder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AmeliError) as caught, RunFolder(run):
            pass
        holder.kill()
    assert str(caught.value) == (
        f"Another process is writing to {run}. Wait for it, or choose another --out."
    )
    with RunFolder(run) as folder:
        folder.keep([row(1)])
    assert list(folder.predictions()) == [row(1)]


def test_a_full_disk_is_named_and_what_was_written_stays(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", [row(1)])
    before = (folder.path / "predictions.jsonl").read_bytes()
    path = folder.path / "predictions.jsonl"
    path.rename(folder.path / "kept")
    path.symlink_to("/dev/full")
    with folder:
        folder.open_predictions()
        with pytest.raises(AmeliError) as caught:
            folder.append([row(2)])
    assert str(caught.value) == (
        f"Cannot write {path}: No space left on device. "
        "Make room and type the same command again: finished reviews are kept."
    )
    assert (folder.path / "kept").read_bytes() == before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AmeliError) as caught, RunFolder(tmp_path / "file" / "run"):
        pass
    assert str(caught.value) == f"Cannot write to {tmp_path / 'file' / 'run'}: Not a directory."


def test_writing_takes_an_open_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not open for writing"):
        RunFolder(tmp_path).append([row(1)])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", ": not JSON: Expecting property name enclosed in double quotes, line 1 column 2."),
        ("[]", " holds no JSON object."),
        ("\xff", ": not UTF-8: byte 0."),
        pytest.param('{"a": ' + 100_000 * "[", ": nested more than 64 deep.", id="deep"),
    ],
)
@pytest.mark.parametrize(
    ("name", "read"),
    [("run", RunFolder.manifest), ("gold", RunFolder.gold), ("reviews", lambda run: run.texts("reviews"))],
)
def test_a_broken_file(tmp_path: Path, name: str, read: object, content: str, complaint: str) -> None:
    path = tmp_path / f"{name}.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(AmeliError) as caught:
        read(RunFolder(tmp_path))
    assert str(caught.value) == f"{path}{complaint}"


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("gold", {'"x': {"gold": 1}}, "'\"x' is no id."),
        ("gold", {"1": {"gold": 1.5}}, "review 1: gold.int: Input should be a valid integer."),
        ("gold", {"1": 2}, "review 1: Input should be a valid dictionary or instance of GoldRow."),
        ("reviews", {'"1"2': {}}, "'\"1\"2' is no id."),
    ],
)  # fmt: skip
def test_a_wrong_gold_or_text_file(tmp_path: Path, name: str, content: object, complaint: str) -> None:
    write_json(tmp_path / f"{name}.json", content)
    with pytest.raises(AmeliError) as caught:
        RunFolder(tmp_path).gold() if name == "gold" else RunFolder(tmp_path).texts(name)
    assert str(caught.value) == f"{tmp_path / name}.json: {complaint}"


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(AmeliError) as caught:
        RunFolder(tmp_path).require()
    assert str(caught.value) == f"{tmp_path} is not a run folder: it has no run.json. link makes one."


def test_json_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": "é"})
    write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert os.listdir(tmp_path) == ["a.json"]
