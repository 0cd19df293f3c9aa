"""Scores every product for a review. One file of this package is one retriever."""

from __future__ import annotations

from ameli_llm.registry import Registry

RETRIEVERS = Registry("retriever", "retrieval.retrievers", helpers=("retriever",))
