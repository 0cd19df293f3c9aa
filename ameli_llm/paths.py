"""Where files live that are neither dataset nor run: indexes, encoders, OCR results, replies, models."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import platformdirs

from ameli_llm import image_encoders
from ameli_llm.config import RetrievalConfig


def cache_dir() -> Path:
    """The folder for everything that can be made again; AMELI_LLM_CACHE names another one."""
    chosen = os.environ.get("AMELI_LLM_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("ameli-llm"))


def index_dir(dataset_key: str, config: RetrievalConfig) -> Path:
    """The default index folder of a dataset (``Dataset.key``) under the encoders that are configured.

    The indexes of one dataset lie beside each other.
    """
    encoders = config.text_encoder, config.text_model, *config.image_encoders
    images = "+".join(image_encoders.names(config.image_encoders)) or image_encoders.NONE
    names = f"{config.text_encoder}-{images}-{_short(json.dumps(encoders))}"
    return cache_dir() / "index" / dataset_key / names


def encoders_dir() -> Path:
    """The folder of encoders in the form in which they run."""
    return cache_dir() / "encoders"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
