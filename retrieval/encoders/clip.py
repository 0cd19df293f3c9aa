"""Image encoder through open_clip: any architecture with a pretrained tag, or a local checkpoint folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ameli_llm.dataset.images import ImageProblem, open_image
from ameli_llm.errors import AmeliError, MissingPackageError, first_line
from retrieval.encoders.encoder import Vectors, normalised, weights_revision

LOCAL = "local-dir:"
BATCH = 32
PICKLED = (".pt", ".pth", ".bin", ".ckpt")
HINT = (
    "Name clip:NAME/TAG (clip:ViT-B-32/openai) in retrieval.image_encoders, or clip:local-dir:FOLDER with "
    "open_clip_config.json and open_clip_model.safetensors."
)


class CLIP:
    """The two towers of a CLIP model (paper, section 4.3)."""

    name = "clip"

    def __init__(self, model: str) -> None:
        self.model = model
        self._clip, self._preprocess, self._tokenizer = _load(model)
        local = model.removeprefix(LOCAL)
        self.revision = weights_revision(Path(local)) if model.startswith(LOCAL) else model
        visual: Any = self._clip.visual
        self.dimension = int(visual.output_dim)

    def encode_images(self, paths: Sequence[Path]) -> list[Vectors | ImageProblem]:
        """One vector or the reason why there is none per path; ``BATCH`` images are in memory at a time."""
        results: list[Vectors | ImageProblem] = []
        for start in range(0, len(paths), BATCH):
            results += self._encode_batch(paths[start : start + BATCH])
        return results

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """[n, dimension] of the text tower, L2-normalised; texts are cut at the model's context length."""
        import torch

        rows = [np.zeros((0, self.dimension), dtype=np.float32)]
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                tokens = self._tokenizer(list(texts[start : start + BATCH]))
                rows.append(self._clip.encode_text(tokens).float().numpy())
        return normalised(np.concatenate(rows))

    def _encode_batch(self, paths: Sequence[Path]) -> list[Vectors | ImageProblem]:
        import torch

        results: list[Vectors | ImageProblem | None] = []
        pixels = []
        for path in paths:
            try:
                pixels.append(self._preprocess(open_image(path)))
                results.append(None)
            except ImageProblem as problem:
                results.append(problem)
        vectors = iter(())
        if pixels:
            with torch.inference_mode():
                vectors = iter(normalised(self._clip.encode_image(torch.stack(pixels)).float().numpy()))
        return [next(vectors) if result is None else result for result in results]


def full_name(model: str) -> str:
    """``model`` itself: there is no default."""
    return model


def create(model: str = "") -> CLIP:
    """The encoder of ``model``: "ARCHITECTURE/TAG" or "local-dir:FOLDER". Raises AmeliError."""
    if not model:
        raise AmeliError("The image encoder 'clip' needs a model.", hint=HINT)
    return CLIP(model)


def _name_and_tag(model: str) -> tuple[str, str | None]:
    """What open_clip calls the model; never a name without weights, which it would fill with random ones."""
    if model.startswith(LOCAL):
        folder = Path(model.removeprefix(LOCAL))
        if not any(folder.glob("*.safetensors")):
            raise AmeliError(f"No CLIP checkpoint in {folder}: there is no .safetensors file.", hint=HINT)
        return model, None
    if model.startswith("hf-hub:"):
        return model, None
    name, _, tag = model.partition("/")
    if not tag:
        raise AmeliError(f"The CLIP model {model!r} has no pretrained tag.", hint=HINT)
    if Path(tag).suffix in PICKLED:
        raise AmeliError(f"The checkpoint {tag!r} may run code when it is read.", hint=HINT)
    return name, tag


def _load(model: str) -> tuple[Any, Any, Any]:
    try:
        import open_clip
    except ImportError as error:
        raise MissingPackageError("open_clip", "retrieval") from error
    name, tag = _name_and_tag(model)
    try:
        network, _, preprocess = open_clip.create_model_and_transforms(
            name, pretrained=tag, require_pretrained=True
        )
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # open_clip, torch and safetensors each raise their own types
        raise AmeliError(f"Cannot load the CLIP model {model!r}: {first_line(error)}", hint=HINT) from error
    network.eval()
    return network, preprocess, tokenizer
