"""The folder of something trained: whether what lies there was made as it is asked for now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ameli_llm.errors import AmeliError
from ameli_llm.nested import flat


def require_same(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises AmeliError that names what differs, when the folder holds another training's weights."""
    there, here = flat(found), flat(wanted)
    other = [
        f"{key} {there.get(key)!r} instead of {here.get(key)!r}"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]
    if other:
        raise AmeliError(
            f"{folder} holds weights of another training: {'; '.join(other)}.", hint="Choose another --out."
        )
