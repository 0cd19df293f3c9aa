"""How the scores were counted, and which leaks of the official AMELI code they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.measures.counting import Counted
from eval.measures.showing import Shown

PLACE = 65


def measure(counted: Counted) -> dict[str, Any]:
    """``protocol`` of the scores (``counting.Protocol``)."""
    return {"protocol": counted.protocol}


def show(protocol: Mapping[str, Any]) -> Shown:
    """Lines at the top, for the official protocol."""
    if not protocol["batch_size"]:
        return Shown()
    return Shown(
        head=(
            f"{protocol['name']} protocol: batches of {protocol['batch_size']}, "
            f"{protocol['reviews_dropped']} reviews dropped",
            f"official: {', '.join(protocol['reproduced']) or 'only the counting'}",
            *(f"not reproduced: {missing}" for missing in protocol["not_reproduced"]),
        )
    )
