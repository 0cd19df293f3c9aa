"""One tiny dataset and its index for the whole folder, and the command line in and out of process."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.command import Done, command, finished, running
from tests.shared_setup import cache_of, made_once, twin_of

Start = Callable[..., AbstractContextManager[subprocess.Popen[str]]]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of all runs here: index, OCR results, replies."""
    return cache_of(tmp_path_factory, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def cheap() -> tuple[str, ...]:
    """Options for a pipeline without torch and without OCR: seconds a run."""
    weights = "retrieval.weights={title: 5.0, image: 20.0}"
    return "--set", weights, "--set", "attributes.extractors=[rules]"


@pytest.fixture(autouse=True)
def _cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMELI_LLM_CACHE", str(cache))


@pytest.fixture(scope="session")
def start(cache: Path) -> Start:
    """start(*arguments, before=...): the real command as a process of its own, for a block."""
    return partial(running, AMELI_LLM_CACHE=str(cache))


@pytest.fixture(scope="session")
def ameli(start: Start) -> Callable[..., Done]:
    """ameli(*arguments, before=...): the real command, run to its end."""

    def run(*arguments: object, **options: Any) -> Done:
        with start(*arguments, **options) as process:
            return finished(process)

    return run


@pytest.fixture
def here() -> Callable[..., Done]:
    """here(*arguments): the same entry point in this process."""
    return command


def bomb() -> bytes:
    """The header of a PNG of 50,000 x 50,000 pixels, and next to no data."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header) - 4) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 4) + b"IDAT\x78\x9c\x03\x00"


def bad_images(good: bytes) -> dict[str, bytes]:
    return {
        "empty.jpg": b"",
        "cut.jpg": good[: len(good) // 2],
        "text.png": b"<html>not found</html>",
        "huge.png": bomb(),
    }


def hostile_reviews(images: Sequence[str]) -> list[dict[str, Any]]:
    """Reviews that break naive code, each with the pictures ``images``; the products are 1 to 9."""
    texts = {
        "one character": ("", "x", ""),
        "nothing": ("", "", ""),
        "nulls": (None, None, None),
        "long": ("Long", "the blender is 1100 W and blue. " * 3200, "blender"),
        "one long word": ("", "w" * 100_000, "x" * 1000),
        "emoji": ("\U0001f600" * 20, "\U0001f468\u200d\U0001f469 1100\U0001f4a1W", "\u2615"),
        "right to left": ("\u202eegassem", "\u05de\u05db\u05d5 1100W \u202b", "\u0642\u0647\u0648"),
        "NUL and half a pair": ("a\x00b", "white\x00 1100\ud800W", "coffee\x00maker"),
        "control": ("\x1b[2J\x07", "{{ 7 * 7 }} {% raw %} </script><|im_end|>\r\n%s%n", "' OR 1=1"),
        "no pictures": ("White", "a white one of 1100 W", "coffee maker"),
    }  # fmt: skip
    return [
        {
            "review_id": number,
            "header": header,
            "body": body,
            "mention": mention,
            "review_image_path": [] if name == "no pictures" else list(images),
            "gold_entity_info": {"id": 1 + number % 9, "product_name": "x"},
        }
        for number, (name, (header, body, mention)) in enumerate(texts.items(), start=9000)
    ]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 products and 40 reviews; the train split is hostile, and so are some product pictures."""
    twin = twin_of(tmp_path_factory, products=24, reviews=40, seed=1)
    return (
        made_once(tmp_path_factory, "hostile", lambda folder: make_hostile(twin, folder / "hostile"))
        / "hostile"
    )


def make_hostile(twin: Path, root: Path) -> None:
    """A copy of ``twin`` whose train reviews and product pictures break naive code."""
    shutil.copytree(twin, root)
    good = next((root / "product_images").iterdir()).read_bytes()
    for folder in ("product_images", "review_images"):
        for name, content in bad_images(good).items():
            (root / folder / name).write_bytes(content)
    names = [*bad_images(good), "missing.jpg", "../outside.jpg", "a" * 300 + ".jpg"]
    products = json.loads((root / "products.json").read_text(encoding="utf-8"))
    for product, name in zip(products, [*names, names], strict=False):
        product["image_path"] = [*product["image_path"], name] if isinstance(name, str) else name
    (root / "products.json").write_text(json.dumps(products), encoding="utf-8")
    (root / "train" / "reviews.json").write_text(json.dumps(hostile_reviews(names)), encoding="utf-8")


@pytest.fixture(scope="session")
def index(cache: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The index of ``dataset`` in the cache, made by the command; what it printed."""

    def make(folder: Path) -> None:
        own = cache_of(tmp_path_factory, folder / "cache")
        with running("index", dataset, AMELI_LLM_CACHE=str(own)) as process:
            done = finished(process)
        (folder / "done.json").write_text(json.dumps(asdict(done)), encoding="utf-8")

    made = made_once(tmp_path_factory, "hostile-index", make)
    shutil.copytree(made / "cache", cache, dirs_exist_ok=True, ignore=shutil.ignore_patterns("encoders"))
    return Done(**json.loads((made / "done.json").read_text(encoding="utf-8")))


@pytest.fixture
def copied(dataset: Path, tmp_path: Path) -> Callable[..., Path]:
    """copied(change): the dataset elsewhere, its test reviews changed by ``change``; same index content."""

    def make(change: Callable[[list[dict[str, Any]]], Any], name: str = "copy") -> Path:
        root = tmp_path / name
        (root / "test").mkdir(parents=True)
        (root / "products.json").write_bytes((dataset / "products.json").read_bytes())
        for folder in ("product_images", "review_images", "cleaned_review_images"):
            shutil.copytree(dataset / folder, root / folder)
        reviews = json.loads((dataset / "test" / "reviews.json").read_text(encoding="utf-8"))
        changed = change(reviews)
        (root / "test" / "reviews.json").write_text(
            json.dumps(reviews if changed is None else changed), encoding="utf-8"
        )
        return root

    return make


@pytest.fixture
def in_index(cache: Path, dataset: Path, index: Done) -> tuple[str, str]:
    """The option that names the index of ``dataset``, for its copies."""
    (place,) = (cache / "index").glob(f"{dataset.name}-*/*")
    return "--index", str(place)


@pytest.fixture(scope="session")
def linked(
    ameli: Callable[..., Any],
    dataset: Path,
    index: Any,
    cheap: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[object]]:
    """A run over the test split, and the words of its command."""
    run = tmp_path_factory.mktemp("runs") / "linked"
    words: list[object] = ["link", dataset, "--split", "test", "--out", run, *cheap]
    done = ameli(*words, "--json")
    assert done.code == 0, done
    assert done.json.keys() == {"run", "fresh", "error_rate", "taken", "failures", "metrics"}
    assert (done.json["run"], done.json["fresh"], done.json["error_rate"]) == (str(run), 8, 0.0)
    assert done.json["metrics"] == json.loads((run / "metrics.json").read_text("utf-8"))
    return run, words
