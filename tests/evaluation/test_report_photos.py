"""Photos in the report: small, re-encoded, of the linked dataset only, bounded in number and bytes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ameli_llm.dataset.images import thumbnail
from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval.report.page import render
from eval.report.photos import QUALITY, SIDE, Photos
from tests.evaluation.report_page import ReportPage

SECRET = b"GPS 52.5200 13.4050"


def _photo(path: Path, colour: str) -> Path:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (640, 320), colour).save(path, exif=exif)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two products, one with a photo, and a photo of a review."""
    folder = tmp_path / "dataset"
    _photo(tmp_path / "outside.jpg", "black")
    folder.mkdir()
    _photo(folder / "product_images" / "p1.jpg", "red")
    _photo(folder / "review_images" / "r1.jpg", "blue")
    (folder / "review_images" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (folder / "review_images" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    products = [
        {"id": 1, "product_name": "One", "product_category": "Shop", "image_path": ["p1.jpg"]},
        {"id": 2, "product_name": "Two", "product_category": "Shop", "image_path": ["../outside.jpg"]},
    ]
    (folder / "products.json").write_text(json.dumps(products))
    return folder


@pytest.fixture
def run(
    dataset: Path,
    predict: Callable[..., PredictionRow],
    golds: Callable[..., dict[int, GoldRow]],
    write_run: Callable[..., RunFolder],
) -> RunFolder:
    """A run whose review names its photo, a broken one, and files that are not the dataset's."""
    names = ["r1.jpg", str(dataset.parent / "outside.jpg"), "../../outside.jpg", "link.jpg", "broken.jpg", 5]
    return write_run(
        [predict(1, 1, {1: 0.9, 2: 0.8})],
        golds({1: 1}),
        spec={"config": {}, "dataset": {"products": load_dataset(dataset).digest}},
        reviews={1: {"body": "Red.", "images": names}},
    )


def test_photos_of_review_and_products(run: RunFolder, dataset: Path) -> None:
    html = render(run, dataset=dataset)
    page = ReportPage(html)
    card = page.cards[0]
    pictures = page.data["photos-0"]
    assert len(pictures) == 2, "no file from outside the dataset's folders"
    assert card["photos"] == [0]
    assert {one["id"]: one["photo"] for one in card["products"]} == {"1": 1, "2": None}
    for picture, colour in zip(pictures, ((0, 0, 255), (255, 0, 0)), strict=True):
        opened = Image.open(io.BytesIO(base64.b64decode(picture)))
        assert (opened.format, opened.size) == ("WEBP", (SIDE, SIDE // 2))
        at = opened.convert("RGB").getpixel((5, 5))
        assert isinstance(at, tuple)
        assert max(abs(x - y) for x, y in zip(at, colour, strict=True)) < 16
    assert "2 photos; 1 cannot be read." in page.text


def test_without_a_dataset_there_are_none(run: RunFolder) -> None:
    page = ReportPage(render(run))
    assert "No photos: they are shown when the report is written with --dataset." in page.text
    assert page.cards[0]["photos"] == []
    assert "photos-0" not in page.data


def test_another_dataset_is_refused(run: RunFolder, dataset: Path) -> None:
    products = json.loads((dataset / "products.json").read_text())
    (dataset / "products.json").write_text(json.dumps(products[:1]))
    with pytest.raises(AmeliError, match=r"is not the dataset of .*: its products are others"):
        render(run, dataset=dataset)


def test_a_thumbnail_has_no_metadata(tmp_path: Path) -> None:
    path = _photo(tmp_path / "photo.jpg", "green")
    assert SECRET in path.read_bytes()
    assert SECRET not in thumbnail(path, SIDE, QUALITY)


@pytest.mark.parametrize(("most", "most_bytes"), [(1, 1 << 20), (10, 1)])
def test_photos_beyond_the_bounds_are_left_out(dataset: Path, most: int, most_bytes: int) -> None:
    photos = Photos(load_dataset(dataset), most, most_bytes)
    assert photos.review(["r1.jpg"]) == (0,)
    assert photos.product(1) is None
    assert photos.review(["r1.jpg"]) == (0,), "each file is read once"
    assert str(photos) == "1 photos; 1 left out to keep the file small."
