"""What workers share: the stages that a run keeps, and how often each block was begun."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ameli_llm.stages import Stages


class DistantStages:
    """The stages of an actor, as a worker sees them. Threads may share it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> Counter[str]:
        """Reviews by stage whose result this worker found there so far."""
        return Counter(self._taken)

    def get(self, stage: str, keys: Sequence[str]) -> dict[str, str]:
        """The results that are there."""
        import ray

        found: dict[str, str] = ray.get(self._actor.get.remote(stage, keys))
        with self._lock:
            self._taken.update({stage: len(found)} if found else {})
        return found

    def put(self, results: Mapping[str, str]) -> None:
        """Keeps results under their keys; they are on disk when it returns."""
        import ray

        ray.get(self._actor.put.remote(results))


class Attempts:
    """How often each stage of each block was begun; an actor, as whoever begins may die of it."""

    def __init__(self) -> None:
        self._begun: Counter[tuple[str, int]] = Counter()

    def begin(self, stage: str, block: int) -> int:
        """The number of this attempt, from 1."""
        self._begun[stage, block] += 1
        return self._begun[stage, block]


def attempts() -> Any:
    """A new actor that counts."""
    import ray

    return ray.remote(Attempts).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()


@contextmanager
def keeper(stages: Stages | None) -> Iterator[Any]:
    """An actor on this machine that reads and writes the same files as ``stages``; None for None.

    Only one process of the cluster touches them: SQLite's locks do not hold on network drives.
    """
    if stages is None:
        yield None
        return
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    made: Any = ray.remote(Stages)
    made = made.options(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here)
    actor = made.remote(stages.folder.resolve(), [run.resolve() for run in stages.earlier])
    yield actor
    ray.get(actor.close.remote())
