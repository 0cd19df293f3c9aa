"""Turns texts and images into vectors. One file of this package is one encoder."""

from __future__ import annotations

from ameli_llm.errors import AmeliError
from ameli_llm.registry import Registry
from retrieval.encoders.encoder import ImageEncoder, TextEncoder

ENCODERS = Registry("encoder", "retrieval.encoders", helpers=("encoder",))
NAMES = Registry("encoder", "retrieval.encoders", entry="full_name", helpers=("encoder",))


def full_name(name: str, model: str) -> str:
    """The model that the encoder ``name`` takes for ``model``, which is not loaded."""
    return str(NAMES.load(name)(model))


def text_encoder(name: str, model: str = "") -> TextEncoder:
    """The text encoder ``name``; an empty ``model`` is its packaged default.

    Raises AmeliError when the name is unknown, encodes no text, or its package or weights are missing.
    """
    encoder = ENCODERS.load(name)(model)
    if not isinstance(encoder, TextEncoder):
        raise AmeliError(
            f"Encoder {name!r} encodes images, not texts.", hint="Set retrieval.text_encoder to sbert."
        )
    return encoder


def image_encoder(name: str, model: str = "") -> ImageEncoder:
    """The image encoder ``name``; an empty ``model`` is its default.

    Raises AmeliError as ``text_encoder`` does.
    """
    encoder = ENCODERS.load(name)(model)
    if not isinstance(encoder, ImageEncoder):
        raise AmeliError(
            f"Encoder {name!r} encodes texts, not images.",
            hint="Name others in retrieval.image_encoders, for instance [descriptor].",
        )
    return encoder
