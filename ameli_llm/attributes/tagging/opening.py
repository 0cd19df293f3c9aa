"""Opens the extractor of a trained folder as the configuration names it; the weights wait for a review."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ameli_llm.attributes.tagging import folder as folders
from ameli_llm.attributes.tagging.extracting import TaggerExtractor
from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.attributes.tagging.pictures import LoadRegions
from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from ameli_llm.attributes.tagging.trained import Trained


def extractor(
    kind: Kind, folder: str, image_path: Callable[[str], Path | None], regions: LoadRegions
) -> TaggerExtractor:
    """The extractor; the folder's description is read now. Raises AmeliError when there is no training."""
    if not folder:
        raise AmeliError(
            f"The extractor {kind.name!r} needs a folder with its weights, and attributes.trained has none.",
            hint=f"Set attributes.trained={{{kind.name}: DIR}}; train one: {kind.command}",
        )
    place = Path(folder)
    revision = folders.read(place, kind).weights[:16]

    def load() -> Trained:
        from ameli_llm.attributes.tagging.trained import load_trained

        return load_trained(kind, place, regions)

    return TaggerExtractor(kind.name, revision, load, image_path)
