"""Models that need no hub: what packages carry, and what is made of it once, in the cache."""

from ameli_llm.models.known import (
    KNOWN,
    KnownModel,
    instruction_model,
    is_known,
    known_model,
    made_name,
    serve_line,
)
from ameli_llm.models.merging import merge_adapter
from ameli_llm.models.places import Standing, found_folder, model_folder, packaged_file, standing

__all__ = [
    "KNOWN",
    "KnownModel",
    "Standing",
    "found_folder",
    "instruction_model",
    "is_known",
    "known_model",
    "made_name",
    "merge_adapter",
    "model_folder",
    "packaged_file",
    "serve_line",
    "standing",
]
