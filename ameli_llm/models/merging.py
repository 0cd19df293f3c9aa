"""Any adapter merged into any base, as a model folder that every engine loads."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ameli_llm.files import new_folder
from ameli_llm.models.known import is_known
from ameli_llm.models.lora import write_merged
from ameli_llm.models.places import base_folder
from ameli_llm.seal import seal
from ameli_llm.types import Progress, no_progress


def merge_adapter(base: str, adapter: Path, out: Path, progress: Progress = no_progress) -> Path:
    """Merges a LoRA adapter in peft's format into a base and returns ``out``, a new model folder.

    ``base`` is the name of a known model or a folder with safetensors, ``adapter`` a folder with
    adapter_config.json and adapter_model.safetensors, whose base has to have the name of this one. ``out``
    appears whole or not at all, with checksums.json. Raises MissingPackageError, and AmeliError when base and
    adapter do not fit, or when ``out`` has files or cannot be written.
    """
    folder = base_folder(base, progress)
    name = base if is_known(base) else folder.absolute().name
    with new_folder(out) as draft:
        write_merged(folder, name, adapter, draft, partial(progress, "merging the adapter"))
        seal(draft)
    return out
