"""Pictures drawn here, read by the real rapidocr."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from ameli_llm.attributes._rapid import RapidReader
from ameli_llm.attributes._readers import ImageTexts, Reader, TextBox
from ameli_llm.attributes.extractor import Extraction, ExtractionTask
from ameli_llm.attributes.ocr import OcrExtractor, create
from ameli_llm.checksums import checksum_of
from ameli_llm.errors import MissingDependencyError
from ameli_llm.store import TextStore
from ameli_llm.types import Review

VOCABULARY = {"Brand": ("Acme", "Bosch"), "Model Number": ("HDX-5500", "HDX-7700"), "Color": ("Red",)}

pytest.importorskip("rapidocr", reason="rapidocr is not installed (extra ocr)")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return RapidReader(2.0)


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., str]:
    def drawn(name: str, *lines: str) -> str:
        image = Image.new("RGB", (400, 60 + 80 * len(lines)), "white")
        pen = ImageDraw.Draw(image)
        for row, line in enumerate(lines):
            pen.text((40, 30 + 80 * row), line, fill="black", font=ImageFont.load_default(48))
        image.save(tmp_path / name)
        return name

    return drawn


def extract(texts: ImageTexts, folder: Path, *images: str) -> Extraction:
    def find(name: str) -> Path | None:
        return folder / name

    task = ExtractionTask(Review(1, images=images), VOCABULARY)
    (found,) = OcrExtractor(find, texts).extract([task])
    return found


def test_printed_brand_and_model_with_box_and_confidence(
    draw: Callable[..., str], reader: Reader, tmp_path: Path
) -> None:
    found = extract(ImageTexts(lambda: reader, None), tmp_path, draw("a.png", "ACME", "HDX-5500"))
    assert [(v.key, v.value, v.source) for v in found.values] == [
        ("Brand", "Acme", "ocr"),
        ("Model Number", "HDX-5500", "ocr"),
    ]
    evidence = found.values[0].evidence
    assert (evidence.field, evidence.image, evidence.text) == ("image", "a.png", "ACME")
    assert evidence.confidence is not None
    assert evidence.confidence > 0.5
    left, top, right, bottom = evidence.box or (0, 0, 0, 0)
    assert 20 < left < 60 < right < 300
    assert 20 < top < bottom < 110


def test_the_library_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    RapidReader(2.0).read(Image.new("RGB", (40, 40), "white"))
    assert capfd.readouterr() == ("", "")


def test_bad_images_are_counted_by_reason(draw: Callable[..., str], reader: Reader, tmp_path: Path) -> None:
    draw("good.png", "ACME")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("hello")
    content = (tmp_path / "good.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    texts = ImageTexts(lambda: reader, None)
    found = extract(texts, tmp_path, "none.png", "empty.png", "text.png", "half.png", "good.png")
    assert [v.value for v in found.values] == ["Acme"]
    assert found.dropped == {
        "image_empty": 1,
        "image_missing": 1,
        "image_not_an_image": 1,
        "image_truncated": 1,
    }


class CountingReader:
    """Answers with fixed boxes and counts its calls."""

    def __init__(self, *boxes: TextBox) -> None:
        self.identity = "counting"
        self.boxes = list(boxes)
        self.calls = 0

    def read(self, image: Image.Image) -> list[TextBox]:
        self.calls += 1
        return self.boxes


BOX = (1.0, 2.0, 3.0, 4.0)


def test_an_image_is_read_once_by_content(draw: Callable[..., str], tmp_path: Path) -> None:
    draw("a.png", "x")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    first = CountingReader(TextBox("Acme", 0.9, BOX))
    found = extract(ImageTexts(lambda: first, tmp_path / "cache"), tmp_path, "a.png", "b.png")
    assert first.calls == 1
    second = CountingReader()
    again = extract(ImageTexts(lambda: second, tmp_path / "cache"), tmp_path, "a.png", "b.png")
    assert second.calls == 0
    assert again == found
    assert found.values[0].evidence.box == BOX


def test_weak_and_short_strings_do_not_count(draw: Callable[..., str], tmp_path: Path) -> None:
    reader = CountingReader(TextBox("Acme", 0.5, BOX), TextBox("B", 0.9, BOX), TextBox("Bosch", 0.51, BOX))
    found = extract(ImageTexts(lambda: reader, None), tmp_path, draw("a.png", "x"))
    assert [v.value for v in found.values] == ["Bosch"]
    assert found.dropped == {"low_confidence": 1}


def test_the_surest_reading_is_the_evidence(draw: Callable[..., str], tmp_path: Path) -> None:
    reader = CountingReader(TextBox("ACME", 0.6, BOX), TextBox("Acme", 0.9, BOX), TextBox("acme", 0.7, BOX))
    (value,) = extract(ImageTexts(lambda: reader, None), tmp_path, draw("a.png", "x")).values
    assert value.evidence.text == "Acme"


def test_a_failing_library_costs_the_image_only(draw: Callable[..., str], tmp_path: Path) -> None:
    class Failing(CountingReader):
        def read(self, image: Image.Image) -> list[TextBox]:
            raise RuntimeError("no")

    found = extract(ImageTexts(Failing, None), tmp_path, draw("a.png", "x"))
    assert found == Extraction((), {"ocr_failed": 1})


def test_threads_share_one_reader(draw: Callable[..., str], tmp_path: Path) -> None:
    made: list[CountingReader] = []

    def load() -> CountingReader:
        made.append(CountingReader(TextBox("Acme", 0.9, BOX)))
        return made[-1]

    names = [draw(f"{n}.png", str(n)) for n in range(8)]
    texts = ImageTexts(load, tmp_path / "cache")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda name: extract(texts, tmp_path, name), names))
    assert len(made) == 1
    assert all(found.values for found in results)


def test_images_are_read_side_by_side(
    draw: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    two = threading.Barrier(2)

    class Meeting(CountingReader):
        def read(self, image: Image.Image) -> list[TextBox]:
            two.wait(timeout=60)
            return super().read(image)

    reader = Meeting(TextBox("Acme", 0.9, BOX))
    found = extract(ImageTexts(lambda: reader, None), tmp_path, draw("a.png", "a"), draw("b.png", "b"))
    assert found.dropped == {}
    assert found.values[0].evidence.image == "a.png"


def test_each_review_gets_what_its_own_images_say(
    draw: Callable[..., str], reader: Reader, tmp_path: Path
) -> None:
    images = {1: (draw("a.png", "ACME"),), 2: (), 3: (draw("b.png", "BOSCH"), "a.png"), 4: ("none.png",)}
    tasks = [ExtractionTask(Review(id_, images=names), VOCABULARY) for id_, names in images.items()]

    def find(name: str) -> Path | None:
        return tmp_path / name if (tmp_path / name).exists() else None

    found = OcrExtractor(find, ImageTexts(lambda: reader, None)).extract(tasks)
    assert [{value.value for value in one.values} for one in found] == [
        {"Acme"},
        set(),
        {"Acme", "Bosch"},
        set(),
    ]
    assert [one.dropped for one in found] == [{}, {}, {}, {"image_missing": 1}]


@pytest.mark.parametrize("vocabulary", [{}, {"Brand": ()}, {"Notes": ("A",)}])
def test_images_are_not_opened_for_candidates_without_a_readable_value(
    vocabulary: dict[str, tuple[str, ...]],
) -> None:
    asked: list[str] = []
    extractor = create(asked.append)  # type: ignore[arg-type]
    assert extractor.extract([ExtractionTask(Review(1, images=("a.png",)), vocabulary)]) == [Extraction()]
    assert asked == []


def test_readings_of_other_settings_are_not_taken(draw: Callable[..., str], tmp_path: Path) -> None:
    name = draw("a.png", "x")
    readers = [CountingReader(TextBox("Acme", 0.9, BOX)) for _ in range(3)]
    readers[1].identity = "another"
    for reader in readers:
        extract(ImageTexts(lambda reader=reader: reader, tmp_path), tmp_path, name)  # type: ignore[misc]
    assert [reader.calls for reader in readers] == [1, 1, 0]


def test_an_unknown_image_is_missing() -> None:
    (found,) = create(lambda name: None).extract([ExtractionTask(Review(1, images=("a.png",)), VOCABULARY)])
    assert found.dropped == {"image_missing": 1}


def test_easyocr_without_weights_says_what_is_missing(draw: Callable[..., str], tmp_path: Path) -> None:
    extractor = create(lambda name: tmp_path / name, ocr_engine="easyocr", ocr_model=str(tmp_path))
    task = ExtractionTask(Review(1, images=(draw("a.png", "x"),)), VOCABULARY)
    with pytest.raises(MissingDependencyError) as caught:
        extractor.extract([task])
    assert str(caught.value) == (
        f"easyocr needs the weights craft_mlt_25k.pth and english_g2.pth in {tmp_path}. "
        "Put them there and name the folder as ocr_model, or take ocr_engine: rapidocr."
    )


def damage_the_header(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)


def damage_the_pages(path: Path) -> None:
    TextStore(path).close()
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 8192)


def take_the_place(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "calls", "says"),
    [
        (damage_the_header, 1, "is damaged (file is not a database): moved to ocr.sqlite.damaged-1."),
        (
            damage_the_pages,
            1,
            "is damaged (database disk image is malformed): moved to ocr.sqlite.damaged-1.",
        ),
        (take_the_place, 2, "cannot be used (unable to open database file): going on without it."),
    ],
)
def test_a_cache_that_cannot_be_used_costs_readings_and_not_the_run(
    draw: Callable[..., str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
    calls: int,
    says: str,
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    spoil(cache / "ocr.sqlite")
    name = draw("a.png", "x")
    reader = CountingReader(TextBox("Acme", 0.9, BOX))
    texts = ImageTexts(lambda: reader, cache)
    assert [extract(texts, tmp_path, name).values[0].value for _ in range(2)] == ["Acme"] * 2
    assert reader.calls == calls
    assert [record.getMessage() for record in caplog.records] == [f"Cache {cache / 'ocr.sqlite'} {says}"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from ameli_llm.attributes._readers import ImageTexts, TextBox
from tests.attributes.test_ocr_extractor import BOX, CountingReader
texts = ImageTexts(lambda: CountingReader(TextBox("Acme" * 500, 0.9, BOX)), Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
print([len(reading.boxes) for reading in texts.read(map(Path, sys.argv[2:])).values()])
"""


