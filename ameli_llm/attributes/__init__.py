"""Finds the attribute values that a review states, each with the place that proves it."""

from ameli_llm.registry import Registry

EXTRACTORS = Registry(
    "extractor",
    "ameli_llm.attributes",
    helpers=("asked", "extractor", "matching", "merge", "tagging", "values"),
)
