"""The servers of one model: who is asked next, who is left out, and whether they are the same."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ameli_llm.engines._abilities import EVERYTHING, Abilities
from ameli_llm.engines._http import VLLM_KEY, Client, RefusedReplyError
from ameli_llm.engines._reply import one_line
from ameli_llm.engines._retry import Breaker, RetryPolicy, ServerDownError
from ameli_llm.errors import AmeliError
from ameli_llm.models import made_name

SLACK = 2
"""By how many requests a server may be busier than the least busy one and still be taken for a prompt that
begins like those it had: what they share is computed once."""

_MOST_LISTED = 10


@dataclass(frozen=True)
class Served:
    """What a server serves, and whether it can do all that is asked: ``context`` is in tokens, None where it
    does not say."""

    model: str
    revision: str
    context: int | None
    abilities: Abilities = EVERYTHING


class Server:
    """One address with its connections. Not thread-safe: lives in one event loop.

    ``busy`` is how many requests are under way that it was picked for; whoever picks it keeps count.
    ``served`` is what it said of itself, None before it was asked.
    """

    def __init__(
        self, address: str, timeout: float, policy: RetryPolicy, key_variable: str = VLLM_KEY
    ) -> None:
        self.address = address
        self.busy = 0
        self.served: Served | None = None
        self.identifying = asyncio.Lock()
        self.breaker = Breaker(policy)
        self._timeout = timeout
        self._client = Client(address, timeout, key_variable)

    def root_address(self, path: str) -> str:
        """The address of ``path`` where the server's own paths begin, outside /v1."""
        return self.address.rstrip("/").removesuffix("/v1") + path

    async def attempt(self, method: str, path: str, body: dict[str, Any] | None = None) -> str:
        """The body of the answer. Raises ServerDownError, RefusedReplyError and errors of openai's client."""
        self.breaker.check()
        error: BaseException | None = None
        try:
            # The client's own time-out starts anew with every byte that comes; this one does not.
            async with asyncio.timeout(self._timeout):
                if method == "GET":
                    return await self._client.get(path, cast_to=str)
                return await self._client.post(path, body=body, cast_to=str)
        except BaseException as caught:
            error = caught
            if isinstance(caught.__cause__, RefusedReplyError):  # openai 2 wraps it, openai 3 does not
                error = caught.__cause__
                raise error from None
            raise
        finally:
            self.breaker.record(error)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()


def pick(servers: Sequence[Server], begins: str, failed: Container[Server] = ()) -> Server:
    """The server for a prompt that ``begins`` so: one of the least busy, of these always the same.

    One that ``failed`` is taken when no other is there. Raises ServerDownError when none is.
    """
    there = [server for server in servers if not server.breaker.is_open]
    if not there:
        raise ServerDownError(_all_down(servers))
    others = [server for server in there if server not in failed] or there
    least = min(server.busy for server in others)
    near = [server for server in others if server.busy <= least + SLACK]
    start = begins.encode(errors="replace")
    return max(near, key=lambda server: hashlib.blake2b(server.address.encode() + start).digest())


def _all_down(servers: Sequence[Server]) -> str:
    if len(servers) == 1:
        return servers[0].breaker.reason
    return f"none of the {len(servers)} servers was there lately; not asked again yet"


def only_model(server: Server, models: Mapping[str, object]) -> str:
    """The one model that the server has. Raises AmeliError that lists them when there are more, or none."""
    if len(models) != 1:
        raise AmeliError(
            f"The server at {server.address} has {len(models)} models.",
            hint=f"Set engine.model to one of: {listed(models)}.",
        )
    return next(iter(models))


def listed(models: Iterable[str]) -> str:
    """The first of the names, as a message has room for them."""
    names = sorted(models)
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return (", ".join(map(one_line, names[:_MOST_LISTED])) or "none") + more


def portable(root: str) -> str:
    """A known model's folder without those above it, which differ from machine to machine."""
    last = root.rstrip("/").rpartition("/")[2]
    return last if made_name(last) else root
