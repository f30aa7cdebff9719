"""Whom a gateway without keys serves: callers that name it as its own, and no other site's pages.

A web page may have its name resolve to a loopback address (DNS rebinding), or send a "simple" request across origins:
either way it is the browser of somebody inside that asks. Host and Origin tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from vfnet_client.exceptions import RequestError

ANY_HOST = "*"
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class HostPolicy:
    """For a gateway without keys. A literal address cannot be rebound, a name can."""

    listens_beyond_loopback: bool = False
    """Then any literal address is its own, for all it knows; otherwise only a loopback one."""
    allowed_names: frozenset[str] = frozenset()
    """More names, in lower case, by which it is asked; `*` allows all."""

    @classmethod
    def of(cls, listening_host: str, allowed: Iterable[str]) -> HostPolicy:
        """For a gateway that listens on `listening_host`.

        Raises:
            ValueError: one of `allowed` is no host name.
        """
        names = [name.strip().lower().rstrip(".") for name in allowed]
        wrong = [name for name in names if name != ANY_HOST and not _NAME.fullmatch(name)]
        if wrong:
            raise ValueError(f"not a host name, which has neither a scheme nor a port: {', '.join(map(repr, wrong))}")
        return cls(not is_loopback(listening_host), frozenset(names))

    def check(self, method: str, headers: Mapping[str, str]) -> None:
        """Let a request pass.

        Raises:
            RequestError: 421, it is asked by a name that is not its own; 403, the page of another site asks.
        """
        host = headers.get("host")
        if host is not None and not self._is_own(_name_in(host)):
            raise RequestError(421, "this gateway has no keys and is not known by that name; see --allow-host")
        if method in _SAFE_METHODS:  # changes nothing, and another site's page cannot read the answer
            return
        origin = headers.get("origin")
        from_elsewhere = headers.get("sec-fetch-site", "none").lower() not in ("none", "same-origin")
        if origin is not None:
            own = origin.partition("://")[2].lower() == (host or "").lower()
            # Behind a proxy that gives another Host, the origin's own name has to be an allowed one.
            named = _name_in(origin.partition("://")[2]) in self.allowed_names
            if named:
                return
            from_elsewhere = from_elsewhere or not own
        if from_elsewhere:
            raise RequestError(403, "this gateway has no keys and does not serve the pages of other sites")

    def _is_own(self, name: str) -> bool:
        if ANY_HOST in self.allowed_names or name in self.allowed_names or name == "localhost":
            return True
        try:
            address = ip_address(name.partition("%")[0])
        except ValueError:
            return False
        return self.listens_beyond_loopback or address.is_loopback


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _name_in(authority: str) -> str:
    """Host without port and brackets, in lower case; the empty text where there is none."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""
