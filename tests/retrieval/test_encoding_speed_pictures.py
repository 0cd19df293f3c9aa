"""Pictures for several encoders: decoded once, large JPEGs at a fraction of their size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ameli_llm.dataset.images import ImageProblem, open_image
from retrieval import encoders
from retrieval.encoders import _pictures
from retrieval.encoders._pictures import SHORTER, Encoded, encode_together, open_picture
from retrieval.encoders.efficientnet import SIDE
from retrieval.encoders.encoder import ImageEncoder, Vectors
from tests.shared_setup import twin_of


@pytest.fixture(scope="module")
def both() -> list[ImageEncoder]:
    return [encoders.image_encoder(name) for name in ("descriptor", "efficientnet")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    twin = twin_of(tmp_path_factory, products=24, reviews=40, seed=1)
    return sorted((twin / "product_images").iterdir())[::20][:3]


def mosaic(photos: Sequence[Path], path: Path, side: int) -> Path:
    """Photos beside each other, so that the picture has fine detail at its full size."""
    tile = side // 4
    picture = Image.new("RGB", (side, side))
    for at in range(16):
        with Image.open(photos[at % len(photos)]) as photo:
            picture.paste(photo.convert("RGB").resize((tile, tile)), (at % 4 * tile, at // 4 * tile))
    picture.save(path, quality=90)
    return path


def vectors(found: Encoded) -> Vectors:
    return np.stack([one for one in found if isinstance(one, np.ndarray)])


def counting(opened: list[Path]) -> Callable[[Path, int], Image.Image]:
    """Opens pictures and keeps what it was asked for."""

    def count(path: Path, shorter: int) -> Image.Image:
        opened.append(path)
        return open_image(path, shorter)

    return count


class TestDecoding:
    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((1039, 1500), (1039, 1500)),  # half of it would be below 520
            ((1040, 1500), (520, 750)),
            ((2079, 3001), (1040, 1501)),
            ((2080, 3000), (520, 750)),
            ((4000, 600), (4000, 600)),
            ((4200, 4160), (525, 520)),
            ((300, 200), (300, 200)),
        ],
    )
    def test_a_large_jpeg(self, size: tuple[int, int], expected: tuple[int, int], tmp_path: Path) -> None:
        Image.new("RGB", size, "red").save(tmp_path / "p.jpg")
        assert open_picture(tmp_path / "p.jpg").size == expected
        assert open_image(tmp_path / "p.jpg").size == size

    @pytest.mark.parametrize("name", ["p.png", "p.webp"])
    def test_other_formats_are_decoded_in_full(self, name: str, tmp_path: Path) -> None:
        Image.new("RGB", (1100, 1200), "red").save(tmp_path / name)
        assert open_picture(tmp_path / name).size == (1100, 1200)

    def test_it_stands_upright(self, tmp_path: Path) -> None:
        turned = Image.Exif()
        turned[0x0112] = 6
        Image.new("RGB", (2080, 1040), "red").save(tmp_path / "p.jpg", exif=turned)
        assert open_picture(tmp_path / "p.jpg").size == (520, 1040)

    def test_a_cut_file_is_a_reason(self, tmp_path: Path) -> None:
        path = tmp_path / "p.jpg"
        Image.effect_noise((1200, 1200), 90).convert("RGB").save(path)
        path.write_bytes(path.read_bytes()[:-20_000])
        with pytest.raises(ImageProblem, match="truncated"):
            open_picture(path)

    def test_it_keeps_more_than_encoders_take(self) -> None:
        assert SHORTER >= 2 * SIDE

    def test_a_small_photo_is_the_same_pixels(self, photos: list[Path]) -> None:
        for photo in photos:
            np.testing.assert_array_equal(np.asarray(open_picture(photo)), np.asarray(open_image(photo)))

    @pytest.mark.parametrize("side", [1200, 2400])
    def test_vectors_of_a_large_photo_hardly_change(
        self, side: int, both: list[ImageEncoder], photos: list[Path], tmp_path: Path
    ) -> None:
        large = mosaic(photos, tmp_path / "large.jpg", side)
        full = tmp_path / "full.png"
        open_image(large).save(full)
        for encoder in both:
            draft, whole = vectors(encoder.encode_images([large, full]))
            assert 0.998 < draft @ whole < 1 - 1e-7, encoder.name


class TestTogether:
    def test_vectors_are_those_of_each_alone(
        self, both: list[ImageEncoder], photos: list[Path], tmp_path: Path
    ) -> None:
        (tmp_path / "text.jpg").write_text("no image")
        paths = [photos[0], tmp_path / "text.jpg", photos[1], tmp_path / "gone.png"]
        found = encode_together(both, paths)
        assert list(found) == ["descriptor", "efficientnet"]
        for encoder in both:
            np.testing.assert_array_equal(vectors(found[encoder.name]), vectors(encoder.encode_images(paths)))
            problems = [getattr(one, "reason", "") for one in found[encoder.name]]
            assert problems == ["", "not_an_image", "", "missing"]

    def test_each_picture_is_decoded_once(
        self, both: list[ImageEncoder], photos: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[Path] = []
        monkeypatch.setattr(_pictures, "open_image", counting(opened))
        encode_together(both, photos)
        assert sorted(opened) == photos

    def test_an_encoder_of_its_own_batches(
        self, both: list[ImageEncoder], photos: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Batches:
            """As CLIP's and ResNet's: it takes files."""

            name, model, revision, dimension = "batches", "", "1", 2

            def encode_images(self, paths: Sequence[Path]) -> Encoded:
                return [np.array([1, 0], dtype=np.float32)] * len(paths)

        opened: list[Path] = []
        monkeypatch.setattr(_pictures, "open_image", counting(opened))
        assert vectors(encode_together([Batches()], photos)["batches"]).shape == (3, 2)
        assert opened == []
        found = encode_together([Batches(), both[0]], photos)
        assert vectors(found["batches"]).shape == (3, 2)
        assert vectors(found["descriptor"]).shape == (3, both[0].dimension)

    def test_nothing(self, both: list[ImageEncoder]) -> None:
        assert encode_together(both, []) == {"descriptor": [], "efficientnet": []}
        assert encode_together([], [Path("a.jpg")]) == {}
