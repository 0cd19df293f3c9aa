"""Review photos: what can be read and seen in them."""

from __future__ import annotations

import numpy as np
import pytest

from ameli_llm.dataset.synth.canvas import Fonts
from ameli_llm.dataset.synth.layout import Plan
from ameli_llm.dataset.synth.photos import product_image, review_photo
from ameli_llm.dataset.synth.products import COLOUR, generator
from ameli_llm.dataset.synth.reviews import Photo


def saturation(pixels: np.ndarray) -> float:
    return float((pixels.max(axis=2).astype(int) - pixels.min(axis=2)).mean())


def test_dim_photos_lose_their_colour(plan: Plan) -> None:
    item = next(i for i in plan.items if i.variant.value(COLOUR) == "Red")
    clear, dim = (
        np.asarray(review_photo(item, Photo(kind, False, False), generator(0, "t"), 0.2, Fonts())[0])
        for kind in ("clear", "dim")
    )
    assert saturation(dim) < saturation(clear) / 2


def test_the_box_holds_the_product(plan: Plan) -> None:
    for number, item in enumerate(plan.items[:20]):
        picture, (left, top, right, bottom) = review_photo(
            item, Photo("clear", True, False), generator(0, "box", number), 1.0, Fonts()
        )
        assert 0 <= left < right <= picture.width
        assert 0 <= top < bottom <= picture.height


def test_product_views_differ(plan: Plan) -> None:
    views = [product_image(plan.items[0], view, Fonts()).tobytes() for view in range(3)]
    assert len(set(views)) == 3


def test_ocr_reads_printed_model_numbers(plan: Plan) -> None:
    rapidocr = pytest.importorskip("rapidocr")
    engine = rapidocr.RapidOCR()
    read = 0
    for number, item in enumerate(plan.items[:4]):
        picture, _ = review_photo(item, Photo("label", True, True), generator(0, "ocr", number), 0.5, Fonts())
        texts = engine(np.asarray(picture)[:, :, ::-1]).txts or ()
        wanted = item.variant.model.replace("-", "")
        read += any(wanted in text.upper().replace("-", "").replace(" ", "") for text in texts)
    assert read >= 2
