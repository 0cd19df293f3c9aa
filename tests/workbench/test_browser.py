"""The page in Chromium: edit, run, compare, reload, two tabs, a workbench that is gone, hostile texts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ameli_llm.dataset.load import load_dataset
from ameli_llm.ids import ReviewId
from tests.command import NOT_IGNORED
from tests.plugin_vllm import free_port
from tests.watching.planted import ATTACK, SETTINGS, Plans, planned, template, write
from tests.workbench.browser import CHROMIUM, Browser, Page, browser
from tests.workbench.conftest import NAME

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@contextmanager
def started(dataset: Path, prompts: Path, out: Path, port: int, *settings: str) -> Iterator[str]:
    """The address that the real command prints; at the end Ctrl-C, which it takes as its ordinary end."""
    words = ["workbench", dataset, "--split", "train", "--out", out, "--prompts", prompts, "--port", port]
    words += ["--sample", "20", *(word for setting in settings for word in ("--set", setting))]
    with subprocess.Popen(
        [*NOT_IGNORED, sys.executable, "-u", "-m", "ameli_llm", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("workbench: http://127.0.0.1:"), process.stderr.read()
            yield line.removeprefix("workbench: ").strip()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        except BaseException:
            process.kill()
            raise
        assert process.returncode == 0, err
        assert "Traceback" not in err, err


@pytest.fixture(scope="module")
def hostile(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The twin, whose reviews and products carry attacks."""
    root = tmp_path_factory.mktemp("hostile") / "twin"
    shutil.copytree(twin, root)
    for file, field in (("train/reviews.json", "header"), ("products.json", "product_name")):
        records = json.loads((root / file).read_text(encoding="utf-8"))
        for record in records:
            record[field] = f"{record[field]} {ATTACK}"
        (root / file).write_text(json.dumps(records), encoding="utf-8")
    return root


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path / "profile") as opened:
        yield opened


def entered(chromium: Browser, address: str) -> Page:
    page = chromium.page()
    page.look(1400)
    page.open(address)
    page.wait("document.getElementById('prompt').textContent.includes('=== request')")
    return page


def choose(page: Page, name: str) -> None:
    page.do(
        "(() => { const e = document.getElementById('templates');"
        f" e.value = {json.dumps(name)}; e.dispatchEvent(new Event('change')); }})()"
    )
    page.wait(f"document.getElementById('source').value.includes('Plan') && {checked(name)}")


def checked(name: str) -> str:
    return f"JSON.parse(sessionStorage.getItem('ameli-workbench')).name === {json.dumps(name)}"


def edited(page: Page, source: str, shows: str) -> None:
    page.type("source", source)
    page.wait(f"document.getElementById('prompt').textContent.includes({json.dumps(shows)})")


def test_a_session(
    in_cache: None, hostile: Path, known: list[ReviewId], chromium: Browser, tmp_path: Path
) -> None:
    dataset = load_dataset(hostile)
    split = dataset.split("train")
    right = {1: frozenset(known[:10]), 2: frozenset(known[1:14])}
    plans = Plans(dataset, split, right, {3: frozenset(known)})
    prompts, port = tmp_path / "prompts", free_port()
    write(prompts, NAME, template(1))
    write(prompts, "compare/<img src=x onerror=hacked=1>", template(1))
    with planned(plans) as server:
        settings = (*SETTINGS, "engine.name=vllm_server", f"engine.base_url={server.base_url}")
        with started(hostile, prompts, tmp_path / "runs", port, *settings) as address:
            page = entered(chromium, address)
            assert "token" not in page.do("location.href")
            assert page.do("document.getElementById('templates').value") == "compare/listwise"
            choose(page, NAME)
            page.do(f"pick({json.dumps(str(known[0]))})")

            # An unsound edit shows its lint and cannot be run.
            page.type("source", template("{{ reviw }}"))
            page.wait("document.querySelector('#findings .invalid')")
            assert page.do("document.getElementById('run').disabled")

            # Two versions of one review, side by side.
            edited(page, template(1), "Plan 1")
            page.click("run")
            page.wait("document.querySelector('.version.now p.good')")
            edited(page, template(2), "Plan 2")
            page.click("run")
            page.wait("document.querySelector('.version.before')")
            assert "wrong: the right product is" in page.do(
                "document.querySelector('.version.now').innerText"
            )
            assert "Plan 1" in page.do("document.querySelector('.version.before pre').textContent")

            # A failed reply is shown as it is.
            edited(page, template(3), "Plan 3")
            page.click("run")
            page.wait("document.querySelector('.version.now .answer').textContent.startsWith('invalid')")
            assert ATTACK in page.do("document.querySelector('.version.now').textContent")

            # The sample, twice.
            edited(page, template(1), "Plan 1")
            page.click("sample")
            page.wait("document.querySelectorAll('.figure').length")
            edited(page, template(2), "Plan 2")
            page.click("sample")
            page.wait("document.querySelectorAll('.ids button').length", 60)
            assert "fixed" in page.do("document.getElementById('sample-result').innerText")

            # Loaded anew, the tab has its text and its results; another tab has its own.
            page.call("Page.reload")
            page.wait("document.querySelector('.version.before') && document.querySelector('.figures')")
            assert page.do("document.getElementById('source').value") == template(2)
            other = entered(chromium, f"http://127.0.0.1:{port}/")
            choose(other, NAME)
            assert other.do("document.getElementById('source').value") == template(1)
            other.type("new-name", "compare/kept")
            other.click("save")
            other.wait("document.getElementById('said').textContent.startsWith('saved as')")
            assert (prompts / "compare" / "kept.j2").read_text(encoding="utf-8") == template(1)
            assert page.do("document.getElementById('source').value") == template(2)

            for width, dark in ((1400, False), (400, True)):
                page.look(width, dark=dark)
                assert page.do("document.documentElement.scrollWidth") <= width
            assert page.do("typeof hacked") == other.do("typeof hacked") == "undefined"
            assert page.do("[...document.images].every((one) => one.src.startsWith(location.origin))")
            assert page.complaints() == []

        # The workbench is gone: the page says so and keeps what was typed.
        page.click("run")
        page.wait("document.getElementById('banner').textContent.includes('does not answer')")
        with started(hostile, prompts, tmp_path / "runs", port, *settings) as address:
            assert not re.search("does not answer", entered(chromium, address).text())
            page.open(address)
            page.wait("document.querySelector('.version.before')")
            assert page.do("document.getElementById('source').value") == template(2)


def test_a_page_that_knows_no_token(in_cache: None, twin: Path, chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    port = free_port()
    with started(twin, tmp_path / "prompts", tmp_path / "runs", port, *SETTINGS[:4]) as address:
        stranger = chromium.page()
        stranger.open(f"http://127.0.0.1:{port}/")
        stranger.wait("document.body.innerText.includes('it has the token')")
        page = entered(chromium, address)
        assert "no engine" in page.text()
        page.click("run")
        page.wait("document.querySelector('.version.now')")
        assert "No engine" in page.text()
