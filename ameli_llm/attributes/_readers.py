"""Text recognition: rapidocr (models in its wheel) or easyocr (a local model folder), with a cache.

Recognised text is cached in SQLite by the content of the image, so a picture is read once.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from ameli_llm.dataset.images import open_image, probe_image
from ameli_llm.errors import MissingDependencyError, MissingPackageError
from ameli_llm.store import TextStore

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
            raise MissingPackageError("rapidocr", "ocr") from error
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
            raise MissingPackageError("easyocr", "ocr") from error
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
    """Texts of image files by content; one reader, loaded when first needed, used by one thread at a time.

    They are kept in ``ocr.sqlite`` of ``cache_dir``; a damaged or full file costs readings, never the run.
    """

    def __init__(self, load: Callable[[], Reader], cache_dir: Path | None) -> None:
        self._load = load
        self._reader: Reader | None = None
        self._lock = threading.Lock()
        self._store = TextStore(cache_dir / "ocr.sqlite") if cache_dir else None
        if self._store:
            weakref.finalize(self, self._store.close)

    def read(self, path: Path) -> list[TextBox]:
        """Raises ImageProblem for a bad image, MissingDependencyError when the library cannot be used."""
        probe_image(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._lock:
            if self._reader is None:
                self._reader = self._load()
            key = f"{digest} {self._reader.identity}"
            boxes = _load(self._store.get([key]).get(key)) if self._store else None
            if boxes is None:
                boxes = self._reader.read(open_image(path))
                if self._store:
                    self._store.put({key: _STORED.dump_json(boxes).decode()})
        return boxes


_STORED = TypeAdapter(list[TextBox])


def _load(text: str | None) -> list[TextBox] | None:
    """The boxes of an entry of the cache, None when there is none or it cannot be used."""
    try:
        return None if text is None else _STORED.validate_json(text)
    except ValidationError:
        logger.warning("An entry of the OCR cache is not readable: its image is read again.")
        return None


def _text_box(text: str, score: float, points: Any) -> TextBox:
    corners = np.asarray(points, dtype=float).reshape(-1, 2)
    left, top = corners.min(axis=0)
    right, bottom = corners.max(axis=0)
    return TextBox(str(text), float(score), (float(left), float(top), float(right), float(bottom)))
