"""Encoders as the rows of a table name them: by what was really run, and without the folder it lies in."""

from __future__ import annotations

from retrieval.manifest import EncoderStamp

LOCAL, HUB = "local-dir:", "hf-hub:"


def image_title(stamp: EncoderStamp) -> str:
    """ "CLIP ViT-L-14", "resnet152", "efficientnet-lite2", "descriptor"."""
    model = stamp.model.removeprefix(LOCAL).removeprefix(HUB).rstrip("/")
    whole = model == stamp.model.rstrip("/")
    short = model.partition("/")[0] if whole else model.rpartition("/")[2]
    if stamp.name == "clip":
        return f"CLIP {short}".strip()
    if stamp.name == "resnet":
        return short
    return model if model.startswith(stamp.name) else f"{stamp.name} {model}".strip()


def text_title(stamp: EncoderStamp) -> str:
    """As ``short_name``."""
    return short_name(stamp.model)


def short_name(model: str) -> str:
    """ "MiniLM" for the packaged text encoder, the last part of the model's name for others."""
    name = model.rstrip("/").rpartition("/")[2]
    return "MiniLM" if name == "all-MiniLM-L6-v2" else name
