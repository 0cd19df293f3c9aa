"""The address of a server: which ones are taken, and when two of them are the same."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_WRITTEN = re.compile(
    r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?)(?::[0-9]*)?(?:/[!-\[\]-~]*)?",
    re.IGNORECASE,
)
_PORTS = {"http": 80, "https": 443}


def problem_of(address: str, variable: str = "VLLM_API_KEY", like: str = "http://127.0.0.1:8000/v1") -> str:
    """Why a server cannot be named by ``address``, "" when it can. Never repeats it: it may hold a password.

    An address stands in a run's files, so it has no user, password, query or fragment. ``variable`` of the
    environment is for the server's key; ``like`` is an address of such a server.
    """
    if "@" in address:
        return (
            "a user or password in an address would be written into the run's files; leave it out and set "
            f"the server's key as the environment variable {variable}"
        )
    if "?" in address or "#" in address:
        return "an address has no query and no fragment; leave out what follows ? or #"
    return "" if _is_address(address) else f"no address of a server; it looks like {like}"


def normalised(address: str) -> str:
    """One spelling of an address without a ``problem_of``: scheme and host in lower case, the port always."""
    parts = urlsplit(address)
    host = (parts.hostname or "").removesuffix(".")
    host = f"[{ipaddress.IPv6Address(host)}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}{parts.path.rstrip('/')}"


def _is_address(address: str) -> bool:
    if not _WRITTEN.fullmatch(address):
        return False
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        if ":" in host or not host.strip("0123456789."):
            ipaddress.ip_address(host)
        return parts.port != 0
    except ValueError:  # of the port, or of a numeric host
        return False
