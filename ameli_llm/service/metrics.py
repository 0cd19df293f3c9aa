"""What the service counts, for Prometheus: requests, links by state, batches, queues, changes."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST as MEDIA_TYPE

__all__ = ["MEDIA_TYPE", "Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts of one service; two in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "ameli_llm_requests", "Answered requests", ("route", "method", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "ameli_llm_request_seconds",
            "Seconds from a request to the end of its answer",
            ("route", "method"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.links = Counter(
            "ameli_llm_links", "Linked reviews by the state they ended in", ("state",), registry=self.registry
        )
        self.batches = Histogram(
            "ameli_llm_batch_reviews", "Reviews linked together", buckets=_SIZES, registry=self.registry
        )
        self.changes = Counter(
            "ameli_llm_product_changes", "Products put and deleted", ("kind",), registry=self.registry
        )
        self.updates = Histogram(
            "ameli_llm_update_seconds",
            "Seconds from the first of some changes to the state that has them",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def watch(self, name: str, says: str, value: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(f"ameli_llm_{name}", says, registry=self.registry).set_function(value)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
