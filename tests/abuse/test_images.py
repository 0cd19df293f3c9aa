"""Hostile pictures through everything that looks at pictures: read, or a named reason, and in time."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.attributes._readers import ImageTexts, load_reader
from ameli_llm.dataset.images import REASONS, ImageProblem, open_image, probe_image
from retrieval.encoders import image_encoder
from retrieval.encoders.encoder import ImageEncoder
from tests.abuse.conftest import Shop
from tests.abuse.hostile_images import hostile_images
from tests.forked import Forks
from tests.linking.contract import conforms

DEADLINE = 30.0
"""Seconds for one picture; most take milliseconds."""
AT_SIZE = 300
Files = list[tuple[str, Path]]


def write(folder: Path, damages: int) -> Files:
    files = []
    for number, (what, content) in enumerate(hostile_images(damages, seed=11)):
        path = folder / f"{number}.jpg"
        path.write_bytes(content)
        files.append((what, path))
    return files


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return write(tmp_path_factory.mktemp("some"), 20)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return write(tmp_path_factory.mktemp("many"), AT_SIZE)


def in_time(files: Files) -> Iterator[tuple[str, Path]]:
    """The files; fails where the last one took too long."""
    for what, path in files:
        began = time.monotonic()
        yield what, path
        assert time.monotonic() - began < DEADLINE, what


def opened(path: Path) -> str:
    """ "" for a picture that can be decoded, else the reason why it cannot."""
    try:
        width, height = probe_image(path)
        picture = open_image(path)
    except ImageProblem as problem:
        return problem.reason
    assert picture.mode == "RGB"
    assert {*picture.size} == {width, height}
    return ""


def survive(files: Files, look: Callable[[Path], str], *others: str) -> dict[str, str]:
    """The reason of each file, "" where it can be used; a good share of them can, and a good share cannot."""
    reasons = {path.name: look(path) for _, path in in_time(files)}
    assert {*reasons.values()} <= {"", *REASONS, *others}
    used = sum(not reason for reason in reasons.values())
    assert len(files) / 8 < used < len(files) * 7 / 8
    return reasons


def encoding(encoder: ImageEncoder) -> Callable[[Path], str]:
    def look(path: Path) -> str:
        (found,) = encoder.encode_images([path])
        if isinstance(found, ImageProblem):
            return found.reason
        assert found.shape == (encoder.dimension,)
        assert np.linalg.norm(found) == pytest.approx(1, abs=1e-4)
        return ""

    return look


def test_some_are_opened_and_described(some: Files) -> None:
    assert survive(some, opened) == survive(some, encoding(image_encoder("descriptor")))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["descriptor", "efficientnet"])
def test_many_are_encoded(name: str, many: Files) -> None:
    assert len(many) >= 200
    assert survive(many, encoding(image_encoder(name))) == survive(many, opened)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_are_read(many: Files, caplog: pytest.LogCaptureFixture) -> None:
    """The library gives up on pictures a pixel wide, and the reading says so."""
    texts = ImageTexts(lambda: load_reader("rapidocr", "", (), 2.0), None)

    def look(path: Path) -> str:
        return texts.read([path])[path].problem.removeprefix("image_")

    reasons = survive(many, look, "ocr_failed")
    failed = {name for name, reason in reasons.items() if reason == "ocr_failed"}
    assert reasons == survive(many, opened) | dict.fromkeys(failed, "ocr_failed")
    assert failed == {path.name for what, path in many if "3000" in what}
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"OCR failed on image {path.name}: ResizeImgError" for _, path in many if path.name in failed
    ]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_shop_of_them_is_checked_and_linked(
    many: Files, shop: Shop, forks: Forks, cache: Path, tmp_path: Path
) -> None:
    """Each picture is one of a product and one of a review."""
    root = Path(shutil.copytree(shop.dataset, tmp_path / "shop"))
    for name, field, folder in (
        ("products.json", "image_path", "product_images"),
        ("test/reviews.json", "review_image_path", "review_images"),
    ):
        records = json.loads((root / name).read_text("utf-8"))
        for number, (_, path) in enumerate(many):
            shutil.copy(path, root / folder / f"hostile{path.name}")
            records[number % len(records)][field].append(f"hostile{path.name}")
        (root / name).write_text(json.dumps(records), encoding="utf-8")
    checked = forks.run("data", "check", root, "--json", cache=cache).done
    assert checked.code == 0, checked
    found = {one["code"]: one["count"] for one in checked.json["problems"] if one["code"].startswith("image")}
    reasons = Counter(opened(path) for _, path in many)
    assert found == {f"image_{reason}": 2 * count for reason, count in reasons.items() if reason}
    settings = ["--set", "attributes.extractors=[rules, ocr]"]
    words = ["--config", shop.config, *settings, "--split", "test", "--out", tmp_path / "run"]
    linked = forks.run("link", root, *words, cache=cache).done
    assert (linked.code, "Traceback" in linked.err) == (0, False), linked
    conforms(tmp_path / "run", 8)
