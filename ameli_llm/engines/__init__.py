"""Instruction models behind one interface."""

from ameli_llm.registry import Registry

ENGINES = Registry(
    "engine", "ameli_llm.engines", helpers=("engine", "cache", "choices", "with_scorer", "wrapped")
)
