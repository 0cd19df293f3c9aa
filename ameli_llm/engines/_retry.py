"""Which failures of a server are worth another try, how long to wait, and when to stop asking."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import openai
from tenacity import RetryCallState

from ameli_llm.engines._http import RefusedReplyError

_PASSING_STATUS = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class RetryPolicy:
    """Bounds of the retries, in seconds and counts.

    The wait before attempt n+1 is ``first_wait * 2**(n-1)``, at most ``longest_wait``, times a seeded jitter
    between 0.5 and 1; a server's Retry-After is taken as it is, up to ``longest_retry_after``. After
    ``refusals`` attempts in a row that found no server, requests fail at once; every ``cooldown`` seconds one
    of them is let through to see whether it is back.
    """

    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 8.0
    longest_retry_after: float = 30.0
    refusals: int = 8
    cooldown: float = 10.0


class ServerDownError(Exception):
    """The circuit is open: the server was not there lately, this request was not sent."""


class Breaker:
    """Remembers how many attempts in a row found no server. Not thread-safe: lives in one event loop."""

    def __init__(self, policy: RetryPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._refused = 0
        self._next_trial = 0.0

    def check(self) -> None:
        """Raises ServerDownError while the circuit is open, except for one trial per cooldown."""
        if self._refused < self._policy.refusals:
            return
        if self.is_open:
            raise ServerDownError(self.reason)
        self._next_trial = self._clock() + self._policy.cooldown

    @property
    def is_open(self) -> bool:
        """Whether ``check`` would raise now."""
        return self._refused >= self._policy.refusals and self._clock() < self._next_trial

    @property
    def reason(self) -> str:
        """Why the circuit is open."""
        return f"the last {self._refused} attempts found no server; not asked again yet"

    def record(self, error: BaseException | None) -> None:
        """Takes the outcome of an attempt; any answer, an error status included, closes the circuit."""
        if error is not None and found_no_server(error):
            self._refused += 1
            if self._refused == self._policy.refusals:
                self._next_trial = self._clock() + self._policy.cooldown
        elif error is None or isinstance(error, openai.APIStatusError | RefusedReplyError):
            self._refused = 0


def found_no_server(error: BaseException) -> bool:
    """True for a refused connection and for silence until the time-out.

    A cut connection does not count: a busy server may drop many idle connections at one moment.
    """
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return True
    return isinstance(error, openai.APIConnectionError) and _is_connect_error(error)


def retryable(error: BaseException) -> bool:
    """True for failures that may pass: no connection, cut connection, time-out, 429, 500, 502, 503, 504."""
    if isinstance(error, openai.APIStatusError):
        return error.status_code in _PASSING_STATUS
    return isinstance(error, openai.APIConnectionError | TimeoutError)


def describe(error: BaseException) -> str:
    """What went wrong, in a few words, for the message of a failed reply."""
    if isinstance(error, openai.APIStatusError):
        return f"HTTP {error.status_code}: {_status_message(error)}"
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return "no answer within the time-out"
    if isinstance(error, openai.APIConnectionError):
        return "connection refused" if _is_connect_error(error) else "connection cut"
    return str(error) or type(error).__name__


class Wait:
    """tenacity's wait function for a policy; the jitter is seeded, so that runs are alike."""

    def __init__(self, policy: RetryPolicy, seed: int = 0) -> None:
        self._policy = policy
        self._random = random.Random(seed)

    def __call__(self, state: RetryCallState) -> float:
        """Seconds until the next attempt."""
        error = state.outcome.exception() if state.outcome else None
        asked = _retry_after(error) if isinstance(error, openai.APIStatusError) else None
        if asked is not None:
            return min(asked, self._policy.longest_retry_after)
        doubled: float = self._policy.first_wait * 2 ** (state.attempt_number - 1)
        wait = min(doubled, self._policy.longest_wait)
        return wait * self._random.uniform(0.5, 1.0)


def _is_connect_error(error: openai.APIConnectionError) -> bool:
    # By name: openai's HTTP library is httpx in one release and httpx2 in the next.
    return type(error.__cause__).__name__ == "ConnectError"


def _status_message(error: openai.APIStatusError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    return str(body.get("message") or error.response.reason_phrase)


def _retry_after(error: openai.APIStatusError) -> float | None:
    value = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
