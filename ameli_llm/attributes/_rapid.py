"""Reads text with rapidocr and the models of its wheel, several times as fast as by its own settings."""

from __future__ import annotations

import copy
import threading
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ameli_llm.attributes._readers import TextBox, text_box
from ameli_llm.errors import MissingDependencyError, MissingPackageError, first_line
from ameli_llm.machine import threads

SIDE = 736
"""Pixels of the short side that rapidocr enlarges every smaller photo to before it looks for text."""


class RapidReader:
    """Works offline. The models are loaded by the first image; as many are read at once as there are threads.

    ``enlarge`` is how many times at most a photo is enlarged, up to ``SIDE``, before text is looked for: by
    far the most of the time goes into that. From ``SIDE`` on the texts are those of rapidocr's own settings.
    """

    def __init__(self, enlarge: float) -> None:
        try:
            self.identity = f"rapidocr {metadata.version('rapidocr')} enlarge {enlarge}"
        except metadata.PackageNotFoundError as error:
            raise MissingPackageError("rapidocr", "ocr") from error
        self._enlarge = enlarge
        self._engine: Any = None
        self._loading = threading.Lock()
        self._turns = threading.BoundedSemaphore(threads())

    def read(self, image: Image.Image) -> list[TextBox]:
        """Boxes are those of the upright text; confidence is the recogniser's mean over characters."""
        with self._loading:
            if self._engine is None:
                self._engine = _open_engine(self._enlarge)
        with self._turns:
            result = self._engine(np.asarray(image)[:, :, ::-1])  # BGR, as OpenCV has it
        if result.txts is None or result.boxes is None:
            return []
        return [
            text_box(text, score, points)
            for text, score, points in zip(result.txts, result.scores, result.boxes, strict=True)
        ]


class _Detector:
    """A detector of rapidocr that looks at each picture in a size of its own. Threads may share it."""

    def __init__(self, detector: Any, enlarge: float) -> None:
        self._detector = detector
        self._enlarge = enlarge

    def __call__(self, picture: npt.NDArray[np.uint8]) -> Any:
        detector = copy.copy(self._detector)
        detector.limit_side_len = min(SIDE, round(self._enlarge * min(picture.shape[:2])))
        return detector(picture)


def _open_engine(enlarge: float) -> Any:
    """rapidocr, a thread for each run of a model: images side by side gain more than threads in one."""
    try:
        from omegaconf import OmegaConf
        from rapidocr import RapidOCR
        from rapidocr.ch_ppocr_det import TextDetector
    except ImportError as error:
        raise MissingPackageError("rapidocr", "ocr") from error
    one_thread = {"EngineConfig.onnxruntime.intra_op_num_threads": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine: Any = RapidOCR(params={"Global.log_level": "critical", **one_thread})
        session = open_session(_model(engine.cfg.Det, engine.cfg.Global.model_root_dir))
        settings: Any = OmegaConf.create(
            {**engine.cfg.Det, "session": session}, flags={"allow_objects": True}
        )
        engine.text_det = _Detector(TextDetector(settings), enlarge)
    return engine


def _model(settings: Any, folder: Path) -> Path:
    """The file of the model that rapidocr takes for a step of these settings."""
    from rapidocr.inference_engine.base import FileInfo
    from rapidocr.inference_engine.onnxruntime import OrtInferSession

    wanted = ("engine_type", "ocr_version", "task_type", "lang_type", "model_type")
    address = OrtInferSession.get_model_url(FileInfo(*(settings[name] for name in wanted)))["model_dir"]
    return folder / Path(address).name


def open_session(path: Path) -> Any:
    """The model in ``path`` without denormals. Raises MissingDependencyError."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError("onnxruntime", "ocr") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the memory of the largest photo for good
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            without_denormals(path), options, providers=["CPUExecutionProvider"]
        )
    except (MissingDependencyError, MemoryError):
        raise
    except Exception as error:  # onnx and onnxruntime raise types of their own
        raise MissingDependencyError(
            f"rapidocr's model {path.name} cannot be used: {first_line(error)}",
            hint="Install rapidocr again.",
        ) from error


def without_denormals(path: Path) -> bytes:
    """The ONNX model in ``path`` with 0 for weights too small for a normal float32 (below 1.2e-38).

    A processor takes some hundred cycles for a product with one, and detection has many: with 0 it gives the
    same bits in less than half of the time. Raises MissingPackageError.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingPackageError("onnx", "ocr") from error
    model = onnx.load(str(path))
    smallest = np.finfo(np.float32).smallest_normal
    for weights in model.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT:
            values = numpy_helper.to_array(weights)
            normal = np.where(np.abs(values) < smallest, np.float32(0), values)
            weights.CopyFrom(numpy_helper.from_array(normal, weights.name))
    content: bytes = model.SerializeToString()
    return content
