from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ameli_llm.dataset.images import ImageProblem
from ameli_llm.errors import AmeliError, UnknownNameError
from retrieval import encoders
from retrieval.encoders.descriptor import Descriptor
from retrieval.encoders.encoder import ImageEncoder, TextEncoder, normalised, weights_revision


def sketch(colour: str, box: tuple[int, int, int, int] = (12, 10, 52, 56)) -> Image.Image:
    image = Image.new("RGB", (64, 64), "white")
    image.paste(colour, box)
    return image


def cosine(a: Image.Image, b: Image.Image) -> float:
    descriptor = Descriptor()
    return float(descriptor.encode_picture(a) @ descriptor.encode_picture(b))


class TestRegistry:
    def test_names(self) -> None:
        assert encoders.ENCODERS.names() == [
            "clip",
            "descriptor",
            "efficientnet",
            "resnet",
            "sbert",
            "sbert_bfloat16",
        ]

    def test_an_unknown_name_lists_the_others(self) -> None:
        message = r"Available: clip, .*, resnet, sbert, sbert_bfloat16\. Did you mean 'sbert'\?"
        with pytest.raises(UnknownNameError, match=message):
            encoders.text_encoder("bert")

    def test_an_image_encoder_encodes_no_text(self) -> None:
        with pytest.raises(AmeliError, match="'descriptor' encodes images, not texts"):
            encoders.text_encoder("descriptor")

    def test_a_text_encoder_encodes_no_images(self) -> None:
        with pytest.raises(AmeliError, match="'sbert' encodes texts, not images"):
            encoders.image_encoder("sbert")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [([[3, 4]], [[0.6, 0.8]]), ([[0, 0]], [[0, 0]]), ([[2, 0], [0, 5]], [[1, 0], [0, 1]])],
)
def test_normalised(rows: list[list[float]], expected: list[list[float]]) -> None:
    assert normalised(np.array(rows)) == pytest.approx(np.array(expected))


class TestDescriptor:
    def test_equal_images_have_cosine_one(self) -> None:
        assert cosine(sketch("red"), sketch("red")) == pytest.approx(1)

    def test_colour_decides(self) -> None:
        assert cosine(sketch("red"), sketch("darkred")) > cosine(sketch("red"), sketch("blue")) + 0.2

    def test_cosines_are_shares(self) -> None:
        images = [sketch(colour) for colour in ("red", "blue", "black", "white", "gray")]
        found = [cosine(a, b) for a in images for b in images]
        assert min(found) >= 0
        assert max(found) <= 1 + 1e-6

    @pytest.mark.parametrize("light", [0.8, 1.1])
    def test_light_changes_less_than_colour(self, light: float) -> None:
        lit = ImageEnhance.Brightness(sketch("#b03030")).enhance(light)
        assert cosine(sketch("#b03030"), lit) > cosine(sketch("#b03030"), sketch("#3030b0")) + 0.2

    def test_place_and_background_do_not_count(self) -> None:
        moved = sketch("red", (0, 0, 40, 46))
        on_gray = sketch("red")
        on_gray.paste(Image.new("RGB", (64, 64), "#e0e0e0"), mask=Image.eval(sketch("red").split()[1], bool))
        assert cosine(sketch("red"), moved) > 0.9
        assert cosine(sketch("red"), on_gray) > 0.9

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2000, 3)])
    def test_any_size_is_described(self, size: tuple[int, int]) -> None:
        vector = Descriptor().encode_picture(Image.new("RGB", size, "red"))
        assert vector.shape == (Descriptor().dimension,)
        assert np.linalg.norm(vector) == pytest.approx(1)

    def test_bad_files_have_a_reason_and_the_others_their_vector(self, tmp_path: Path) -> None:
        sketch("red").save(tmp_path / "good.png")
        content = (tmp_path / "good.png").read_bytes()
        (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
        (tmp_path / "empty.png").write_bytes(b"")
        (tmp_path / "text.png").write_text("hello")
        names = ("cut", "empty", "good", "gone", "text")
        found = Descriptor().encode_images([tmp_path / f"{name}.png" for name in names])
        reasons = [one.reason if isinstance(one, ImageProblem) else "" for one in found]
        assert reasons == ["truncated", "empty", "", "missing", "not_an_image"]


class TestSBERT:
    def test_order_and_length(self) -> None:
        encoder = encoders.text_encoder("sbert")
        texts = ["a red blender", "x", "wireless headphones with very long battery life", ""]
        together = encoder.encode(texts)
        alone = np.concatenate([encoder.encode([text]) for text in texts])
        assert together.shape == (4, encoder.dimension)
        assert together == pytest.approx(alone, abs=1e-5)
        assert np.linalg.norm(together, axis=1) == pytest.approx(1)

    def test_no_texts(self) -> None:
        assert encoders.text_encoder("sbert").encode([]).shape == (0, 384)

    def test_hostile_texts(self) -> None:
        texts = ["\x00", "\U0001f600" * 50, "مرحبا بالعالم", "word " * 20_000]
        assert np.isfinite(encoders.text_encoder("sbert").encode(texts)).all()

    def test_the_packaged_model_has_a_name_and_a_revision(self) -> None:
        encoder = encoders.text_encoder("sbert")
        assert (encoder.name, encoder.model) == ("sbert", "all-MiniLM-L6-v2")
        assert re.fullmatch(r"[0-9a-f]{16}-onnx", encoder.revision)
        assert encoders.full_name("sbert", "") == "all-MiniLM-L6-v2"

    def test_a_folder_without_a_model(self, tmp_path: Path) -> None:
        with pytest.raises(AmeliError, match="Cannot load the text model"):
            encoders.text_encoder("sbert", str(tmp_path))


def test_revision_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"1")
    first = weights_revision(tmp_path)
    (tmp_path / "README.md").write_text("notes")
    assert weights_revision(tmp_path) == first
    (tmp_path / "model.safetensors").write_bytes(b"2")
    assert weights_revision(tmp_path) != first


def test_encoders_fit_their_interface() -> None:
    assert isinstance(encoders.text_encoder("sbert"), TextEncoder)
    assert isinstance(encoders.image_encoder("descriptor"), ImageEncoder)
