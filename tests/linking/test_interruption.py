"""Ctrl-C, SIGTERM and a reader that goes away, sent to real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.interruption import ANEW, GOES_ON, Interrupted, interruptible
from tests.command import NOT_IGNORED, ROOT
from tests.linking.conftest import Start

BATCH = 16
"""Reviews that are linked together without an engine: beyond as many lines, a batch has been counted."""


def repeated(reviews: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each review seven times, under ids of their own: four batches."""
    return [review | {"review_id": 100 * n + i} for n in range(7) for i, review in enumerate(reviews)]


def many_pictures(root: Path) -> Path:
    """The dataset, its first product now with 3,000 pictures: enough to be interrupted at."""
    products = json.loads((root / "products.json").read_text("utf-8"))
    picture = root / "product_images" / products[0]["image_path"][0]
    names = [f"{n}{picture.suffix}" for n in range(3000)]
    for name in names:
        os.link(picture, picture.with_name(name))
    products[0]["image_path"] = names
    (root / "products.json").write_text(json.dumps(products), encoding="utf-8")
    return root


def lines(path: Path) -> int:
    """Lines of the file so far; 0 where there is none yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_link_says_how_far_it_came_and_goes_on(
    start: Start,
    here: Callable[..., Any],
    copied: Callable[..., Path],
    in_index: tuple[str, str],
    cheap: tuple[str, ...],
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    run = tmp_path / "run"
    words = ["link", copied(repeated), "--split", "test", *in_index, *cheap, "--out", run]
    predictions = run / "predictions.jsonl"
    with start(*words) as process:
        while process.poll() is None and lines(predictions) <= BATCH:
            time.sleep(0.002)
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=280)
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
    said = re.fullmatch(r"interrupted at linking (\d+)/56; the same command goes on", err.splitlines()[-1])
    assert said, err
    kept = len(predictions.read_text("utf-8").splitlines())
    assert 0 < int(said[1]) <= kept < 56
    assert here(*words, "--json").json["fresh"] == 56 - kept


def test_data_check_says_how_far_it_came(start: Start, copied: Callable[..., Path]) -> None:
    with start("data", "check", many_pictures(copied(list))) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert re.fullmatch(r"images: \d+/\d+\n", first)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert re.fullmatch(r"interrupted at images \d+/\d+; the same command starts anew", last), err


def test_a_second_signal_ends_at_once() -> None:
    code = (
        "import os, signal, sys\n"
        "from ameli_llm.interruption import Interrupted, interruptible, safe_point\n"
        "with interruptible():\n"
        "    try: os.kill(os.getpid(), signal.SIGINT); safe_point()\n"
        "    except Interrupted: print('first', flush=True); os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here')\n"
    )
    assert _python(code) == (-signal.SIGINT, "first\n", "")


@pytest.mark.parametrize("grace", [1e-6, 0.001])  # the shorter ends while the signal is still handled
def test_no_lock_stays_taken(grace: float) -> None:
    code = (
        "import os, signal, threading\n"
        "import ameli_llm.interruption as module\n"
        "from ameli_llm.interruption import Interrupted, interruptible\n"
        f"module._GRACE = {grace}\n"
        "kill = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "for _ in range(30):\n"
        "    condition = threading.Condition(threading.Lock())\n"
        "    try:\n"
        "        with interruptible():\n"
        "            threading.Timer(0.002, kill).start()\n"
        "            while True:\n"
        "                with condition: pass\n"
        "    except Interrupted: assert condition.acquire(blocking=False)\n"
    )
    assert _python(code) == (0, "", "")


def test_what_waits_is_interrupted() -> None:
    code = (
        "import os, signal, threading\n"
        "from ameli_llm.interruption import Interrupted, interruptible\n"
        "try:\n"
        "    with interruptible():\n"
        "        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "        threading.Event().wait()\n"
        "except Interrupted: print('waited')\n"
    )
    assert _python(code) == (0, "waited\n", "")


def test_a_safe_point_comes_first() -> None:
    code = (
        "import os, signal\n"
        "from ameli_llm.interruption import Interrupted, interruptible, safe_point\n"
        "done = 0\n"
        "try:\n"
        "    with interruptible():\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        for done in range(1, 1000): pass\n"
        "        safe_point()\n"
        "except Interrupted: print(done)\n"
    )
    assert _python(code) == (0, "999\n", "")


def _python(code: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script."""
    words = [*NOT_IGNORED, sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_an_ignored_signal_stays_ignored() -> None:
    code = (
        "import os, signal\n"
        "from ameli_llm.interruption import interruptible, safe_point\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with interruptible(): os.kill(os.getpid(), signal.SIGINT); safe_point()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("reached", "then", "line"),
    [
        ("linking 120/542", GOES_ON, "interrupted at linking 120/542; the same command goes on"),
        ("images 3/24", ANEW, "interrupted at images 3/24; the same command starts anew"),
        ("", ANEW, "interrupted; the same command starts anew"),
        ("", "", "interrupted"),
    ],
)
def test_the_line(reached: str, then: str, line: str) -> None:
    stop = Interrupted(signal.SIGTERM)
    stop.reached, stop.then = reached, then
    assert (str(stop), stop.exit_code) == (line, 143)


def test_handlers_are_as_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("arguments", [("prompts", "list"), ("prompts", "show", "extract/json"), ("--help",)])
def test_nobody_reads(start: Start, arguments: tuple[str, ...]) -> None:
    with start(*arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait(timeout=280)) == ("", 141)


@pytest.mark.parametrize("arguments", [("prompts", "list"), ("doctor",)])
def test_a_full_disk_behind_stdout(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "ameli_llm", *arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2, "error: Cannot write the result: No space left on device.\n"
    )  # fmt: skip
