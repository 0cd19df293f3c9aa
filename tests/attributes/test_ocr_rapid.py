"""The fast way of rapidocr against the library itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

pytest.importorskip("rapidocr", reason="rapidocr is not installed (extra ocr)")
onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra ocr)")

from ameli_llm.attributes._rapid import SIDE, RapidReader, open_session, without_denormals  # noqa: E402
from ameli_llm.attributes._readers import ImageTexts  # noqa: E402
from ameli_llm.errors import MissingDependencyError  # noqa: E402
from ameli_llm.machine import threads  # noqa: E402


def picture(width: int, height: int, line: str) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).text((10, 10), line, fill="black", font=ImageFont.load_default(20))
    return image


def test_enlarged_as_far_as_the_library_does_the_texts_are_the_very_same() -> None:
    from rapidocr import RapidOCR

    image = picture(120, 110, "HDX-5500")
    one_thread = {"EngineConfig.onnxruntime.intra_op_num_threads": 1}
    engine = RapidOCR(params={"Global.log_level": "critical", **one_thread})
    own = engine(np.asarray(image)[:, :, ::-1])
    assert own.txts
    found = RapidReader(SIDE).read(image)
    assert [(box.text, box.confidence) for box in found] == list(zip(own.txts, own.scores, strict=True))
    corners = np.asarray(own.boxes)
    assert [box.box for box in found] == [(*c.min(axis=0), *c.max(axis=0)) for c in corners]


@pytest.fixture(scope="module")
def reader() -> RapidReader:
    return RapidReader(2.0)


def test_a_small_photo_is_read_with_less_enlargement(reader: RapidReader) -> None:
    assert [box.text for box in reader.read(picture(120, 60, "HDX-5500"))] == ["HDX-5500"]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (20, 2000)])
def test_odd_sizes_hold_no_text(reader: RapidReader, size: tuple[int, int]) -> None:
    assert reader.read(Image.new("RGB", size, "white")) == []


def test_threads_do_not_mix_their_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    reader = RapidReader(2.0)
    pictures = [picture(120 + 40 * n, 60, f"HDX-55{n}0") for n in range(4)]
    paths = [tmp_path / f"{n}.png" for n in range(4)]
    for one, path in zip(pictures, paths, strict=True):
        one.save(path)
    found = ImageTexts(lambda: reader, None).read(paths)
    assert [list(found[path].boxes) for path in paths] == [reader.read(one) for one in pictures]
    assert [box.text for path in paths for box in found[path].boxes] == [f"HDX-55{n}0" for n in range(4)]


def test_only_weights_that_are_no_normal_numbers_become_zero(tmp_path: Path) -> None:
    values = np.array([1e-40, 1.0, -2e-39, 0.0, -1.2e-38, 3.5], dtype=np.float32)
    weights = onnx.numpy_helper.from_array(values, "w")
    counts = onnx.numpy_helper.from_array(np.array([0, 7], dtype=np.int64), "n")
    graph = onnx.helper.make_graph([], "g", [], [], [weights, counts])
    onnx.save(onnx.helper.make_model(graph), str(tmp_path / "a.onnx"))
    made = onnx.load_from_string(without_denormals(tmp_path / "a.onnx")).graph.initializer
    assert onnx.numpy_helper.to_array(made[0]).tolist() == values[[3, 1, 3, 3, 4, 5]].tolist()
    assert onnx.numpy_helper.to_array(made[1]).tolist() == [0, 7]


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "detection.onnx").write_bytes(b"\xff\xff")
    with pytest.raises(MissingDependencyError) as caught:
        open_session(tmp_path / "detection.onnx")
    assert caught.value.message.startswith("rapidocr's model detection.onnx cannot be used: ")
    assert caught.value.hint == "Install rapidocr again."


CACHED = """
import sys
from pathlib import Path
from ameli_llm.attributes._rapid import RapidReader
from ameli_llm.attributes._readers import ImageTexts
texts = ImageTexts(lambda: RapidReader(2.0), Path(sys.argv[1]))
(reading,) = texts.read([Path(sys.argv[2])]).values()
print([box.text for box in reading.boxes], "onnxruntime" in sys.modules)
"""


def test_the_models_are_not_loaded_for_photos_that_were_read_before(
    reader: RapidReader, tmp_path: Path
) -> None:
    picture(120, 60, "HDX-5500").save(tmp_path / "a.png")
    ImageTexts(lambda: reader, tmp_path / "cache").read([tmp_path / "a.png"])
    words = [sys.executable, "-c", CACHED, str(tmp_path / "cache"), str(tmp_path / "a.png")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, cwd=Path(__file__).parents[2])
    assert done.stdout == "['HDX-5500'] False\n", done.stderr


@pytest.mark.parametrize(("said", "meant"), [("3", 3), ("2,1", 2), ("", 0), ("0", 0), ("many", 0)])
def test_threads_are_those_that_were_asked_for_or_the_cores(
    monkeypatch: pytest.MonkeyPatch, said: str, meant: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads() == (meant or cores)
