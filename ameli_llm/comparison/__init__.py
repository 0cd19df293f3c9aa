"""Scores candidates by how their attributes agree with the review."""

from ameli_llm.registry import Registry

COMPARATORS = Registry(
    "comparator", "ameli_llm.comparison", helpers=("comparator", "differences", "panel", "verdicts")
)
