"""Who may ask: the bearer token, and the names under which a service without one can be reached."""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers

from ameli_llm.errors import AmeliError
from ameli_llm.service.problems import FOREIGN_HOST, UNAUTHORIZED, Problem

TOKEN = "AMELI_LLM_TOKEN"
SHORTEST_TOKEN = 16
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""They need no token: whoever watches the process has none."""


def is_this_machine(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """``token`` is what every request has to bear; without one, requests have to name this machine.

    Otherwise a page in somebody's browser could ask, under a name of its own that leads here.
    """

    token: str = ""

    @classmethod
    def for_host(cls, host: str, environment: Mapping[str, str] = os.environ) -> Access:
        """The access of a service that listens at ``host``. Raises AmeliError on one that is open to all."""
        token = environment.get(TOKEN, "")
        if not token and not is_this_machine(host):
            raise AmeliError(
                f"Listening on {host} lets other machines in, and there is no token.",
                hint=f"Set {TOKEN} in the environment, or leave out --host: 127.0.0.1 is this machine alone.",
            )
        if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
            raise AmeliError(
                f"{TOKEN} must be at least {SHORTEST_TOKEN} printable ASCII characters; it has {len(token)}.",
                hint=f"For instance: export {TOKEN}=$(openssl rand -hex 32)",
            )
        return cls(token)

    def check(self, path: str, headers: Headers) -> None:
        """Raises Problem for a request that may not ask this."""
        if not self.token:
            host = _name(headers.get("host", ""))
            if not is_this_machine(host):
                raise Problem(FOREIGN_HOST, f"The service is not {host[:80]!r}.")
        elif path not in OPEN_PATHS:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            # As bytes: compare_digest refuses texts that are not ASCII.
            same = hmac.compare_digest(given.strip().encode(), self.token.encode())
            if scheme.lower() != "bearer" or not same:
                raise Problem(
                    UNAUTHORIZED,
                    "Authorization must be 'Bearer' and the token of this service.",
                    headers={"WWW-Authenticate": "Bearer"},
                )


def _name(host: str) -> str:
    """The host of a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
