"""Extractor "mjave": attributes and values tagged jointly, with or without a picture (Zhu et al. 2020).

``train`` writes a folder, which ``attributes.trained: {mjave: DIR}`` names. Nothing heavy is imported before
one of them is called.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ameli_llm.attributes.mjave.settings import MjaveSettings
from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.attributes.tagging.opening import extractor
from ameli_llm.attributes.tagging.pictures import LoadRegions

if TYPE_CHECKING:
    from ameli_llm.attributes.mjave.network import Mjave
    from ameli_llm.attributes.tagging.extracting import TaggerExtractor


def create(trained: str, image_path: Callable[[str], Path | None], regions: LoadRegions) -> TaggerExtractor:
    """The extractor of the folder ``trained``; it is read when the first review comes.

    ``regions`` opens the image network. Raises AmeliError when no folder was named or none is there.
    """
    return extractor(KIND, trained, image_path, regions)


def _build(settings: MjaveSettings, labels: Any, text: Any, image: Any, cutter: Any) -> Mjave:
    from ameli_llm.attributes.mjave.network import Mjave

    return Mjave(settings, len(labels), text, image)


KIND = Kind("mjave", MjaveSettings, _build, lambda settings: settings.title)
