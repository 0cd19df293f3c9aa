"""A connection to Ray: to the cluster that its own environment names, or to one that is started here."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, redirect_stdout
from typing import Any

from ameli_llm.errors import AmeliError, MissingPackageError, first_line

ADDRESS = "RAY_ADDRESS"

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to anybody
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # else each worker that starts is reported as an error, which it is not
    "RAY_COLOR_PREFIX": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # workers see the GPUs that a process without Ray would
}


def require() -> None:
    """Raises AmeliError when Ray Data is not installed, or its address is of a kind that cannot be used."""
    for package in ("ray", "pyarrow", "pandas"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError(package, "ray")
    address = os.environ.get(ADDRESS, "")
    if address.startswith("ray://"):
        raise AmeliError(
            f"{ADDRESS} is {address}: Ray's client has no folder that the cluster can write a run to.",
            hint="Type the command on a machine of the cluster, without that address.",
        )


@contextmanager
def connected() -> Iterator[int]:
    """Within it Ray is connected; it gives the number of the cluster's CPUs.

    What was started here ends with it; a connection that was there before stays, and so do variables of the
    environment. What is printed within it goes to stderr: Ray says there which workers died. Raises
    AmeliError when the cluster is not there.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray
    import ray.data

    if ray.is_initialized():
        yield _cpus()
        return
    # What Ray starts dies with the thread that started it; in one of its own no signal stops it halfway.
    with redirect_stdout(sys.stderr), ThreadPoolExecutor(max_workers=1) as thread:
        begun = thread.submit(
            ray.init, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
        )
        try:
            _joined(begun)
            yield _cpus()
        finally:
            wait([begun])
            ray.shutdown()


def _joined(begun: Future[Any]) -> None:
    try:
        begun.result()
    except (ConnectionError, ValueError, OSError, RuntimeError) as error:
        address = os.environ.get(ADDRESS)
        hint = f"{ADDRESS} is {address}." if address else "docs/distributed.md says what it needs."
        raise AmeliError(f"Ray cannot be reached or started: {first_line(error)}.", hint=hint) from error


def _cpus() -> int:
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus = int(resources.get("CPU", 0))
    if not cpus:
        raise AmeliError("The Ray cluster has no CPU.", hint="Type: ray start --num-cpus N")
    return cpus
