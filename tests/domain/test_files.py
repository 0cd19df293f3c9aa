"""Files and folders that appear in one step, and what is left of processes that were killed in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.files import draft_of, new_folder, write_text

KILLED = """
import os, signal, sys
from pathlib import Path
from ameli_llm.files import draft_of
draft = draft_of(Path(sys.argv[1]))
draft.write_text("half") if sys.argv[2] == "file" else (draft / "part").mkdir(parents=True)
print(draft)
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def left_by_a_killed_process(path: Path, kind: str) -> Path:
    words = [sys.executable, "-c", KILLED, str(path), kind]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    left = Path(done.stdout.strip())
    assert left.exists()
    return left


def test_what_a_killed_process_left_goes_with_the_next_writing(tmp_path: Path) -> None:
    path, others = tmp_path / "a.json", [tmp_path / ".a.json.old", draft_of(tmp_path / "b.json")]
    for other in others:
        other.write_text("mine")
    left = left_by_a_killed_process(path, "file")
    write_text(path, "whole")
    assert not left.exists()
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    left = left_by_a_killed_process(out, "folder")
    with new_folder(out) as draft:
        (draft / "a").write_text("1")
    assert not left.exists()
    with pytest.raises(AmeliError, match="exists"), new_folder(out):
        pass
    assert (out / "a").read_text() == "1"
