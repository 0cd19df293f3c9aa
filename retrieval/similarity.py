"""What the construction of a dataset compares texts and images with: the encoders of retrieval, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ameli_llm import image_encoders
from ameli_llm.dataset.construction.settings import OFF, BuildSettings, Models
from ameli_llm.dataset.construction.similarity import Tools
from retrieval.chunker import find_chunker
from retrieval.cross_encoder import load_cross_encoder
from retrieval.encoders import image_encoder, text_encoder


class CrossEncoderScores:
    """A cross-encoder with one output; its scores are logistic, so that they lie between 0 and 1."""

    def __init__(self, model: str) -> None:
        self.name = model
        self._model = load_cross_encoder(model)

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """A score a pair, in their order."""
        import torch

        if not pairs:
            return []
        found = self._model.predict(list(pairs), activation_fn=torch.nn.Sigmoid(), show_progress_bar=False)
        return [float(score) for score in np.asarray(found, dtype=np.float64)]


def build_tools(settings: BuildSettings, *, labelled: bool = False) -> Tools:
    """What a build with these settings needs, no more; ``labelled``: with human labels for its filter.

    Raises AmeliError for an unknown name, or when a package or weights are missing.
    """
    filtered = labelled or bool(settings.informative.thresholds)
    texts = filtered or settings.mentions.choose == "similarity"
    return open_tools(settings.models, texts=texts, images=filtered)


def open_tools(models: Models, *, texts: bool = True, images: bool = True) -> Tools:
    """The chunker and the named encoders. Raises AmeliError as ``build_tools`` does."""
    text = image = cross_encoder = None
    if texts and models.text != OFF:
        text = text_encoder(*image_encoders.name_and_model(models.text))
    if texts and models.cross_encoder:
        cross_encoder = CrossEncoderScores(models.cross_encoder)
    if images and models.image != OFF:
        entry = models.image or image_encoders.default_list()[-1]
        image = image_encoder(*image_encoders.name_and_model(entry))
    return Tools(find_chunker(), text, image, cross_encoder)