def test_a_full_disk_costs_readings_and_not_the_run(draw: Callable[..., str], tmp_path: Path) -> None:
    images = [str(tmp_path / draw(f"{n}.png", str(n))) for n in range(8)]
    words = [sys.executable, "-c", FULL_DISK, str(tmp_path / "cache"), *images]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout) == (0, f"{[1] * 8}\n"), done.stderr
    assert done.stderr.count("going on without it") == 1


@pytest.mark.parametrize(
    "content", ["[{", "[{}]", '[{"text": "x", "confidence": "sure", "box": [1, 2, 3, 4]}]']
)
def test_a_damaged_entry_is_read_again(
    draw: Callable[..., str], tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    name = draw("a.png", "x")
    reader = CountingReader(TextBox("Acme", 0.9, BOX))
    texts = ImageTexts(lambda: reader, tmp_path)
    extract(texts, tmp_path, name)
    with closing(sqlite3.connect(tmp_path / "ocr.sqlite")) as connection, connection:
        ((key,),) = connection.execute("SELECT key FROM texts")
        row = (content, checksum_of(key, content))
        connection.execute("UPDATE texts SET value = ?, checksum = ?", row)
    assert extract(texts, tmp_path, name).values
    assert reader.calls == 2
    assert "not readable" in caplog.text
