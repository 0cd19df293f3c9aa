"""The rows of papers' tables that can be trained here: which extractor, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ameli_llm.attributes import mjave, uls_dram
from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.attributes.tagging.settings import BILSTM, NO_IMAGE
from ameli_llm.errors import UnknownNameError


@dataclass(frozen=True)
class Row:
    """A row: an extractor with what it has other than its default settings."""

    kind: Kind
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_image(self) -> bool:
        """Whether it looks at pictures."""
        return self.changes.get("image_encoder") != NO_IMAGE


def _mjave(**changes: Any) -> Row:
    return Row(mjave.KIND, changes)


def _jave(**changes: Any) -> Row:
    return Row(mjave.KIND, {"image_encoder": NO_IMAGE, **changes})


def _uls(**changes: Any) -> Row:
    return Row(uls_dram.KIND, changes)


ROWS: Mapping[str, Row] = {
    "jave_lstm": _jave(encoder=BILSTM),
    "jave": _jave(),
    "mjave_lstm": _mjave(encoder=BILSTM),
    "mjave": _mjave(),
    "jave_without_multitask": _jave(without=("multitask",)),
    "jave_without_attributes": _jave(without=("attributes",)),
    "jave_without_kl": _jave(without=("kl",)),
    "jave_gold_values": _jave(gold="values"),
    "jave_gold_attributes": _jave(gold="attributes"),
    "mjave_without_global_attention": _mjave(without=("global_attention",)),
    "mjave_without_regional_attention": _mjave(without=("regional_attention",)),
    "mjave_without_global_gate": _mjave(without=("global_gate",)),
    "mjave_without_regional_gate": _mjave(without=("regional_gate",)),
    "uls_l": _uls(image_encoder=NO_IMAGE, attributes="all"),
    "mjave_uls": _mjave(frozen=False),
    "uls_vl": _uls(fusion="vanilla", attributes="all"),
    "uls_vl_self_attention": _uls(fusion="self_attention", attributes="all"),
    "uls_vl_par": _uls(fusion="vanilla"),
    "uls_vl_tir": _uls(attributes="all"),
    "uls_dram_dynet": _uls(attributes="dynet"),
    "uls_dram_bert": _uls(attributes="bert"),
    "uls_dram": _uls(),
}
"""By the keys of ``eval/expected/mepave.yaml`` and ``mae.yaml``."""

USUAL = ("jave", "mjave", "uls_l", "uls_dram")
"""What is trained when no rows are named."""

ALL = "all"


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The rows of these names, in the order of the tables; "all" is every one. Raises UnknownNameError."""
    for name in names:
        if name not in (ALL, *ROWS):
            raise UnknownNameError("row", name, [ALL, *ROWS])
    wanted = ROWS if ALL in names else names or USUAL
    return tuple(name for name in ROWS if name in wanted)
