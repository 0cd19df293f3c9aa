"""Requests within a model's context: those that are too long are made again from less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ameli_llm.engines.engine import ChatRequest, Engine
from ameli_llm.templates.front import Limits

SHARES = (0.8, 0.6, 0.45, 0.3, 0.15, 0.0)
"""Of what the limits of a template allow, tried one after the other; at 0 the least of each stays."""

Item = TypeVar("Item")
Built = TypeVar("Built")


def fitted(
    engine: Engine,
    items: Sequence[Item],
    limits: Limits,
    build: Callable[[Item, Limits], Built],
    requests: Callable[[Built], Sequence[ChatRequest]],
) -> list[Built]:
    """What ``build`` makes of each item: by ``limits``, or by smaller ones until its requests fit.

    What a template itself says is not cut: ``Parts.check_context`` tells beforehand whether that fits. A
    request that does not fit at the least is built all the same, and is the engine's to refuse.
    """
    built = [build(item, limits) for item in items]
    waiting = list(range(len(items)))
    for share in SHARES:
        waiting = _too_long(engine, waiting, [requests(built[at]) for at in waiting])
        if not waiting:
            break
        smaller = limits.shrunk(share)
        for at in waiting:
            built[at] = build(items[at], smaller)
    return built


def _too_long(engine: Engine, places: Sequence[int], groups: Sequence[Sequence[ChatRequest]]) -> list[int]:
    """Those of ``places`` whose group has a request that does not fit."""
    excess = iter(engine.excess([request for group in groups for request in group]))
    return [at for at, group in zip(places, groups, strict=True) if max([next(excess) for _ in group] or [0])]
