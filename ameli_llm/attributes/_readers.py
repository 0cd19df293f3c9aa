"""Text recognition: rapidocr (models in its wheel) or easyocr (a local model folder), with a cache.

Recognised text is cached in SQLite by the content of the image, so a picture is read once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from ameli_llm.dataset.images import open_image, probe_image
from ameli_llm.errors import AmeliError, MissingDependencyError

logger = logging.getLogger(__name__)

EngineName = Literal["rapidocr", "easyocr"]
_RAPIDOCR = {
    "Global.log_level": "critical",
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,  # more threads spin: twice the CPU time, no gain
}
_EASYOCR_WEIGHTS = ("craft_mlt_25k.pth", "english_g2.pth")


@dataclass(frozen=True, slots=True)
class TextBox:
    """A recognised string, its confidence (0 to 1) and its box (left, top, right, bottom) in pixels."""

    text: str
    confidence: float
    box: tuple[float, float, float, float]


class Reader(Protocol):
    """Recognises text in an RGB image; ``identity`` names everything that its result depends on."""

    @property
    def identity(self) -> str:
        """Library, version and settings."""

    def read(self, image: Image.Image) -> list[TextBox]:
        """The strings of the image in the library's order."""


def load_reader(engine: EngineName, model: str, rotations: Sequence[int]) -> Reader:
    """The reader of an OCR library; loads its models. Raises MissingDependencyError."""
    if engine == "rapidocr":
        return RapidReader()
    return EasyReader(Path(model) if model else None, tuple(rotations))


class RapidReader:
    """rapidocr with the models of its wheel: works offline, 0.5 s an image on a CPU."""

    def __init__(self) -> None:
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise MissingDependencyError(
                "The OCR library rapidocr is not installed.", hint="Type: uv pip install 'ameli-llm[ocr]'"
            ) from error
        self.identity = f"rapidocr {metadata.version('rapidocr')}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._engine = RapidOCR(params=_RAPIDOCR)

    def read(self, image: Image.Image) -> list[TextBox]:
        """Boxes are those of the upright text; confidence is the recogniser's mean over characters."""
        result: Any = self._engine(np.asarray(image)[:, :, ::-1])  # BGR, as OpenCV has it
        if result.txts is None or result.boxes is None:
            return []
        return [
            _text_box(text, score, points)
            for text, score, points in zip(result.txts, result.scores, result.boxes, strict=True)
        ]


class EasyReader:
    """easyocr from a folder that holds its weights; nothing is ever downloaded."""

    def __init__(self, folder: Path | None, rotations: tuple[int, ...]) -> None:
        missing = [name for name in _EASYOCR_WEIGHTS if folder is None or not (folder / name).is_file()]
        if missing:
            raise MissingDependencyError(
                f"easyocr needs the weights {' and '.join(missing)} in {folder or 'a model folder'}.",
                hint="Put them there and name the folder as ocr_model, or take ocr_engine: rapidocr.",
            )
        try:
            import easyocr
        except ImportError as error:
            raise MissingDependencyError(
                "The OCR library easyocr is not installed.", hint="Type: uv pip install 'ameli-llm[ocr]'"
            ) from error
        self.identity = f"easyocr {metadata.version('easyocr')} en rotations {list(rotations)}"
        self._rotations = list(rotations)
        try:
            self._engine = easyocr.Reader(
                ["en"], gpu=False, model_storage_directory=str(folder), download_enabled=False, verbose=False
            )
        except Exception as error:  # damaged or foreign weight files raise many types
            raise MissingDependencyError(
                f"easyocr cannot use the weights in {folder}: {' '.join(str(error).split())}",
                hint="Put the original files there, or take ocr_engine: rapidocr.",
            ) from error

    def read(self, image: Image.Image) -> list[TextBox]:
        """Tries each rotation for each box and keeps the surest reading, as the official code does."""
        found = self._engine.readtext(np.asarray(image), rotation_info=self._rotations or None)
        return [_text_box(text, score, points) for points, text, score in found]


class ImageTexts:
    """Texts of image files by content; one reader, loaded when first needed, used by one thread at a time."""

    def __init__(self, load: Callable[[], Reader], cache_dir: Path | None) -> None:
        self._load = load
        self._reader: Reader | None = None
        self._lock = threading.Lock()
        self._cache = _Cache(cache_dir / "ocr.sqlite") if cache_dir else None

    def read(self, path: Path) -> list[TextBox]:
        """Raises ImageProblem for a bad image, MissingDependencyError when the library cannot be used."""
        probe_image(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._lock:
            if self._reader is None:
                self._reader = self._load()
            identity = self._reader.identity
            boxes = self._cache.get(digest, identity) if self._cache else None
            if boxes is None:
                boxes = self._reader.read(open_image(path))
                if self._cache:
                    self._cache.put(digest, identity, boxes)
        return boxes


class _Cache:
    """Recognised strings as JSON in SQLite, by image content and reader."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection, connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS readings"
                    " (image TEXT, reader TEXT, boxes TEXT NOT NULL, PRIMARY KEY (image, reader))"
                )
        except (OSError, sqlite3.Error) as error:
            raise AmeliError(
                f"Cannot use the OCR cache {path}: {error}.",
                hint="Delete the file or name another cache folder.",
            ) from error

    def get(self, image: str, reader: str) -> list[TextBox] | None:
        """None when the image was not read by this reader, or its entry cannot be used."""
        query = "SELECT boxes FROM readings WHERE image = ? AND reader = ?"
        try:
            with closing(self._connect()) as connection:
                row = connection.execute(query, (image, reader)).fetchone()
            return (
                [TextBox(e["text"], e["confidence"], tuple(e["box"])) for e in json.loads(row[0])]
                if row
                else None
            )
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            logger.warning("OCR cache %s: entry not readable (%s), image is read again", self._path, error)
            return None

    def put(self, image: str, reader: str, boxes: Sequence[TextBox]) -> None:
        """A full disk costs the entry, not the run."""
        content = json.dumps([asdict(box) for box in boxes], ensure_ascii=False)
        try:
            with closing(self._connect()) as connection, connection:
                connection.execute(
                    "INSERT OR REPLACE INTO readings VALUES (?, ?, ?)", (image, reader, content)
                )
        except sqlite3.Error as error:
            logger.warning("OCR cache %s: cannot be written (%s)", self._path, error)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30)


def _text_box(text: str, score: float, points: Any) -> TextBox:
    corners = np.asarray(points, dtype=float).reshape(-1, 2)
    left, top = corners.min(axis=0)
    right, bottom = corners.max(axis=0)
    return TextBox(str(text), float(score), (float(left), float(top), float(right), float(bottom)))
