"""Saves as editors make them, seen by the real watcher; and the real command, ended by Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.ids import ReviewId
from eval.watching.saves import places, saves
from tests.command import command, finished, running
from tests.watching.planted import SETTINGS, Plans, planned, template, write


def test_each_save_is_seen_once_however_it_is_made(tmp_path: Path) -> None:
    path = write(tmp_path, "mine", "one")
    with saves(places(path, tmp_path)) as changes:
        path.write_text("two")
        next(changes)
        draft = tmp_path / ".mine.swp"
        draft.write_text("three")
        draft.rename(path)
        next(changes)
        (tmp_path / "notes.txt").write_text("nothing to see")
        seen = threading.Event()
        waiting = threading.Thread(target=lambda: (next(changes), seen.set()), daemon=True)
        waiting.start()
        assert not seen.wait(0.4)
        path.write_text("four")
        assert seen.wait(10)


def test_the_folders_of_included_files_are_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path / "mine", "draft", "one")
    write(tmp_path / "prompts", "shared/review", "two")
    found = places(path, tmp_path / "prompts")
    assert found == sorted(
        one.resolve() for one in (tmp_path / "mine", tmp_path / "prompts", tmp_path / "prompts" / "shared")
    )


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = command("watch", "compare/mnie", tmp_path, "--split", "dev", "--out", tmp_path / "runs")
    assert "No template named 'compare/mnie'" in done.error
    assert "Available: compare/entail" in done.error


@pytest.mark.slow
def test_the_command(
    in_cache: None, twin: Path, dataset: Dataset, split: Split, known: list[ReviewId], tmp_path: Path
) -> None:
    plans = Plans(dataset, split, {1: frozenset(known[:8]), 2: frozenset(known[1:12])}, {})
    path = write(tmp_path, "compare/mine", template(1))
    with planned(plans) as server:
        settings = (*SETTINGS, f"engine.base_url={server.base_url}")
        words = ["watch", "compare/mine", twin, "--split", "train", "--out", tmp_path / "runs"]
        words += ["--prompts", tmp_path, "--sample", "20", "--engine", "vllm_server"]
        words += [word for setting in settings for word in ("--set", setting)]
        with running(*words) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("baseline: 20 reviews, end-to-end F1 ")
            path.write_text(template(2))
            line = process.stdout.readline()
            assert line.startswith("version 1: ")
            assert " fixed, " in line
            assert "; 20 requests, " in line
            process.send_signal(signal.SIGINT)
            done = finished(process)
    assert done.code == 0, done
    assert done.out.splitlines()[-1] == f"the runs are in {tmp_path / 'runs'}"
    assert len(list((tmp_path / "runs").iterdir())) == 2
