"""Extractor "uls_dram": encoders fine-tuned together, decoding only likely attributes (Liu et al. 2022).

``train`` writes a folder, which ``attributes.trained: {uls_dram: DIR}`` names. Nothing heavy is imported
before one of them is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.attributes.tagging.opening import extractor
from ameli_llm.attributes.tagging.pictures import LoadRegions
from ameli_llm.attributes.uls_dram.settings import UlsDramSettings

if TYPE_CHECKING:
    from ameli_llm.attributes.tagging.extracting import TaggerExtractor
    from ameli_llm.attributes.uls_dram.network import UlsDram


def create(trained: str, image_path: Callable[[str], Path | None], regions: LoadRegions) -> TaggerExtractor:
    """The extractor of the folder ``trained``; it is read when the first review comes.

    ``regions`` opens the image network. Raises AmeliError when no folder was named or none is there.
    """
    return extractor(KIND, trained, image_path, regions)


def _build(settings: UlsDramSettings, labels: Any, text: Any, image: Any, cutter: Any) -> UlsDram:
    from ameli_llm.attributes.uls_dram.network import UlsDram

    return UlsDram(settings, labels, text, image, cutter)


def _shares(settings: UlsDramSettings) -> Mapping[str, float]:
    return {"image": settings.image_share} if settings.has_image else {}


KIND = Kind("uls_dram", UlsDramSettings, _build, lambda settings: settings.title, _shares)
