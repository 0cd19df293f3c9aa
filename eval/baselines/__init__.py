"""The published baselines of the paper's Table 5. One file or small package here is one baseline."""

from __future__ import annotations

from ameli_llm.registry import Registry

BASELINES = Registry(
    "baseline",
    "eval.baselines",
    helpers=("answers", "baseline", "course", "declared", "material", "options", "tasks"),
)
