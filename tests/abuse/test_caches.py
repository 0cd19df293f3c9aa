"""Runs over damaged caches: what is kept of replies, stages and photos' texts changes no result."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from ameli_llm.attributes._readers import ImageTexts, TextBox
from ameli_llm.stages import FILE as STAGES
from tests.abuse.conftest import Shop
from tests.abuse.damage import damaged
from tests.command import Done
from tests.distributed.conftest import Counting
from tests.engines.scripted import scripted
from tests.forked import Forks

REPLIES = "replies.sqlite"
TIMES = 25
Link = Callable[..., Done]


@pytest.fixture
def link(forks: Forks, shop: Shop, cache: Path, tmp_path: Path) -> Iterator[Link]:
    """link(name, *words): eight reviews into a run folder of that name, with a model that answers at once."""
    with scripted() as model:
        model.answers = [Counting(0.0)]
        engine = {"name": "vllm_server", "base_url": model.base_url}
        content = yaml.safe_load(shop.config.read_text()) | {"engine": engine}
        served = tmp_path / "served.yaml"
        served.write_text(yaml.safe_dump(content | {"comparison": {"comparators": ["rules", "listwise"]}}))

        def start(name: str, *words: object) -> Done:
            given = ["--split", "test", "--config", served, "--index", shop.index, "--out", tmp_path / name]
            done = forks.run("link", shop.dataset, *given, *words, cache=cache).done
            assert (done.code, "Traceback" in done.err) == (0, False), done
            return done

        yield start


def rows(run: Path) -> list[dict[str, Any]]:
    """What was found, whether it came from a cache or not."""
    spent = {"seconds", "stage_seconds"}
    lines = (run / "predictions.jsonl").read_text("utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in spent} for line in lines]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("file", [REPLIES, STAGES])
def test_links_are_the_same(file: str, link: Link, cache: Path, tmp_path: Path) -> None:
    link("whole")
    expected, draw = rows(tmp_path / "whole"), random.Random(18)
    path = (cache if file == REPLIES else tmp_path / "whole") / file
    content, words = path.read_bytes(), ("--from", tmp_path / "whole") if file == STAGES else ()
    for number in range(TIMES):
        what, changed = damaged(content, draw)
        path.write_bytes(changed)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        link(f"run{number}", *words)
        assert rows(tmp_path / f"run{number}") == expected, what
        shutil.rmtree(tmp_path / f"run{number}")


class Printed:
    """A reader that knows what is printed on a picture by its colour."""

    identity = "printed"

    def __init__(self) -> None:
        self.read_ones = 0

    def read(self, image: Image.Image) -> list[TextBox]:
        self.read_ones += 1
        colour = image.getpixel((0, 0))
        return [TextBox(f"Power {colour}", 0.75, (0.0, 1.0, 30.0, 12.5))]


def test_photos_say_the_same(tmp_path: Path) -> None:
    photos = [tmp_path / f"{number}.png" for number in range(30)]
    for number, photo in enumerate(photos):
        Image.new("RGB", (32, 32), (number, 2 * number, 3 * number)).save(photo)
    reader, cache = Printed(), tmp_path / "cache"
    expected = ImageTexts(lambda: reader, cache).read(photos)
    content, draw = (cache / "ocr.sqlite").read_bytes(), random.Random(19)
    assert reader.read_ones == len(photos)
    for number in range(40):
        what, changed = damaged(content, draw)
        other = tmp_path / f"cache{number}"
        other.mkdir()
        (other / "ocr.sqlite").write_bytes(changed)
        assert ImageTexts(lambda: reader, other).read(photos) == expected, what
    assert len(photos) < reader.read_ones < 41 * len(photos), "some were read again, and some were kept"
