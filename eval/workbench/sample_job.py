"""A version of a template linked over the sample, in the background."""

from __future__ import annotations

import logging
import threading
from dataclasses import asdict
from typing import Any

from ameli_llm.errors import AmeliError
from ameli_llm.types import Progress
from eval.watching.drafts import Draft
from eval.watching.trials import Change, Trial, Trials

log = logging.getLogger(__name__)

LISTED = 200
"""Ids of fixed and of broken reviews that are given."""


class _Stopped(Exception):
    """Somebody asked for it."""


class SampleJob:
    """At most one run over the sample at a time; each is compared with the one before it."""

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._state: dict[str, Any] = {"state": "none"}
        self._before: Trial | None = None

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._thread is not None and self._thread.is_alive()

    def state(self) -> dict[str, Any]:
        """How far the last run is: none, running, done, failed or stopped, with its result or error."""
        return dict(self._state)

    def start(self, draft: Draft) -> dict[str, Any]:
        """Begins a run and returns at once. Raises AmeliError while another one is under way."""
        with self._lock:
            if self.running:
                raise AmeliError(
                    "The sample is being linked, perhaps from another tab.", hint="Wait for it, or stop it."
                )
            self._stop.clear()
            total = len(self._trials.split.reviews)
            self._state = {"state": "running", "template": draft.name, "done": 0, "total": total}
            self._thread = threading.Thread(target=self._run, args=(draft,), name="sample", daemon=True)
            self._thread.start()
        return self.state()

    def stop(self, wait: float = 0.0) -> dict[str, Any]:
        """Asks the run to end, which it does after the reviews under way; waits as many seconds for it."""
        self._stop.set()
        if wait and self._thread is not None:
            self._thread.join(wait)
        return self.state()

    def _run(self, draft: Draft) -> None:
        try:
            trial = self._trials.link(draft, self._progress())
            change = Change.of(self._before, trial) if self._before and self._trials.split.gold else None
            result = {**_result(trial), "change": change and _change(change)}
            if change and self._before:
                result["before"] = _named(self._before)
            self._before = trial
            self._state = {**self._state, "state": "done", "result": result}
        except _Stopped:
            self._state = {**self._state, "state": "stopped"}
        except AmeliError as problem:
            self._state = {**self._state, "state": "failed", "error": str(problem)}
        except Exception:
            log.exception("the run over the sample ended")
            self._state = {
                **self._state,
                "state": "failed",
                "error": "It failed; the command's output says why.",
            }

    def _progress(self) -> Progress:
        def show(_: str, done: int, total: int) -> None:
            if self._stop.is_set() and done < total:
                raise _Stopped
            self._state = {**self._state, "done": done, "total": total}

        return show


def _named(trial: Trial) -> dict[str, str]:
    return {"template": trial.draft.name, "run": str(trial.run.path)}


def _result(trial: Trial) -> dict[str, Any]:
    metrics = trial.outcome.metrics or {}
    return {
        **_named(trial),
        "requests": trial.requests,
        "seconds": trial.seconds,
        "error_rate": trial.outcome.error_rate,
        "f1": metrics.get("end_to_end_f1"),
    }


def _change(change: Change) -> dict[str, Any]:
    paired = change.comparison.paired
    answered = paired.answered
    return {
        "n": answered.n,
        "fixed": [str(one) for one in answered.fixed[:LISTED]],
        "broken": [str(one) for one in answered.broken[:LISTED]],
        "counts": {"fixed": len(answered.fixed), "broken": len(answered.broken)},
        "p": answered.p,
        "difference": asdict(answered.difference),
        "failed": {"before": paired.failed_a, "now": paired.failed_b},
        "breaks": [{**asdict(one), "review": str(one.review)} for one in change.breaks],
    }
