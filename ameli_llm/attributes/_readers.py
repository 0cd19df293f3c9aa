"""Text recognition: rapidocr (models in its wheel) or easyocr (a local model folder), with a cache.

Recognised text is cached in SQLite by the content of the image, so a picture is read once.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from ameli_llm.dataset.images import ImageProblem, open_image, probe_image
from ameli_llm.errors import AmeliError, MissingDependencyError, MissingPackageError, first_line
from ameli_llm.interruption import safe_point
from ameli_llm.machine import threads
from ameli_llm.parallel import in_parallel
from ameli_llm.store import TextStore

logger = logging.getLogger(__name__)

EngineName = Literal["rapidocr", "easyocr"]
_EASYOCR_WEIGHTS = ("craft_mlt_25k.pth", "english_g2.pth")


@dataclass(frozen=True, slots=True)
class TextBox:
    """A recognised string, its confidence (0 to 1) and its box (left, top, right, bottom) in pixels."""

    text: str
    confidence: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Reading:
    """What an image says, or why that is not known: "image_truncated" and so on, or "ocr_failed"."""

    boxes: tuple[TextBox, ...] = ()
    problem: str = ""


class Reader(Protocol):
    """Recognises text in an RGB image; ``identity`` names everything that its result depends on.

    Threads may share it.
    """

    @property
    def identity(self) -> str:
        """Library, version and settings."""

    def read(self, image: Image.Image) -> list[TextBox]:
        """The strings of the image in the library's order."""


def load_reader(engine: EngineName, model: str, rotations: Sequence[int], enlarge: float) -> Reader:
    """The reader of an OCR library. Raises MissingDependencyError."""
    if engine == "rapidocr":
        from ameli_llm.attributes._rapid import RapidReader

        return RapidReader(enlarge)
    return EasyReader(Path(model) if model else None, tuple(rotations))


class EasyReader:
    """easyocr from a folder that holds its weights, one image at a time; nothing is ever downloaded."""

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
        self._lock = threading.Lock()
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
        with self._lock:
            found = self._engine.readtext(np.asarray(image), rotation_info=self._rotations or None)
        return [text_box(text, score, points) for points, text, score in found]


class ImageTexts:
    """Texts of image files by content; the reader is made when it is first needed. Threads may share it.

    They are kept in ``ocr.sqlite`` of ``cache_dir``; a damaged or full file costs readings, never the run.
    """

    def __init__(self, load: Callable[[], Reader], cache_dir: Path | None) -> None:
        self._load = load
        self._reader: Reader | None = None
        self._lock = threading.Lock()
        self._store = TextStore(cache_dir / "ocr.sqlite") if cache_dir else None
        if self._store:
            weakref.finalize(self, self._store.close)

    def read(self, paths: Iterable[Path]) -> dict[Path, Reading]:
        """Each file's, those of one content read once and several at a time.

        Raises MissingDependencyError when the library cannot be used.
        """
        readings: dict[Path, Reading] = {}
        digests: dict[Path, str] = {}
        for path in paths:
            try:
                probe_image(path)
                with path.open("rb") as file:
                    digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
            except Exception as error:
                readings[path] = _problem(path, error)
        by_content = self._by_content({digest: path for path, digest in digests.items()})
        return readings | {path: by_content[digest] for path, digest in digests.items()}

    def _by_content(self, files: Mapping[str, Path]) -> dict[str, Reading]:
        """The readings by digest, from the store and of the other files anew."""
        if not files:
            return {}
        reader = self._opened()
        keys = {digest: f"{digest} {reader.identity}" for digest in files}
        stored = self._store.get(keys.values()) if self._store else {}
        held = {digest: _boxes(stored[key]) for digest, key in keys.items() if key in stored}
        found = {digest: Reading(boxes) for digest, boxes in held.items() if boxes is not None}

        def read(digest: str) -> tuple[str, Reading]:
            path = files[digest]
            try:
                reading = Reading(tuple(reader.read(open_image(path))))
            except Exception as error:
                return digest, _problem(path, error)
            if self._store:
                self._store.put({keys[digest]: _BOXES.dump_json(reading.boxes).decode()})
            return digest, reading

        for digest, reading in in_parallel(read, [one for one in files if one not in found], threads()):
            found[digest] = reading
            safe_point()
        return found

    def _opened(self) -> Reader:
        with self._lock:
            if self._reader is None:
                self._reader = self._load()
            return self._reader


_BOXES = TypeAdapter(tuple[TextBox, ...])


def _boxes(text: str) -> tuple[TextBox, ...] | None:
    """The boxes of an entry of the cache, None when it cannot be used."""
    try:
        return _BOXES.validate_json(text)
    except ValidationError:
        logger.warning("An entry of the OCR cache is not readable: its image is read again.")
        return None


def _problem(path: Path, error: Exception) -> Reading:
    """Why an image has no texts. Raises ``error`` when it is the library that cannot be used."""
    if isinstance(error, ImageProblem):
        return Reading(problem=f"image_{error.reason}")
    if isinstance(error, AmeliError):
        raise error
    logger.warning("OCR failed on image %s: %s", path.name, first_line(error))  # of many types
    return Reading(problem="ocr_failed")


def text_box(text: str, score: float, points: Any) -> TextBox:
    """A recognised string with the upright box around its four corners."""
    corners = np.asarray(points, dtype=float).reshape(-1, 2)
    left, top = corners.min(axis=0)
    right, bottom = corners.max(axis=0)
    return TextBox(str(text), float(score), (float(left), float(top), float(right), float(bottom)))
