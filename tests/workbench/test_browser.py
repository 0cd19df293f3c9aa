"""The page in Chromium: edit, run, compare, reload, two tabs, a workbench that is gone, hostile texts."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from ameli_llm import Linker
from ameli_llm.dataset.load import load_dataset
from ameli_llm.ids import ReviewId
from tests.browser import CHROMIUM, Browser, Page, browser
from tests.command import finished, running
from tests.plugin_vllm import free_port
from tests.watching.planted import ATTACK, SETTINGS, Plans, planned, template, write
from tests.workbench.conftest import NAME

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

PASTE = """(() => {
  const bytes = Uint8Array.from(atob("CONTENT"), (letter) => letter.charCodeAt(0));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([bytes], "clip.png", {type: "image/png"}));
  document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
})()"""
"""Pastes a picture as Ctrl-V does."""


@contextmanager
def started(dataset: Path, prompts: Path, out: Path, port: int, *settings: str) -> Iterator[str]:
    """The address that the real command prints; at the end Ctrl-C, which it takes as its ordinary end."""
    words = ["workbench", dataset, "--split", "train", "--out", out, "--prompts", prompts, "--port", port]
    words += ["--sample", "20", *(word for setting in settings for word in ("--set", setting))]
    with running(*words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("workbench: http://127.0.0.1:"), process.stderr.read()
        yield line.removeprefix("workbench: ").strip()
        process.send_signal(signal.SIGINT)
        done = finished(process)
        assert done.code == 0, done
        assert "Traceback" not in done.err, done


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
    page.looks(1400)
    page.open(address)
    page.until("document.getElementById('prompt').textContent.includes('=== request')")
    return page


def choose(page: Page, name: str) -> None:
    page.run(
        "(() => { const e = document.getElementById('templates');"
        f" e.value = {json.dumps(name)}; e.dispatchEvent(new Event('change')); }})()"
    )
    page.until(f"document.getElementById('source').value.includes('Plan') && {checked(name)}")


def checked(name: str) -> str:
    return f"JSON.parse(sessionStorage.getItem('ameli-workbench')).name === {json.dumps(name)}"


def edited(page: Page, source: str, shows: str) -> None:
    page.type("source", source)
    page.until(f"document.getElementById('prompt').textContent.includes({json.dumps(shows)})")


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
            assert "token" not in page.run("location.href")
            assert page.run("document.getElementById('templates').value") == "compare/listwise"
            choose(page, NAME)
            page.run(f"pick({json.dumps(str(known[0]))})")

            # An unsound edit shows its lint and cannot be run.
            page.type("source", template("{{ reviw }}"))
            page.until("document.querySelector('#findings .invalid')")
            assert page.run("document.getElementById('run').disabled")

            # Two versions of one review, side by side.
            edited(page, template(1), "Plan 1")
            page.click("run")
            page.until("document.querySelector('.version.now p.good')")
            edited(page, template(2), "Plan 2")
            page.click("run")
            page.until("document.querySelector('.version.before')")
            assert "wrong: the right product is" in page.run(
                "document.querySelector('.version.now').innerText"
            )
            assert "Plan 1" in page.run("document.querySelector('.version.before pre').textContent")

            # A failed reply is shown as it is.
            edited(page, template(3), "Plan 3")
            page.click("run")
            page.until("document.querySelector('.version.now .answer').textContent.startsWith('invalid')")
            assert ATTACK in page.run("document.querySelector('.version.now').textContent")

            # The sample, twice.
            edited(page, template(1), "Plan 1")
            page.click("sample")
            page.until("document.querySelectorAll('.figure').length")
            edited(page, template(2), "Plan 2")
            page.click("sample")
            page.until("document.querySelectorAll('.ids button').length", 60)
            assert "fixed" in page.run("document.getElementById('sample-result').innerText")

            # Loaded anew, the tab has its text and its results; another tab has its own.
            page.call("Page.reload")
            page.until("document.querySelector('.version.before') && document.querySelector('.figures')")
            assert page.run("document.getElementById('source').value") == template(2)
            other = entered(chromium, f"http://127.0.0.1:{port}/")
            choose(other, NAME)
            assert other.run("document.getElementById('source').value") == template(1)
            other.type("new-name", "compare/kept")
            other.click("save")
            other.until("document.getElementById('said').textContent.startsWith('saved as')")
            assert (prompts / "compare" / "kept.j2").read_text(encoding="utf-8") == template(1)
            assert page.run("document.getElementById('source').value") == template(2)

            for width, dark in ((1400, False), (400, True)):
                page.looks(width, dark=dark)
                assert page.run("document.documentElement.scrollWidth") <= width
            assert page.run("typeof hacked") == other.run("typeof hacked") == "undefined"
            assert page.run("[...document.images].every((one) => one.src.startsWith(location.origin))")
            assert chromium.complaints == []

        # The workbench is gone: the page says so and keeps what was typed.
        page.click("run")
        page.until("document.getElementById('banner').textContent.includes('does not answer')")
        with started(hostile, prompts, tmp_path / "runs", port, *settings) as address:
            assert not re.search("does not answer", entered(chromium, address).text())
            page.open(address)
            page.until("document.querySelector('.version.before')")
            assert page.run("document.getElementById('source').value") == template(2)


def test_a_page_that_knows_no_token(in_cache: None, twin: Path, chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    port = free_port()
    with started(twin, tmp_path / "prompts", tmp_path / "runs", port, *SETTINGS[:4]) as address:
        stranger = chromium.page()
        stranger.open(f"http://127.0.0.1:{port}/")
        stranger.until("document.body.innerText.includes('it has the token')")
        page = entered(chromium, address)
        assert "no engine" in page.text()
        page.click("run")
        page.until("document.querySelector('.version.now')")
        assert "No engine" in page.text()


def test_a_pasted_review_is_linked_by_its_photo(
    in_cache: None, twin: Path, chromium: Browser, tmp_path: Path
) -> None:
    """Its words find nothing; its photo is the picture of one product."""
    pictured = next(one for one in load_dataset(twin).products.values() if one.images)
    photo = tmp_path / "mine.png"
    Image.open(twin / "product_images" / pictured.images[0]).save(photo)
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    settings = ("retrieval.image_encoder=descriptor", "retrieval.weights={image: 1.0}", *SETTINGS[2:4])
    with started(twin, prompts, tmp_path / "runs", free_port(), *settings) as address:
        page = entered(chromium, address)
        page.click("from-paste")
        page.type("body", "It works.")
        page.click("run")
        page.until("document.querySelector('.version.now .answer').textContent.startsWith('abstained')")

        field = page.call("Runtime.evaluate", expression="document.getElementById('photo')")["result"]
        page.call("DOM.setFileInputFiles", files=[str(photo)], objectId=field["objectId"])
        page.until("document.getElementById('photo-state').textContent === 'mine.png'")
        page.until("document.querySelector('#pasted-photo img').naturalWidth")
        page.until("document.getElementById('prompt').textContent.includes('It works.')")
        page.click("run")
        page.until("document.querySelector('.version.now .answer')?.textContent.startsWith('linked')")
        first = page.run("document.querySelector('.version.now tr.chosen').innerText").split("\t")
        with Linker.open(twin, settings=settings) as linker:
            best = linker.link({"body": "It works.", "images": photo}).best
        assert best is not None
        assert first[0] == f"{pictured.name} ({pictured.id})"
        assert first[-1] == f"{best.image_score:.3f}"
        assert page.run("state.now.review.images") == 1

        page.run(PASTE.replace("CONTENT", base64.b64encode(photo.read_bytes()).decode()))
        page.until("document.getElementById('photo-state').textContent === 'clip.png'")
        page.until("state.now === null && document.querySelector('#pasted-photo img').naturalWidth")
        page.click("run")
        page.until("state.now?.review.images === 1")
        assert page.run("document.querySelector('.version.now tr.chosen').innerText").split("\t") == first
        assert chromium.complaints == []
