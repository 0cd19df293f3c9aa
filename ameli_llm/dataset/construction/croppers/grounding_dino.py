"""Cropper "grounding_dino": the object that the words name, by Grounding DINO (Liu et al. 2023; section 3.2).

Thresholds and the choice of the one best box are those of the released scripts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL.Image import Image

from ameli_llm.dataset.construction.croppers.cropper import Box
from ameli_llm.errors import AmeliError, MissingPackageError, first_line

DEFAULT = "IDEA-Research/grounding-dino-base"
BOX_THRESHOLD = 0.3
TEXT_THRESHOLD = 0.25
LONGEST_PROMPT = 200
"""Characters of a prompt."""


class GroundingDINO:
    """A model of transformers, by the name of a hub's cache or a folder.

    ``threshold`` and ``text_threshold`` are the least scores of a box and of a word in it.
    """

    def __init__(
        self, model: str, threshold: float = BOX_THRESHOLD, text_threshold: float = TEXT_THRESHOLD
    ) -> None:
        self.name = f"grounding_dino:{model}"
        self._thresholds = threshold, text_threshold
        self._processor, self._model = _load(model)

    def box(self, image: Image, prompt: str) -> Box | None:
        """The box with the highest score, if one is above the thresholds."""
        import torch

        # The model was trained on lower case with a full stop after each thing that is asked for.
        words = f"{prompt.lower().strip(' .')[:LONGEST_PROMPT]}."
        inputs = self._processor(images=image, text=words, return_tensors="pt")
        with torch.inference_mode():
            outputs = self._model(**inputs)
        found = self._processor.post_process_grounded_object_detection(
            outputs,
            inputs["input_ids"],
            threshold=self._thresholds[0],
            text_threshold=self._thresholds[1],
            target_sizes=[(image.height, image.width)],
        )[0]
        if not len(found["scores"]):
            return None
        left, top, right, bottom = found["boxes"][int(found["scores"].argmax())].tolist()
        box = max(left, 0.0), max(top, 0.0), min(right, float(image.width)), min(bottom, float(image.height))
        return box if box[0] < box[2] and box[1] < box[3] else None


def create(model: str = "") -> GroundingDINO:
    """The cropper of a name or a folder; "" is the base model (Swin-B).

    Raises AmeliError when its weights are not on this machine: nothing is fetched.
    """
    return GroundingDINO(model or DEFAULT)


def _load(model: str) -> tuple[Any, Any]:
    try:
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor
    except ImportError as error:
        raise MissingPackageError("transformers", "retrieval") from error
    try:
        processor: Any = AutoProcessor.from_pretrained(model, local_files_only=True)  # type: ignore[no-untyped-call]
        network: Any = AutoModelForZeroShotObjectDetection.from_pretrained(
            model, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError) as error:
        where = Path(model)
        raise AmeliError(
            f"Cannot load the detector {str(where) if where.is_dir() else model!r}: {first_line(error)}",
            hint="Name a folder with model.safetensors: grounding_dino:FOLDER; or crop by edges.",
        ) from None
    return processor, network.eval()
